"""Canaries in text: invented texts, half of them trained on by a coin each, looked for in what the generator writes.

Design of Meeus et al. (2025), arXiv:2502.14921 ("The Canary's Echo"): a canary starts like real text, so that the generator gets to it, and
goes on improbably, so that nothing but having seen it makes the rest likely. The attacker holds the sampled texts only, before any
filter: an n-gram model fitted on them scores each canary, and the coins say how often the score is right (``epsilon_bounds``).
Scores computed from the model's weights, where weights are kept, are handed in as a callable and bound what the weights leak.

Canaries are made of public text: they belong to nobody, and the whole list may be shown. One canary is one invented person; seen k
times means k texts of that person. After scoring, whatever in the sample resembles a canary, inserted or not, is taken out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from privsynth.audit.base import AuditResult
from privsynth.audit.epsilon_bounds import EPSILON_BOUND, Claim, Curve, as_result, one_run_bound
from privsynth.audit.intervals import area_under_curve
from privsynth.audit.text_replay import Texts, tokens_of, windows_of
from privsynth.errors import AuditError
from privsynth.privacy.noise import NoiseSource

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

FEWEST = 50
"""With fewer canaries not even right guesses throughout say much: the ceiling is 2.8 at 95 %."""

MATCH_TOKENS = 4
"""Tokens of a canary's suffix in a row that a text may not share with it."""

BACK_OFF = 0.1
"""Weight of the next shorter context in the n-gram model (Jelinek & Mercer 1980)."""

SAMPLE_AUDIT = "text: canaries in the sample"
LOSS_AUDIT = "text: canaries by the model's loss"

Scorer = Callable[[Sequence[str]], Sequence[float]]
"""Loss per text in nats, in order; lower means "more likely seen"."""


@dataclass(frozen=True, kw_only=True)
class Canary:
    """One invented person's text.

    Attributes:
        prefix: How public texts start.
        suffix: Words of public texts in a random order.
    """

    prefix: str
    suffix: str

    @property
    def text(self) -> str:
        """The whole text."""
        return f"{self.prefix} {self.suffix}"


def make_canaries(
    reference: Sequence[str], *, n: int, rng: np.random.Generator, prefix_tokens: int = 6, suffix_tokens: int = 10
) -> tuple[Canary, ...]:
    """Canaries from public texts of the kind that is synthesized.

    Args:
        reference: Public texts: neither train nor holdout, since canaries may be shown.
        n: How many.
        rng: Draws beginnings and words; it needs no secrecy, only the coins do.
        prefix_tokens: Words taken from the beginning of a reference text.
        suffix_tokens: Words drawn uniformly from all distinct words of the reference.

    Raises:
        AuditError: The reference has no text long enough, or too few words for suffixes that differ.
    """
    beginnings = [words[:prefix_tokens] for words in map(str.split, reference) if len(words) >= prefix_tokens]
    vocabulary = sorted({word for text in reference for word in text.split() if word.isalpha()})
    if n < 1 or not beginnings or len(vocabulary) < 2 * suffix_tokens:
        raise AuditError(
            f"n={n}, reference texts of {prefix_tokens} words or more: {len(beginnings)}, distinct words: {len(vocabulary)}; "
            f"expected at least 1 canary, 1 text and {2 * suffix_tokens} words"
        )
    starts = rng.integers(0, len(beginnings), n)
    suffixes = rng.integers(0, len(vocabulary), (n, suffix_tokens))
    return tuple(
        Canary(prefix=" ".join(beginnings[start]), suffix=" ".join(vocabulary[word] for word in words))
        for start, words in zip(starts, suffixes, strict=True)
    )


def flip_coins(canaries: Sequence[Canary], *, noise: NoiseSource) -> BoolArray:
    """Which canaries are trained on, shape (n,): an independent fair coin each, from the source that privacy rests on."""
    return noise.coins(len(canaries), 0.5)


def inserted(canaries: Sequence[Canary], included: BoolArray, *, times: int = 1) -> Texts:
    """What is added to train: each included canary as ``times`` texts of one invented person."""
    chosen = [number for number in range(len(canaries)) if included[number] for _ in range(times)]
    return Texts(texts=[canaries[number].text for number in chosen], people=[f"canary {number}" for number in chosen])


def sample_scores(canaries: Sequence[Canary], sample: Sequence[str], *, order: int = 3) -> FloatArray:
    """How much likelier each suffix is in context than word by word, under an n-gram model of the sample, shape (n_canaries,).

    Mean over the suffix's tokens of log P(token | up to order - 1 tokens before) - log P(token), in nats; contexts of each length are mixed
    with the next shorter one by a fixed weight. Subtracting the single-token probability takes out how common a word is.

    Args:
        canaries: All of them, included or not.
        sample: What the generator wrote, before any filter.
        order: Length of the longest n-gram, 2 or more.

    Raises:
        AuditError: The sample is empty or the order too small.
    """
    if not len(sample) or order < 2:
        raise AuditError(f"sample={len(sample)} texts, order={order!r}; expected some texts and an order of 2 or more")
    counts = [_Counts(sample, width) for width in range(1, order + 1)]
    n_tokens = max(counts[0].total, 1)
    scores = np.zeros(len(canaries))
    for row, canary in enumerate(canaries):
        tokens, start = tokens_of(canary.text), len(tokens_of(canary.prefix))
        text = " ".join(tokens)
        seen = [of_width.occurrences(text) for of_width in counts]  # seen[k][i]: occurrences of the k + 1 tokens from i on
        ratios = []
        for position in range(start, len(tokens)):
            single = (seen[0][position] + 1) / (n_tokens + len(tokens))
            mixed = single
            for k in range(1, min(order - 1, position) + 1):
                context = seen[k - 1][position - k]
                if context == 0:
                    break
                mixed = (1 - BACK_OFF) * seen[k][position - k] / context + BACK_OFF * mixed
            ratios.append(math.log(mixed / single))
        scores[row] = np.mean(ratios)
    return scores


class _Counts:
    """Occurrences of every run of ``width`` tokens in a sample."""

    def __init__(self, sample: Sequence[str], width: int) -> None:
        windows, _ = windows_of(sample, width, by="token")
        self.width, self.total = width, len(windows)
        self._distinct, self._counts = np.unique(windows, return_counts=True)

    def occurrences(self, text: str) -> npt.NDArray[np.int64]:
        """How often each run of the text occurs in the sample, shape (n_runs,)."""
        runs, _ = windows_of([text], self.width, by="token")
        if not len(self._distinct):
            return np.zeros(len(runs), dtype=np.int64)
        place = np.minimum(np.searchsorted(self._distinct, runs), len(self._distinct) - 1)
        return np.where(self._distinct[place] == runs, self._counts[place], 0)


def exposure(scores: FloatArray, candidate_scores: FloatArray) -> FloatArray:
    """Bits by which each canary stands out among candidates that were never seen, shape of ``scores``.

    Carlini et al. (2019), arXiv:1802.08232 (The Secret Sharer): log2 of the number of candidates over the rank; here the canary itself is
    one of them, so values lie in [0, log2(n_candidates + 1)]. Ties count against the canary's exposure.

    >>> exposure(np.array([9.0, -1.0]), np.arange(7.0)).tolist()
    [3.0, 0.0]
    """
    ordered = np.sort(candidate_scores)
    at_least = len(ordered) - np.searchsorted(ordered, scores, side="left")
    return np.asarray(np.log2(len(ordered) + 1) - np.log2(at_least + 1))


def matches_canary(texts: Sequence[str], canaries: Sequence[Canary]) -> BoolArray:
    """Which texts share ``MATCH_TOKENS`` tokens in a row with a canary's suffix, shape (n_texts,); these are taken out of a release.

    All canaries count, included or not, so that what is taken out says nothing about the coins beyond what the sample itself does.
    """
    windows, text_of_window = windows_of(texts, MATCH_TOKENS, by="token")
    suffixes, _ = windows_of([canary.suffix for canary in canaries], MATCH_TOKENS, by="token")
    matches = np.zeros(len(texts), dtype=bool)
    matches[text_of_window[np.isin(windows, suffixes)]] = True
    return matches


def audit_canaries(
    canaries: Sequence[Canary],
    included: BoolArray,
    sample: Sequence[str],
    *,
    rng: np.random.Generator,
    claim: Claim | None = None,
    loss: Scorer | None = None,
    curve: Curve = "any",
    confidence: float = 0.95,
    order: int = 3,
) -> tuple[AuditResult, ...]:
    """Lower bounds on epsilon from canaries in one run.

    Args:
        canaries: All of them.
        included: The coins, shape (n_canaries,).
        sample: What the generator wrote, before any filter.
        rng: Breaks ties between scores.
        claim: The guarantee under test; without one the bounds hold at delta 0.
        loss: Of texts under the trained model, where its weights are kept; a second attack, by someone who holds the weights.
        curve: ``gaussian`` only for a claim whose trade-off curve is the Gaussian mechanism's.
        confidence: Chance that all bounds hold together.
        order: Of the n-gram model.

    Returns:
        One result per attack, with ``details["contradicts"]`` where there is a claim; ``not measurable`` below ``FEWEST`` canaries, or if
        all coins fell alike.

    Raises:
        AuditError: Coins and canaries differ in number, or the sample is empty.
    """
    if len(included) != len(canaries):
        raise AuditError(f"included={len(included)} coins for {len(canaries)} canaries; expected one each")
    attacks: list[tuple[str, str, Callable[[], FloatArray]]] = [
        (SAMPLE_AUDIT, "release-only", lambda: sample_scores(canaries, sample, order=order))
    ]
    if loss is not None:
        attacks.append((LOSS_AUDIT, "model weights", lambda: -np.asarray(loss([canary.text for canary in canaries]), dtype=np.float64)))
    results = []
    for audit, threat_model, score in attacks:
        start = time.perf_counter()
        question = "Can one tell from it which invented texts were trained on?"
        if len(canaries) < FEWEST or included.all() or not included.any():
            reason = {"reason": f"{len(canaries)} canaries, {int(included.sum())} included; expected at least {FEWEST}, some of both"}
            blank = AuditResult(audit=audit, threat_model=threat_model, question=question, metric=EPSILON_BOUND)
            results.append(replace(blank, status="not measurable", n=len(canaries), details=reason))
            continue
        scores = score()
        bound = one_run_bound(
            scores,
            included,
            delta=claim.delta if claim else 0.0,
            rng=rng,
            confidence=confidence,
            curve=curve,
            claim=claim,
            n_attacks=len(attacks),
        )
        result = as_result(bound, audit=audit, threat_model=threat_model, question=question, claim=claim)
        details = {**result.details, **_description(scores, included)}
        results.append(replace(result, seconds=time.perf_counter() - start, details=details))
    return tuple(results)


def _description(scores: FloatArray, included: BoolArray) -> dict[str, object]:
    """Figures that reviewers know, beside the bound."""
    area = area_under_curve(scores[included], scores[~included])
    bits = exposure(scores[included], scores[~included])
    return {
        "n_included": int(included.sum()),
        "AUC": area.value,
        "AUC_interval": list(area.interval),
        "exposure_median_bits": float(np.median(bits)),
        "exposure_largest_possible_bits": math.log2(int((~included).sum()) + 1),
    }
