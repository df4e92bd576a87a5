import math
import multiprocessing
import sqlite3
import stat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from privsynth.errors import BudgetExceededError, LedgerError, PrivSynthError
from privsynth.privacy import Budget, DiscreteGaussian, Internal, Ledger, NonPrivate, Touch, calibrate
from privsynth.privacy.ledger import Population, touches_of

PEOPLE = Population(name="bank", units=[f"person {i}" for i in range(500)])
DELTA = 1e-6


def plan(epsilon):
    def of_scale(scale):
        return [Touch("tables", "a count", DiscreteGaussian(noise_multiplier=scale)), Touch("audit", "attacks", Internal())]

    scale = calibrate(of_scale, Budget(epsilon=epsilon, delta=DELTA))
    return of_scale(scale), scale


def reserve(ledger, epsilon, population=PEOPLE):
    touches, scale = plan(epsilon)
    return ledger.reserve(population, touches, budget=Budget(epsilon=epsilon, delta=DELTA), noise_scale=scale)


@pytest.fixture
def ledger(tmp_path):
    return Ledger.open(tmp_path / "ledger.sqlite")


def test_the_first_release_sets_the_cap_and_a_second_is_refused(ledger):
    with reserve(ledger, 1.0):
        pass
    with pytest.raises(BudgetExceededError, match="left of its cap 1"):
        reserve(ledger, 0.1)


def test_a_refusal_says_what_is_left(ledger):
    ledger.set_cap("bank", 1.5)
    with reserve(ledger, 1.0):
        pass
    with pytest.raises(BudgetExceededError, match=r"at most 0\.5"):
        reserve(ledger, 1.0)


def test_a_raised_cap_lets_a_second_release_through(ledger):
    with reserve(ledger, 1.0):
        pass
    ledger.set_cap("bank", 3.0)
    with reserve(ledger, 2.0):
        pass
    assert ledger.balance("bank").epsilon == pytest.approx(3.0, rel=1e-4)
    assert ledger.balance("bank").delta == pytest.approx(2 * DELTA)


def test_the_same_people_under_another_name_have_no_fresh_budget(ledger):
    with reserve(ledger, 1.0):
        pass
    with pytest.raises(LedgerError, match="shares people with 'bank'"):
        reserve(ledger, 1.0, Population(name="renamed", units=PEOPLE.units))


def test_a_tenth_of_the_same_people_is_noticed(ledger):
    with reserve(ledger, 1.0, Population(name="bank", units=[f"person {i}" for i in range(50_000)])):
        pass
    others = [f"person {i}" for i in range(45_000, 50_000)] + [f"other {i}" for i in range(45_000)]
    with pytest.raises(LedgerError, match="shares people"):
        reserve(ledger, 1.0, Population(name="renamed", units=others))


def test_people_declared_distinct_have_their_own_budget(ledger):
    with reserve(ledger, 1.0):
        pass
    with reserve(ledger, 1.0, Population(name="another company", units=PEOPLE.units, distinct_from=("bank",))):
        pass
    assert ledger.balance("another company").releases == 1


def test_other_people_are_no_overlap(ledger):
    with reserve(ledger, 1.0):
        pass
    with reserve(ledger, 1.0, Population(name="elsewhere", units=[f"stranger {i}" for i in range(500)])):
        pass
    assert ledger.balance("elsewhere").releases == ledger.balance("bank").releases == 1


def test_a_plan_dearer_than_its_budget_is_refused_and_costs_nothing(ledger):
    touches, scale = plan(2.0)
    with pytest.raises(BudgetExceededError, match="of a budget of 1"):
        ledger.reserve(PEOPLE, touches, budget=Budget(epsilon=1.0, delta=DELTA), noise_scale=scale)
    assert ledger.entries() == []


def test_delta_is_added_up_against_the_number_of_people(ledger):
    few = Population(name="few", units=[f"p{i}" for i in range(100_001)])
    with pytest.raises(BudgetExceededError, match="1/\\(10 x people\\)"):
        reserve(ledger, 1.0, few)


def test_a_touch_without_proof_needs_an_infinite_cap(ledger):
    with reserve(ledger, 1.0):
        pass
    touches = [Touch("tables", "model", NonPrivate())]
    with pytest.raises(BudgetExceededError, match="cap"):
        ledger.reserve(PEOPLE, touches, budget=Budget(epsilon=math.inf, delta=DELTA), noise_scale=1.0)


def test_each_touch_is_spent_once(ledger):
    with reserve(ledger, 1.0) as reservation:
        assert isinstance(reservation.spend("tables", "a count"), DiscreteGaussian)
        with pytest.raises(LedgerError, match="not reserved or is spent"):
            reservation.spend("tables", "a count")
        with pytest.raises(LedgerError, match="not reserved or is spent"):
            reservation.spend("tables", "another count")
        assert [touch.label for touch in reservation.unspent()] == ["attacks"]


def test_an_error_before_any_spending_gives_the_reservation_back(ledger):
    with pytest.raises(ValueError, match="early"), reserve(ledger, 1.0):
        raise ValueError("early")
    assert ledger.balance("bank").epsilon == 0
    assert ledger.balance("bank").attempts == 1


def test_an_error_after_spending_keeps_it_charged(ledger):
    def stop_late():
        with reserve(ledger, 1.0) as reservation:
            reservation.spend("tables", "a count")
            raise ValueError("late")

    with pytest.raises(ValueError, match="late"):
        stop_late()
    assert ledger.balance("bank").epsilon == pytest.approx(1.0, rel=1e-4)


def test_a_process_that_dies_leaves_its_reservation_charged(ledger):
    reserve(ledger, 1.0)  # never committed
    assert ledger.balance("bank").epsilon == pytest.approx(1.0, rel=1e-4)


def test_touches_survive_on_disk(ledger):
    touches, _ = plan(1.0)
    with reserve(ledger, 1.0):
        pass
    entry = next(entry for entry in ledger.entries() if entry.kind == "reserve")
    assert touches_of(entry) == touches


def test_entries_cannot_be_changed_through_sqlite(ledger):
    with reserve(ledger, 1.0):
        pass
    with sqlite3.connect(ledger.path) as connection, pytest.raises(sqlite3.DatabaseError, match="append-only"):
        connection.execute("UPDATE entries SET body = '{}' WHERE number = 1")
    connection.close()


@pytest.mark.parametrize(
    "sql", ["UPDATE entries SET body = replace(body, '1e-06', '1e-09') WHERE kind = 'reserve'", "DELETE FROM entries WHERE number = 2"]
)
def test_a_tampered_chain_is_noticed(ledger, sql):
    with reserve(ledger, 1.0):
        pass
    connection = sqlite3.connect(ledger.path)
    connection.executescript(f"DROP TRIGGER entries_are_not_changed; DROP TRIGGER entries_are_not_removed; {sql}")
    connection.close()
    with pytest.raises(LedgerError, match="does not fit the chain"):
        ledger.entries()


def test_an_older_copy_lacks_the_head(ledger, tmp_path):
    with reserve(ledger, 1.0):
        pass
    older = tmp_path / "older.sqlite"
    older.write_bytes(ledger.path.read_bytes())
    ledger.set_cap("bank", 5.0)
    assert ledger.contains(ledger.head())
    assert not Ledger.open(older).contains(ledger.head())


def test_a_file_that_is_no_ledger_is_refused(tmp_path):
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"not a database at all, but long enough to be looked at")
    with pytest.raises(LedgerError, match="damaged"):
        Ledger.open(path)


def test_ledger_and_key_are_for_the_owner_only(ledger):
    with reserve(ledger, 1.0):
        pass
    for path in (ledger.path, ledger.path.with_suffix(".key")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_unit_id_reaches_the_disk(ledger):
    with reserve(ledger, 1.0):
        pass
    assert b"person 1" not in ledger.path.read_bytes()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wishes=st.lists(st.floats(0.05, 1.0), min_size=1, max_size=6))
def test_what_is_spent_never_passes_the_cap(tmp_path_factory, wishes):
    ledger = Ledger.open(tmp_path_factory.mktemp("ledger") / "ledger.sqlite")
    ledger.set_cap("bank", 1.5)
    for wish in wishes:
        before = ledger.balance("bank").epsilon
        try:
            with reserve(ledger, wish):
                pass
        except BudgetExceededError:
            assert before + wish > 1.5 * (1 - 1e-3)
    assert ledger.balance("bank").epsilon <= 1.5 * (1 + 1e-9)


def _race(path, barrier, results):
    ledger = Ledger(path)
    barrier.wait()
    try:
        reserve(ledger, 1.0)
        results.put("reserved")
    except PrivSynthError as error:
        results.put(type(error).__name__)


@pytest.mark.slow
def test_two_processes_at_once_never_overspend(tmp_path):
    context = multiprocessing.get_context("fork")
    for race in range(100):
        ledger = Ledger.open(tmp_path / f"race{race}.sqlite")
        ledger.set_cap("bank", 1.2)
        barrier, results = context.Barrier(2), context.Queue()
        racers = [context.Process(target=_race, args=(ledger.path, barrier, results)) for _ in range(2)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        assert sorted(results.get() for _ in racers) == ["BudgetExceededError", "reserved"]
        assert ledger.balance("bank").epsilon <= 1.2


def test_a_lost_key_is_no_fresh_start(ledger):
    with reserve(ledger, 1.0):
        pass
    ledger.path.with_suffix(".key").unlink()
    with pytest.raises(LedgerError, match=r"key=.* is missing"):
        reserve(ledger, 1.0, Population(name="renamed", units=PEOPLE.units))


def test_a_few_people_out_of_very_many_are_noticed(ledger):
    with reserve(ledger, 1.0, Population(name="bank", units=[f"person {i}" for i in range(90_000)])):
        pass
    few = [f"person {i}" for i in range(60)] + [f"other {i}" for i in range(60)]
    with pytest.raises(LedgerError, match="shares people"):
        reserve(ledger, 1.0, Population(name="renamed", units=few))


def test_a_fact_read_off_the_data_has_no_finite_price(ledger):
    from fakes import people_dataset

    from privsynth import tabular
    from privsynth.tabular.tree import Tree

    dataset = people_dataset(1500)
    schema = dataset.schema
    table = schema.tables[0]
    peeked = table.with_columns(
        column.with_fact(source="data", bounds=(18, 90)) if column.name == "age" else column for column in table.columns
    )
    from dataclasses import replace

    train = replace(dataset, schema=replace(schema, tables=(peeked,)), role="train")
    with pytest.raises(BudgetExceededError, match="epsilon=inf"):
        tabular.fit(Tree(), train, budget=Budget(epsilon=5.0, delta=DELTA), ledger=ledger, population=PEOPLE)
