"""Public rules: each rejects what it names and nothing else; resampling is bounded and counted."""

from __future__ import annotations

import pytest

from privsynth.errors import PlanError
from privsynth.filters import Filter, TextRules, resample

GOOD = "The card is late. Please send a new one."
ROW = {"city": "Bonn", "product": "card"}


def reason(text, rules=None, row=ROW, **facts):
    return next((one.reason for one in (rules or TextRules()).filters(**facts) if one.rejects(text, row)), None)


@pytest.mark.parametrize(
    ("text", "rules", "expected"),
    [
        (GOOD, TextRules(), None),
        ("", TextRules(), "empty or too short"),
        ("  \n ", TextRules(), "empty or too short"),
        ("", TextRules(min_letters=0), None),
        ("Hm.", TextRules(min_letters=10), "empty or too short"),
        (GOOD, TextRules(max_letters=10), "too long"),
        ("The \x07 bell.", TextRules(), "characters that cannot be shown"),
        ("The � sign.", TextRules(), "characters that cannot be shown"),
        ("Line one.\nLine\ttwo.", TextRules(), None),
        ("in the city centre in the city centre in the city centre", TextRules(repeat_words=3), "repeats itself"),
        ("in the city centre in the city centre", TextRules(repeat_words=3), None),
        ("Die Karte fehlt. Карта.", TextRules(scripts=("LATIN",)), "letters of another script"),
        ("Où est ma carte – 10 € ?", TextRules(scripts=("LATIN",)), None),
        ("The card is", TextRules(finished=True), "unfinished sentence"),
        ('She said "no."', TextRules(finished=True), None),
        ("Dear <PERSON>, your card.", TextRules(), "unfilled slot"),
        ("Dear <PERSON>, your card.", TextRules(forbid_slots=False), None),
        ("a < b > c <b>", TextRules(), None),
    ],
)
def test_each_rule_rejects_what_it_names(text, rules, expected):
    assert reason(text, rules) == expected


def found(text):
    return [kind for kind, sign in (("EMAIL_ADDRESS", "@"), ("PERSON", "Ann")) if sign in text]


def test_personal_data_is_looked_for_by_the_detector_handed_in():
    assert reason("Write to ann@example.com.", detect=found) == "personal data"
    assert reason("Ann called.", detect=found, allowed=["PERSON"]) is None
    assert reason("Ann called.", detect=found) == "personal data"
    assert reason("Ann called.") is None


@pytest.mark.parametrize(
    ("text", "row", "expected"),
    [
        ("Our branch in Bonn is closed.", ROW, None),
        ("Our branch in Paris is closed.", ROW, "contradicts its row in city"),
        ("From Paris to Bonn.", ROW, None),
        ("No city here.", ROW, None),
        ("Parisian food.", ROW, None),
        ("Our branch in PARIS.", ROW, "contradicts its row in city"),
        ("Our branch in Paris.", {"city": None}, None),
    ],
)
def test_a_text_that_names_another_rows_value_is_rejected(text, row, expected):
    assert reason(text, TextRules(contradictions={"city": ("Bonn", "Paris", "Rome")}), row) == expected


def test_resampling_stops_when_all_rows_have_a_text():
    drawn = {0: iter(["", "", "first"]), 1: iter(["second"])}
    asked = []

    def draw(positions):
        asked.append(list(positions))
        return [next(drawn[position]) for position in positions]

    kept = resample(draw, [{}, {}], TextRules().filters())
    assert kept.texts == ("first", "second")
    assert asked == [[0, 1], [0], [0]]
    assert kept.attempts == 4
    assert kept.rejected["empty or too short"] == 2
    assert sum(kept.rejected.values()) == 2


def test_a_row_without_a_good_text_stays_without_one():
    kept = resample(lambda positions: [""] * len(positions), [{}] * 3, TextRules().filters(), max_attempts=2)
    assert kept.texts == (None, None, None)
    assert (kept.attempts, kept.rejected["empty or too short"]) == (6, 6)


def test_no_rows_need_no_draw():
    assert resample(lambda positions: pytest.fail("drawn"), [], TextRules().filters()).texts == ()


def test_a_filter_that_reads_private_data_is_refused():
    private = Filter(reason="too near to a real text", rejects=lambda text, row: False, reads_private_data=True)
    with pytest.raises(PlanError, match="public rules only"):
        resample(lambda positions: [], [{}], [private])


def test_every_rule_says_that_it_reads_no_private_data():
    rules = TextRules(finished=True, scripts=("LATIN",), contradictions={"city": ("Bonn",)})
    assert not any(one.reads_private_data for one in rules.filters(detect=found))


@pytest.mark.parametrize("changes", [{"min_letters": 5, "max_letters": 3}, {"max_repeats": 0}, {"repeat_words": 0}])
def test_limits_that_reject_everything_are_refused(changes):
    with pytest.raises(PlanError, match="expected"):
        TextRules(**changes)


def test_a_bound_below_one_is_refused():
    with pytest.raises(PlanError, match="max_attempts"):
        resample(lambda positions: [], [{}], (), max_attempts=0)
