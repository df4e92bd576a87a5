"""Texts and text models whose leaks are known."""

from collections import defaultdict

import numpy as np

SUBJECTS = ["the client", "our customer", "a caller", "the account holder", "the couple", "an employee"]
VERBS = ["asked about", "reported", "complained of", "wanted to discuss", "confirmed", "was unsure about"]
OBJECTS = ["a late transfer", "the new card", "a double charge", "the mortgage offer", "a lost password", "the yearly fee"]
ENDINGS = ["and will call again", "on the phone", "before the weekend", "after a long wait", "in the branch", "without further notes"]
SYLLABLES = ["ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "ri", "so", "tu", "va"]
TOPICS = [first + second + third for first in SYLLABLES for second in SYLLABLES[::2] for third in SYLLABLES[::3]]
NAMES = ["anna", "bela", "carl", "dora", "emil", "frida", "gustav", "hanna", "igor", "jana", "karl", "lena", "mira", "nils", "olga", "paul"]


def notes(n, seed):
    """Short notes; their combinations rarely repeat because each ends in figures."""
    rng = np.random.default_rng(seed)
    parts = [SUBJECTS, VERBS, OBJECTS, ENDINGS]
    drawn = [rng.integers(0, len(part), n) for part in parts]
    topics = rng.integers(0, len(TOPICS), (n, 2))
    codes = rng.integers(0, 10**6, (n, 3))
    texts = []
    for i in range(n):
        start = " ".join(part[column[i]] for part, column in zip(parts, drawn, strict=True))
        texts.append(f"{start} about {TOPICS[topics[i, 0]]} {TOPICS[topics[i, 1]]} ref {codes[i, 0]} file {codes[i, 1]} box {codes[i, 2]}")
    return texts


class NgramWriter:
    """An n-gram text model: writes each next word as it followed the last words in training. It memorizes, and has no guarantee."""

    def __init__(self, texts, order=4):
        self.order = order
        self.following = defaultdict(list)
        for text in texts:
            words = ["<s>"] * (order - 1) + text.split() + ["</s>"]
            for end in range(order - 1, len(words)):
                self.following[tuple(words[end - order + 1 : end])].append(words[end])

    def write(self, n, rng):
        texts = []
        for _ in range(n):
            words = ["<s>"] * (self.order - 1)
            while words[-1] != "</s>" and len(words) < 60:
                options = self.following[tuple(words[len(words) - self.order + 1 :])]
                words.append(options[rng.integers(len(options))])
            texts.append(" ".join(word for word in words if word not in ("<s>", "</s>")))
        return texts

    def loss(self, texts):
        """Nats per word, words never seen in their context at 1e-6."""
        losses = []
        for text in texts:
            words = ["<s>"] * (self.order - 1) + text.split() + ["</s>"]
            shares = []
            for end in range(self.order - 1, len(words)):
                options = self.following.get(tuple(words[end - self.order + 1 : end]), [])
                shares.append(max(options.count(words[end]) / max(len(options), 1), 1e-6))
            losses.append(-np.mean(np.log(shares)))
        return losses
