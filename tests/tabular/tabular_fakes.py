"""Noise sources and a reservation whose behaviour a test can predict."""

import numpy as np

from privsynth.errors import LedgerError


class NoNoise:
    """Returns exact counts and the exact maximum, and remembers what it was asked; coins come from a fixed seed."""

    def __init__(self):
        self.asked = []
        self.rng = np.random.default_rng(0)

    def discrete_gaussian(self, counts, sigma):
        self.asked.append(("gaussian", np.array(counts), sigma))
        return np.array(counts)

    def discrete_laplace(self, counts, scale):
        self.asked.append(("laplace", np.array(counts), scale))
        return np.array(counts)

    def noisy_max(self, scores, *, epsilon, sensitivity):
        self.asked.append(("max", np.array(scores), sensitivity))
        return int(np.argmax(scores))

    def coins(self, n, rate):
        return self.rng.random(n) < rate


class SeededNoise(NoNoise):
    """Noise of the right size from a seeded generator: a statistical test repeats, a guarantee would not hold."""

    def __init__(self, seed):
        super().__init__()
        self.rng = np.random.default_rng(seed)

    def discrete_gaussian(self, counts, sigma):
        return np.asarray(counts) + np.rint(self.rng.normal(0, sigma, np.shape(counts))).astype(np.int64)

    def discrete_laplace(self, counts, scale):
        p = 1 - np.exp(-1 / scale)
        return np.asarray(counts) + self.rng.geometric(p, np.shape(counts)) - self.rng.geometric(p, np.shape(counts))

    def noisy_max(self, scores, *, epsilon, sensitivity):
        return int(np.argmax(scores + self.rng.gumbel(0, 2 * sensitivity / epsilon, len(scores))))


class Replay:
    """Answers like a recorded run whatever it is asked, so that two runs differ only in what they ask."""

    def __init__(self, answers):
        self.answers = list(answers)
        self.asked = []

    def discrete_gaussian(self, counts, sigma):
        self.asked.append(("gaussian", np.array(counts), sigma))
        return self.answers.pop(0)

    def noisy_max(self, scores, *, epsilon, sensitivity):
        self.asked.append(("max", np.array(scores), sensitivity))
        return self.answers.pop(0)

    def coins(self, n, rate):
        return np.ones(n, dtype=bool)  # rows are kept in file order, for one person independently of the others


class FakeReservation:
    """Hands out each touch once and keeps the order in which they were taken."""

    def __init__(self, touches, *, noise_scale, budget, noise):
        self.touches, self.noise_scale, self.budget, self.noise = touches, noise_scale, budget, noise
        self.left = list(touches)
        self.spent = []

    def spend(self, stage, label):
        for touch in self.left:
            if (touch.stage, touch.label) == (stage, label):
                self.left.remove(touch)
                self.spent.append(touch)
                return touch.event
        raise LedgerError(f"{label} was not reserved")


def reserve(engine, table, *, noise_scale, budget, noise):
    touches = engine.touches(table, noise_scale=noise_scale, budget=budget)
    return FakeReservation(touches, noise_scale=noise_scale, budget=budget, noise=noise)
