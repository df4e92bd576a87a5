"""Starting the app: on this machine only, without telemetry.

The options are given as flags, which stand above any configuration file. ``.streamlit/config.toml`` of the repository says the
same for ``streamlit run app.py``; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from privsynth.registry import require

MAX_UPLOAD_MEGABYTES = 200

OPTIONS: Mapping[str, str | int | bool] = {
    "browser.gatherUsageStats": False,
    "browser.serverAddress": "localhost",
    "client.disableDataExport": True,
    "client.showErrorDetails": "none",  # a traceback may quote private data
    "client.showErrorLinks": False,
    "client.toolbarMode": "minimal",
    "logger.level": "warning",
    "runner.magicEnabled": False,
    "server.address": "localhost",
    "server.enableAgentApi": False,
    "server.enableCORS": True,
    "server.enableStaticServing": False,
    "server.enableXsrfProtection": True,
    "server.fileWatcherType": "none",
    "server.maxUploadSize": MAX_UPLOAD_MEGABYTES,
    "server.runOnSave": False,
    "server.showEmailPrompt": False,
}
"""What keeps the app local and silent, by the name of Streamlit's option."""

ALLOWED_HOSTS = ("localhost", "127.0.0.1")
"""Names under which a browser may ask: another web site's name that was made to point here is refused."""


def arguments(port: int) -> list[str]:
    """Arguments of Streamlit's own command line.

    >>> arguments(8501)[-3:]
    ['--server.allowedHosts=localhost', '--server.allowedHosts=127.0.0.1', '--server.port=8501']
    """
    script = Path(__file__).resolve().parents[1] / "app.py"
    flags = [f"--{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in OPTIONS.items()]
    hosts = [f"--server.allowedHosts={host}" for host in ALLOWED_HOSTS]
    return ["run", str(script), *flags, *hosts, f"--server.port={port}"]


def serve(port: int) -> int:
    """Serve the app until it is stopped; returns the exit code.

    Raises:
        MissingExtraError: Streamlit is not installed.
    """
    require("streamlit")
    from streamlit.web import cli

    cli.main(args=arguments(port), prog_name="privsynth app", standalone_mode=False)
    return 0
