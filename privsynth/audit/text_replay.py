"""Does a release of texts repeat what people of train wrote, more than it repeats people it never saw?

Three attacks on the released texts alone, each with held-out people as its control:

* verbatim replay: a run of 8 tokens, or of 50 characters, that one person alone wrote occurs in the release;
* near copies: a released text shares most of its 3-token shingles with a text (MinHash, Broder 1997, finds the candidates; the
  similarity itself is exact);
* values: personal values of people of train occur in the release more often than values that were never used.

A run of tokens that several people wrote (a greeting, a boilerplate line) says nothing about one of them and is left out; people are
then ranked by how much of theirs is replayed. Both are decided on train and holdout together, without their labels, so the
exact hypergeometric test holds: if nothing leaked, which of the most replayed people are train is a blind draw. The test looks at
the 10, 50 and 200 most replayed people and at all of them (Bonferroni). Higher is worse everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from privsynth.audit.base import AuditResult
from privsynth.audit.intervals import bonferroni, hypergeometric_tail, rate_difference
from privsynth.errors import AuditError

FloatArray = npt.NDArray[np.float64]
HashArray = npt.NDArray[np.uint64]
IntArray = npt.NDArray[np.int64]

TOKENS = 8
CHARACTERS = 50
SHINGLE = 3
MOST_REPLAYED = (10, 50, 200)
NEAR_COPY = 0.5
"""Jaccard similarity of shingles from which a text counts as a near copy."""

BANDS, ROWS_PER_BAND = 24, 3
"""A pair at similarity s meets in a band with chance 1 - (1 - s^3)^24: 96 % at 0.5, 99.8 % at 0.6, 2 % at 0.1."""

_MASK = (1 << 64) - 1
_MULTIPLIER = 0x9E3779B97F4A7C15 | 1
_TOKEN = re.compile(r"\w+")

VERBATIM_TOKENS = AuditResult(
    audit="text: verbatim replay",
    threat_model="release-only",
    question=f"Does the release repeat {TOKENS} words in a row that one person alone wrote?",
    metric="share of people replayed in excess of control",
)
VERBATIM_CHARACTERS = replace(
    VERBATIM_TOKENS,
    audit="text: verbatim replay of characters",
    question=f"Does the release repeat {CHARACTERS} characters in a row that one person alone wrote?",
)
NEAR_COPIES = replace(
    VERBATIM_TOKENS,
    audit="text: near copies",
    question="Does a released text share most of its phrases with a text of one person?",
    metric="share of people nearly copied in excess of control",
)
VALUES = replace(
    VERBATIM_TOKENS,
    audit="text: values",
    question="Do personal values of the people in train occur in the release?",
    metric="share of values found in excess of control",
)

BLANKS = (VERBATIM_TOKENS, VERBATIM_CHARACTERS, NEAR_COPIES)
"""The attacks that need nothing but texts."""


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Texts and the person behind each, of train or of the holdout.

    Attributes:
        texts: Any number per person.
        people: Person of each text, of the same length; each text is its own person if None.
    """

    texts: Sequence[str]
    people: Sequence[str] | None = None

    def __post_init__(self) -> None:
        """Refuse texts without a person."""
        if self.people is not None and len(self.people) != len(self.texts):
            raise AuditError(f"people={len(self.people)} for {len(self.texts)} texts; expected one person per text")

    def numbered(self) -> tuple[IntArray, int]:
        """Number of the person behind each text, shape (n_texts,), and how many people there are."""
        if self.people is None:
            return np.arange(len(self.texts), dtype=np.int64), len(self.texts)
        distinct, numbers = np.unique(np.asarray(self.people, dtype=str), return_inverse=True)
        return numbers.astype(np.int64), len(distinct)


def tokens_of(text: str) -> list[str]:
    """Words of a text without case and punctuation.

    >>> tokens_of("Dear Ms. O'Neill, 12%")
    ['dear', 'ms', 'o', 'neill', '12']
    """
    return _TOKEN.findall(text.casefold())


def audit_texts(train: Texts, holdout: Texts, release: Sequence[str]) -> tuple[AuditResult, ...]:
    """The attacks that need nothing but texts: verbatim replay by tokens and by characters, and near copies.

    Args:
        train: What the generator saw.
        holdout: Texts of other people of the same kind.
        release: The released texts.

    Returns:
        Three results; ``not measurable`` without a holdout or a release.

    Raises:
        AuditError: A person is in train and in the holdout.
    """
    _require_apart(train, holdout)
    if not len(holdout.texts) or not len(train.texts) or not len(release):
        reason = {"reason": f"train={len(train.texts)}, holdout={len(holdout.texts)}, release={len(release)} texts; expected some of each"}
        return tuple(replace(blank, status="not measurable", details=reason) for blank in BLANKS)
    return (
        _excess(VERBATIM_TOKENS, train, holdout, _sharing_windows(train, holdout, release, by="token")),
        _excess(VERBATIM_CHARACTERS, train, holdout, _sharing_windows(train, holdout, release, by="character")),
        _excess(NEAR_COPIES, train, holdout, _nearly_copied(train, holdout, release)),
    )


def audit_values(
    values: Sequence[str], never_used: Sequence[str], release: Sequence[str], *, coincidence: bool, confidence: float = 0.95
) -> AuditResult:
    """Whether personal values of train occur in the release, against values of the same kind that nobody has.

    Args:
        values: Of the people in train; repeats are counted once.
        never_used: Drawn from the same source and given to nobody; values that are also in ``values`` are left out.
        release: The released texts.
        coincidence: False for kinds that cannot coincide (ids, e-mails and telephones from reserved ranges): one match is then a leak.
        confidence: Of the interval.

    Returns:
        The excess of the share found, and an exact one-sided p-value (Fisher); with ``coincidence=False`` it is 0 or 1.
    """
    used, control = sorted(set(values)), sorted(set(never_used) - set(values))
    if not used or (coincidence and not control):
        reason = f"values={len(used)}, never_used={len(control)}; expected some of each"
        return replace(VALUES, status="not measurable", details={"reason": reason})
    found, by_chance = _count_found(used, release), _count_found(control, release)
    if coincidence:
        p_value = hypergeometric_tail(found, found + by_chance, len(used), len(used) + len(control))
    else:
        p_value = 0.0 if found else 1.0
    control_share = by_chance / len(control) if control else 0.0
    return replace(
        VALUES,
        value=found / len(used) - control_share,
        interval=rate_difference(found, len(used), by_chance, len(control), confidence=confidence),
        confidence=confidence,
        p_value=p_value,
        control=control_share,
        baseline=0.0,
        ceiling=1.0,
        n=len(used),
        details={"found": found, "found_of_never_used": by_chance, "never_used": len(control), "coincidence_possible": coincidence},
    )


def _require_apart(train: Texts, holdout: Texts) -> None:
    if train.people is None or holdout.people is None:
        return
    shared = len(set(map(str, train.people)) & set(map(str, holdout.people)))
    if shared:
        raise AuditError(f"{shared} people are in train and in the holdout; expected none: split the texts by person")


def _excess(blank: AuditResult, train: Texts, holdout: Texts, scores: FloatArray, *, confidence: float = 0.95) -> AuditResult:
    """Share of train people replayed minus the same share of the holdout; ``scores`` hold train's people first, 0 for "not replayed"."""
    n_train, n_holdout = train.numbered()[1], holdout.numbered()[1]
    hits, control_hits = int((scores[:n_train] > 0).sum()), int((scores[n_train:] > 0).sum())
    heads = _heads(scores, n_train)
    return replace(
        blank,
        value=hits / n_train - control_hits / n_holdout,
        interval=rate_difference(hits, n_train, control_hits, n_holdout, confidence=confidence),
        confidence=confidence,
        p_value=bonferroni([hypergeometric_tail(drawn_train, drawn, n_train, len(scores)) for drawn_train, drawn in heads]),
        control=control_hits / n_holdout,
        baseline=0.0,
        ceiling=1.0,
        n=n_train + n_holdout,
        details={"train_replayed": hits, "holdout_replayed": control_hits, "train_among_most_replayed": [list(head) for head in heads]},
    )


def _heads(scores: FloatArray, n_train: int) -> list[tuple[int, int]]:
    """How many of the most replayed people are train, and how many these are, ties included; then the same for all replayed people."""
    replayed = np.sort(scores[scores > 0])[::-1]
    borders = sorted({float(replayed[k - 1]) for k in (*MOST_REPLAYED, len(replayed)) if 0 < k <= len(replayed)}, reverse=True)
    return [(int((scores[:n_train] >= border).sum()), int((scores >= border).sum())) for border in borders]


def _sharing_windows(train: Texts, holdout: Texts, release: Sequence[str], *, by: Literal["token", "character"]) -> FloatArray:
    """How many windows of each person the release repeats that nobody else of train and holdout wrote, shape (n_people,)."""
    width = TOKENS if by == "token" else CHARACTERS
    owners, n_people = _owners(train, holdout)
    windows, text_of_window = windows_of([*train.texts, *holdout.texts], width, by=by)
    released = np.unique(windows_of(release, width, by=by)[0])
    kept = np.isin(windows, released)
    windows, people = windows[kept], owners[text_of_window[kept]]
    pairs = np.unique(np.stack([windows, people.astype(np.uint64)]), axis=1)  # (2, n_pairs): each window once per person
    _, place, count = np.unique(pairs[0], return_inverse=True, return_counts=True)
    own = pairs[1][count[place] == 1].astype(np.int64)
    return np.bincount(own, minlength=n_people).astype(np.float64)


def _owners(train: Texts, holdout: Texts) -> tuple[IntArray, int]:
    """Person of each text of both, train's people first."""
    (of_train, n_train), (of_holdout, n_holdout) = train.numbered(), holdout.numbered()
    return np.concatenate([of_train, n_train + of_holdout]), n_train + n_holdout


def windows_of(texts: Sequence[str], width: int, *, by: Literal["token", "character"]) -> tuple[HashArray, IntArray]:
    """64-bit hashes of all runs of ``width`` tokens or characters, and the text that each is from; both of shape (n_windows,).

    Characters are compared without case and with every white space as one blank. Equal runs have equal hashes; two of n different
    runs collide with a chance of about n^2 / 2^65.
    """
    codes: list[HashArray] = []
    for text in texts:
        codes.append(_token_codes(tokens_of(text)) if by == "token" else _character_codes(" ".join(text.casefold().split())))
    lengths = np.array([len(of_text) for of_text in codes], dtype=np.int64)
    text_of_code = np.repeat(np.arange(len(texts)), lengths)
    flat = np.concatenate([*codes, np.zeros(0, dtype=np.uint64)])
    if len(flat) < width:
        return np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64)
    inside = text_of_code[width - 1 :] == text_of_code[: len(flat) - width + 1]
    return _rolling(flat, width)[inside], text_of_code[: len(flat) - width + 1][inside]


def _rolling(codes: HashArray, width: int) -> HashArray:
    """Polynomial hash of each window modulo 2^64, shape (n - width + 1,): sum over k of codes[i + k] * B^k."""
    # With Horner in 64-bit words a window costs one step per code, and width is small: no prefix sums, no inverses.
    hashes = np.zeros(len(codes) - width + 1, dtype=np.uint64)
    for offset in range(width):
        hashes = hashes * np.uint64(_MULTIPLIER) + codes[offset : offset + len(hashes)]
    return _mixed(hashes)


def _token_codes(tokens: Sequence[str]) -> HashArray:
    """A 64-bit code per token, the same in every process."""
    return np.array([_code(token) for token in tokens], dtype=np.uint64)


def _code(token: str) -> int:
    """FNV-1a over code points: short and the same everywhere, unlike ``hash``."""
    value = 0xCBF29CE484222325
    for character in token:
        value = ((value ^ ord(character)) * 0x100000001B3) & _MASK
    return value


def _character_codes(text: str) -> HashArray:
    return _mixed(np.frombuffer(text.encode("utf-32-le", errors="replace"), dtype=np.uint32).astype(np.uint64))


def _mixed(values: HashArray) -> HashArray:
    """A bijection of 64-bit words that spreads every bit (Steele, Lea & Flood 2014, SplitMix64's finaliser)."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _nearly_copied(train: Texts, holdout: Texts, release: Sequence[str]) -> FloatArray:
    """Largest similarity of a text of each person to a released text, 0 below that of a near copy; shape (n_people,)."""
    owners, n_people = _owners(train, holdout)
    texts = [*train.texts, *holdout.texts]
    pairs, similarities = near_copies(texts, release)
    largest = np.zeros(n_people)
    np.maximum.at(largest, owners[pairs[:, 0]], similarities)
    return largest


def near_copies(texts: Sequence[str], release: Sequence[str], *, similarity: float = NEAR_COPY) -> tuple[IntArray, FloatArray]:
    """Pairs (text, released text) of at least this Jaccard similarity of 3-token shingles, shape (n_pairs, 2), and their similarities.

    Pairs are found by MinHash in bands and then measured exactly: no pair below ``similarity`` is returned, and one at it
    is missed with a chance of 4 %. Texts of fewer than 3 tokens have no shingles and match nothing.
    """
    shingles = [_shingles(text) for text in texts]
    released = [_shingles(text) for text in release]
    candidates = _band_matches(_signatures(shingles), _signatures(released))
    measured = [(pair, _jaccard(shingles[pair[0]], released[pair[1]])) for pair in sorted(candidates)]
    kept = [(pair, shared) for pair, shared in measured if shared >= similarity]
    return np.array([pair for pair, _ in kept], dtype=np.int64).reshape(-1, 2), np.array([shared for _, shared in kept])


def _shingles(text: str) -> HashArray:
    """Distinct hashes of 3 tokens in a row, increasing."""
    return np.unique(windows_of([text], SHINGLE, by="token")[0])


def _signatures(shingles: Sequence[HashArray]) -> HashArray:
    """MinHash signatures, shape (n_texts, BANDS * ROWS_PER_BAND); texts without shingles get distinct ones that match nothing."""
    salts = _mixed(np.arange(1, BANDS * ROWS_PER_BAND + 1, dtype=np.uint64))
    signatures = np.empty((len(shingles), len(salts)), dtype=np.uint64)
    for row, values in enumerate(shingles):
        signatures[row] = _mixed(values[:, None] ^ salts[None, :]).min(axis=0) if len(values) else 0
    return signatures


def _band_matches(first: HashArray, second: HashArray) -> set[tuple[int, int]]:
    """Pairs of rows that agree in all values of a band; rows of zeros, which have no shingles, match nothing."""
    pairs: set[tuple[int, int]] = set()
    for band in range(BANDS):
        columns = slice(band * ROWS_PER_BAND, (band + 1) * ROWS_PER_BAND)
        buckets: dict[bytes, list[int]] = {}
        for row, values in enumerate(second[:, columns]):
            if values.any():
                buckets.setdefault(values.tobytes(), []).append(row)
        for row, values in enumerate(first[:, columns]):
            pairs.update((row, other) for other in buckets.get(values.tobytes(), ()))
    return pairs


def _jaccard(first: HashArray, second: HashArray) -> float:
    shared = len(np.intersect1d(first, second, assume_unique=True))
    return shared / max(len(first) + len(second) - shared, 1)


def _count_found(values: Sequence[str], release: Sequence[str]) -> int:
    """How many values occur in the release as whole words."""
    by_length: dict[int, list[HashArray]] = {}
    for value in values:
        tokens = tokens_of(value)
        if tokens:
            by_length.setdefault(len(tokens), []).append(_rolling(_token_codes(tokens), len(tokens)))
    found = 0
    for length, hashes in by_length.items():
        released = windows_of(release, length, by="token")[0]
        found += int(np.isin(np.concatenate(hashes), released).sum())
    return found
