"""Groups, coverage, overlap and promises as blocks: the most telling rows first, and a sentence where there is nothing to show."""

from __future__ import annotations

from report_fakes import EXACT, OPENING, release

from privsynth.report import breadth, summary
from privsynth.report.policy import Policy

SEGMENT = {
    "n_holdout": 90, "synthetic": 0.7, "interval": [0.6, 0.8], "ceiling": 0.8, "gap": 0.1, "gap_interval": [0.0, 0.2],
    "excess_interval": [-0.1, 0.3],
}  # fmt: skip


def texts(blocks) -> str:
    return " ".join(str(value) for block in blocks for value in block.values())


def full():
    return summary.build(release(), policy=Policy.load(), judgements=[])


def test_segments_come_worst_first_and_only_so_many():
    segments = [{**SEGMENT, "segment": f"column = {number}", "excess_gap": number / 100} for number in range(30)]
    blocks = breadth.segments({"utility": {"scores": [{"family": "linear", "segments": segments}]}})
    table = blocks[1]
    assert len(table["rows"]) == breadth.SHOWN
    assert table["rows"][0][0]["text"] == "column = 29"
    assert f"Worst {breadth.SHOWN} of 30" in table["caption"]


def test_without_segments_or_a_target_there_is_no_table():
    assert breadth.segments({"utility": None}) == []
    assert breadth.segments({"utility": {"scores": [{"family": "linear"}]}}) == []


def test_groups_coverage_and_overlap_are_shown():
    shown = texts(breadth.groups(full()))
    assert "Rates by group" in shown
    assert "Diversity and tails" in shown
    assert "test.csv" in shown
    assert str(EXACT["matched"]) in shown


def test_what_is_not_there_is_said():
    report = full()
    report["breadth"] |= {"rates": [], "contamination": []}
    shown = texts(breadth.groups(report))
    assert "Rates by group" not in shown
    assert "names no evaluation set" in shown


def test_promises_name_commitment_uses_and_the_worst_attack():
    report = full()
    rows = dict(breadth.promises(report))
    assert OPENING.commitment.digest in rows["Committed before training"]
    assert OPENING.commitment.nonce not in str(rows)
    assert rows["Releases that held-out people have judged"].startswith(f"{EXACT['uses']} Held-out people")
    assert rows["Worst attack"].startswith(report["protocol"]["worst_attack"]["key"])


def test_a_fixed_split_promises_nothing():
    report = full()
    report["protocol"] |= {"commitment": None, "worst_attack": None}
    rows = dict(breadth.promises(report))
    assert rows["Committed before training"] == "nothing: the split is a fixed permutation"
    assert "Worst attack" not in rows


def test_the_worst_attack_is_corrected_for_all_tests():
    run = release().measurements.audit
    key, p_value = run.worst
    tested = [result for result in run.results if result.p_value is not None]
    assert p_value == min(1.0, len(tested) * min(result.p_value for result in tested))
    assert key in {result.key for result in tested}
