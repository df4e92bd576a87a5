"""A user's own model folder, or the embedded one: opened from local files, without running code from them.

A model folder as Hugging Face writes it holds data: a configuration, a tokenizer, weights as safetensors. Pickled weights and code that
comes with a model run whatever their author wrote when they are opened: both are refused. Nothing is ever downloaded.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from privsynth.errors import PlanError
from privsynth.registry import require

EMBEDDED = "embedded"
"""Name of the model that comes with the package."""


def open_tokenizer(model: str) -> Any:
    """The tokenizer of a model folder, or the embedded one.

    Raises:
        PlanError: The folder holds no tokenizer that can be opened safely.
    """
    if model == EMBEDDED:
        from privsynth.text import base_model

        return base_model.load_tokenizer()
    folder = _model_folder(model)
    transformers = require("transformers")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PlanError(f"model={model!r} has no tokenizer that can be opened ({type(error).__name__}); expected tokenizer.json") from None
    if tokenizer.eos_token_id is None:
        raise PlanError(f"model={model!r} has a tokenizer without an end token; set eos_token in its tokenizer_config.json")
    return tokenizer


def open_model(model: str) -> Any:
    """The causal language model of a folder, or the embedded one, in evaluation mode and single precision.

    Raises:
        PlanError: The folder is not a causal language model, misses files, or would run code when opened.
    """
    if model == EMBEDDED:
        from privsynth.text import base_model

        return base_model.load_model()
    folder = _model_folder(model)
    transformers = require("transformers")
    import torch
    from safetensors import SafetensorError

    transformers.utils.logging.disable_progress_bar()
    try:
        found = transformers.AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise PlanError(
            f"model={model!r} cannot be opened as a causal language model ({type(error).__name__}); expected config.json and "
            "model.safetensors of a model that writes text"
        ) from None
    return found.eval()


def _model_folder(model: str) -> Path:
    """The folder, once nothing in it would run code.

    Raises:
        PlanError: It is no model folder, or holds pickled weights or code.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        raise PlanError(
            f"model={model!r} is not a folder on this machine, and nothing is downloaded; fetch it where there is a network: "
            f"huggingface-cli download {model} --local-dir FOLDER, and name that folder"
        )
    configuration = _json(folder / "config.json", model)
    if any("auto_map" in _json(path, model) for path in (folder / "config.json", folder / "tokenizer_config.json") if path.exists()):
        raise PlanError(
            f"model={model!r} brings its own code (auto_map), which is not run; use a model whose architecture transformers has"
        )
    architectures = configuration.get("architectures") or []
    if not any(str(name).endswith(("ForCausalLM", "LMHeadModel")) for name in architectures):
        raise PlanError(f"model={model!r} has architectures={architectures!r}; expected a causal language model, one that writes text")
    if not list(folder.glob("*.safetensors")):
        pickled = sorted(path.name for kind in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(kind))
        if pickled:
            raise PlanError(
                f"model={model!r} has pickled weights ({pickled[0]}), which can run code when opened; convert them to safetensors first"
            )
        raise PlanError(f"model={model!r} has no weights; expected model.safetensors")
    return folder


def _json(path: Path, model: str) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PlanError(
            f"model={model!r}: {path.name} cannot be read ({type(error).__name__}); expected a Hugging Face model folder"
        ) from None
    return values if isinstance(values, dict) else {}
