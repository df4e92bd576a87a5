"""Replay inside texts, and names that coincide by chance."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("faker")

from privsynth.pii import regenerate
from privsynth.pii.replay import name_replay, text_replay

ORIGINAL = pd.DataFrame(
    {
        "iban": ["CH860009981707198053 0", "GB33BUKB20201555555555"],
        "phone": ["+41 59 987 35 76", "+41 59 902 43 47"],
        "email": ["Noel.Baur@post.ch", "a.b@post.ch"],
    }
)
TYPES = {"iban": "IBAN_CODE", "phone": "PHONE_NUMBER", "email": "EMAIL_ADDRESS"}


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("paid CH86 0009 9817 0719 8053 0 today", "iban"), ("(CH8600099817071980530)", "iban"), ("call 059 987 35 76.", "phone"),
        ("call 0041599873576", "phone"), ("write to noel.baur@post.ch, please", "email"), ("<NOEL.BAUR@POST.CH>", "email"),
    ],
)  # fmt: skip
def test_a_value_is_seen_however_the_text_groups_it(text, column):
    assert text_replay(ORIGINAL, ["nothing", text], TYPES) == {name: int(name == column) for name in TYPES}


@pytest.mark.parametrize("text", ["", "paid CH86 0009 9817", "b@post.ch", "xa.b@post.chy", "the client called at 059 987"])
def test_parts_of_a_value_are_no_replay(text):
    assert text_replay(ORIGINAL, [text], TYPES) == dict.fromkeys(TYPES, 0)


def invented(n, seed):
    return list(regenerate(n, {"name": "PERSON"}, rng=np.random.default_rng(seed), locale="de_CH")["name"])


@pytest.mark.statistical
def test_coincidence_is_no_leak():
    # 40 releases that know nothing, level 0.05: a valid test alarms in at most 6 of them but for one in 70.
    original, pool = invented(1500, 1), invented(40 * 400, 2)
    alarms = sum(name_replay(original, pool[i : i + 100], pool[i + 100 : i + 400]).p_value <= 0.05 for i in range(0, len(pool), 400))
    assert alarms <= 6


def test_released_names_of_real_people_are_a_leak():
    original = invented(3000, 1)
    leaked = name_replay(original, [*invented(300, 2), *original[:60]], invented(3600, 3))
    assert leaked.p_value < 1e-6
    assert leaked.found >= 60


def test_the_test_is_fishers():
    from scipy.stats import fisher_exact

    result = name_replay(["Anna Berg", "Karl Ode"], ["Anna Berg", "Eva Lund", "Ode, Karl"], ["Anna Berg", "X Y", "Z W", "V U"])
    assert (result.found, result.found_never_used) == (2, 1)
    assert result.p_value == pytest.approx(fisher_exact([[2, 1], [1, 3]], alternative="greater").pvalue)


def test_without_names_there_is_nothing_to_say():
    assert name_replay([], ["Anna Berg"], ["Karl Ode"]) is None
    assert name_replay(["Anna"], ["Anna Berg"], ["Karl Ode"]) is None
