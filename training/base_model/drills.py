"""Composed texts that say the values of their attribute line: exercises in carrying values from a prompt into a sentence.

In ordinary text a model needs many millions of tokens before it learns to copy, because copying seldom decides the next word. Here nothing
else does: keys and values are drawn at random, words of all frequencies alike, so that only the line can tell what comes. The sentences
were written for this project; none is taken from, or follows the attributes of, a set that serves in its benchmarks.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from attributes import KEYS, WORD_LISTS

ONE = (
    "The {k} is {v}.",
    "The {k} was {v}.",
    "{V} is the {k}.",
    "Their {k} is {v}, as far as I know.",
    "It has {v} as its {k}.",
    "We would like {v} for the {k}.",
    "Please note that the {k} has changed to {v}.",
    "As for the {k}, it is {v}.",
    "I asked for {v} and got it.",
    "You asked about {v}.",
    "This is about {v}.",
    "I have a question on {v}.",
    "Could you help me with {v}?",
    "Thank you for {v}.",
    "Everyone speaks of {v}.",
    "My {k} shows {v}, is that right?",
    "There is {v}.",
    "{V}.",
    "I am calling because of {v}.",
    "It says {v} on the page.",
)
"""Sentences on one value; ``k`` is its key."""

TWO = (
    "The {k} is {v} and the {l} is {w}.",
    "{V} comes with {w}.",
    "With {v} you also get {w}.",
    "We have {v}, and {w} as {l}.",
    "{V}, a {w}.",
    "I wanted {v} but was offered {w}.",
    "Both {v} and {w} are on the list.",
    "{V} is near {w}.",
    "It is {v}, with {w} on top.",
    "The {w} in {v} is what we were looking for.",
    "First {v}, then {w}.",
    "My {k} is {v}; my {l} is {w}.",
    "Since {v} there has been {w}.",
    "Please send {v} to {w}.",
)
"""Sentences on two values; ``l`` and ``w`` are the second key and value."""

SLOTS = (
    "<PERSON>",
    "<LOCATION>",
    "<ORGANIZATION>",
    "<DATE_TIME>",
    "<ID>",
    "<ACCOUNT_NUMBER>",
    "<IBAN_CODE>",
    "<PHONE_NUMBER>",
    "<EMAIL_ADDRESS>",
)
"""Slots among the values; the rarer ones meet sentences nowhere else."""


def drill(words: Sequence[str], coins: random.Random) -> tuple[str, str]:
    """An attribute line and a text that says most of its values.

    Args:
        words: Words that values are made of, each as likely as any other.
        coins: Where the choices come from.
    """
    keys = coins.sample(KEYS, coins.randint(1, 5))
    values = [_value(words, coins) for _ in keys]
    said = [pair for pair in zip(keys, values, strict=True) if coins.random() < 0.9] or [(keys[0], values[0])]
    coins.shuffle(said)
    sentences = []
    while said:
        if len(said) > 1 and coins.random() < 0.5:
            (k, v), (other_key, w) = said.pop(), said.pop()
            sentences.append(coins.choice(TWO).format(k=k, v=v, V=_capital(v), l=other_key, w=w))
        else:
            k, v = said.pop()
            sentences.append(coins.choice(ONE).format(k=k, v=v, V=_capital(v)))
    if coins.random() < 0.3:
        line = f"{coins.choice(WORD_LISTS)}: {', '.join(values)}\n"
    else:
        line = "; ".join(f"{key}: {value}" for key, value in zip(keys, values, strict=True)) + "\n"
    return line, " ".join(sentences)


def _value(words: Sequence[str], coins: random.Random) -> str:
    """One to three words, a number, an amount or a slot."""
    chance = coins.random()
    if chance < 0.08:
        return coins.choice(SLOTS)
    if chance < 0.16:
        return str(coins.choice((coins.randint(1, 10), coins.randint(11, 9999))))
    if chance < 0.22:
        return f"{coins.choice('$£€')}{coins.randint(1, 2000)}"
    value = " ".join(coins.choices(words, k=coins.choice((1, 1, 2, 2, 3))))
    return value.title() if coins.random() < 0.3 else value


def _capital(value: str) -> str:
    return value[:1].upper() + value[1:]
