"""The fast loop finds what Presidio finds: same spans, same scores, for its recognizers and for a user's own."""

import numpy as np
import pytest

from privsynth.errors import PIIError
from privsynth.pii import detect, detect_spans
from privsynth.pii.engine import Engine, Hit, without_contained

presidio = pytest.importorskip("presidio_analyzer")
pytest.importorskip("faker")

SENTENCES = (
    "Called {name} on {phone}, call back {date}.",
    "my ssn is {ssn} and passport {nine}",
    "Card {card} declined; account {account} at the bank.",
    "mail {email} or see {url} from {ip}, {ip6}",
    "IBAN {iban} ref {uuid} mac {mac}",
    "driver license A{nine} zip 94105",
    "wallet bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
    "nothing to see here, 12.5 % of 1,000 units at 10:30",
    "Grüße aus Zürich, 🙂 tel. +41 79 123 45 67 ext. 12",
    "Ring 030/2345678, (415) 555-2671 x5 or 168.4",
)


def texts(n, rng, sentences):
    from faker import Faker

    fake = Faker("en_US")
    fake.seed_instance(7)
    made = []
    for _ in range(n):
        chosen = rng.choice(SENTENCES, size=sentences)
        values = {
            "name": fake.name(), "phone": fake.phone_number(), "date": fake.date(pattern="%m/%d/%Y"), "ssn": fake.ssn(),
            "nine": str(rng.integers(10**8, 10**9)), "card": fake.credit_card_number(), "account": str(rng.integers(10**9, 10**12)),
            "email": fake.email(), "url": fake.url(), "ip": fake.ipv4(), "ip6": fake.ipv6(), "iban": fake.iban(), "uuid": fake.uuid4(),
            "mac": fake.mac_address(),
        }  # fmt: skip
        made.append(" ".join(sentence.format(**values) for sentence in chosen))
    return made


@pytest.fixture(scope="module")
def stock():
    detect._keep_offline()
    registry = presidio.RecognizerRegistry(supported_languages=["en"])
    registry.load_predefined_recognizers(languages=["en"])
    registry.recognizers = [r for r in registry.recognizers if type(r).__name__ != "SpacyRecognizer"]
    whole_word = presidio.context_aware_enhancers.LemmaContextAwareEnhancer(context_matching_mode="whole_word")
    engine = presidio.AnalyzerEngine(
        registry=registry, nlp_engine=detect._nlp_engine("en"), supported_languages=["en"], context_aware_enhancer=whole_word
    )
    return engine, Engine(registry.recognizers, language="en", words=detect._pipeline().tokenizer)


def spans_of(results):
    return sorted((r.start, r.end, r.entity_type, round(r.score, 6)) for r in results)


@pytest.mark.parametrize(("n", "sentences"), [(60, 1), (25, 3), (2, 60)], ids=["cells", "notes", "long documents"])
def test_stock_recognizers_give_presidios_spans_and_scores(stock, n, sentences):
    engine, ours = stock
    found = 0
    for text in texts(n, np.random.default_rng(5), sentences):
        expected = spans_of(engine.analyze(text, "en", score_threshold=0.0))
        assert sorted((h.start, h.end, h.entity, round(h.score, 6)) for h in ours.search(text)) == expected
        found += len(expected)
    assert found > 50


def test_a_threshold_only_leaves_out_what_lies_below_it(stock):
    ours = stock[1]
    for text in texts(20, np.random.default_rng(6), 3):
        everything = without_contained(hit for hit in ours.search(text) if hit.score >= 0.4)
        assert sorted(everything) == ours.search(text, threshold=0.4)


@pytest.mark.parametrize("language", ["en", "de"])
def test_both_backends_find_the_same(language):
    rows = [
        *texts(8, np.random.default_rng(8), 2),
        "Frau Müller, Bahnhofstrasse 12, CH-8001 Zürich, Natel 079 123 45 67",
        "aged 45, password: hunter2",
    ]
    fast, stock_engine = (detect_spans(rows, language=language, backend=backend) for backend in ("fast", "presidio"))
    assert [[(s.start, s.end, s.entity) for s in row] for row in fast] == [
        [(s.start, s.end, s.entity) for s in row] for row in stock_engine
    ]


def test_a_users_recognizers_work_unchanged():
    ticket = presidio.PatternRecognizer(
        supported_entity="TICKET", patterns=[presidio.Pattern("ticket", r"\bTCK-\d{6}\b", 0.3)], context=["ticket"], deny_list=["Projekt X"]
    )
    row = detect_spans(["about ticket TCK-123456 and Projekt X", "TCK-123456"], recognizers=[ticket])
    assert {(s.entity, round(s.score, 2)) for s in row[0]} == {("TICKET", 0.65), ("TICKET", 1.0)}
    assert row[1] == ()


class Reader(presidio.EntityRecognizer):
    """Needs the words of Presidio's NLP engine, and judges context by itself."""

    def load(self):
        pass

    def analyze(self, text, entities, nlp_artifacts):
        return [
            presidio.RecognizerResult(
                "ODD", token.idx, token.idx + len(token), 0.2, recognition_metadata={"recognizer_identifier": self.id}
            )
            for token in nlp_artifacts.tokens
            if token.text == "odd"
        ]

    def enhance_using_context(self, text, raw_recognizer_results, other_raw_recognizer_results, nlp_artifacts, context=None):
        for result in raw_recognizer_results:
            result.score = 0.9 if other_raw_recognizer_results else 0.1
        return raw_recognizer_results


def test_a_recognizer_that_reads_artifacts_and_enhances_itself():
    own = Reader(supported_entities=["ODD"], name="reader")
    with_other, alone = detect_spans(["odd a@example.org", "odd"], recognizers=[own])
    assert [(s.entity, s.score) for s in with_other] == [("ODD", 0.9), ("EMAIL_ADDRESS", 1.0)]
    assert alone == ()


class Broken(presidio.PatternRecognizer):
    def validate_result(self, pattern_text):
        raise ValueError(f"cannot read {pattern_text}")


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_recognizer_that_raises_is_named_and_stops_the_run(processes):
    broken = Broken(supported_entity="X", name="acme broken", patterns=[presidio.Pattern("x", "zq[a-z]+", 0.5)])
    rows = ["fine", "about zqcanary", *(f"text {i}" for i in range(600 if processes > 1 else 1))]
    with pytest.raises(PIIError, match=r"'acme broken' failed.*ValueError") as failed:
        detect_spans(rows, recognizers=[broken], processes=processes)
    assert "zqcanary" not in str(failed.value)


def test_a_pattern_that_runs_out_of_time_is_named_and_stops_the_run(monkeypatch):
    monkeypatch.setattr("privsynth.pii.engine.PATTERN_SECONDS", 0.05)
    bad = presidio.PatternRecognizer(supported_entity="X", name="acme slow", patterns=[presidio.Pattern("x", r"(?:a|aa)+[bd]\d", 0.5)])
    with pytest.raises(PIIError, match="'acme slow' ran out of time"):
        detect_spans(["a" * 60 + " b1"], recognizers=[bad])


@pytest.mark.slow
def test_processes_give_the_same_spans():
    rows = [f"a{i}@example.org on {i % 28 + 1} May 2020" for i in range(600)]
    assert detect_spans(rows, processes=2) == detect_spans(rows)


def test_hits_inside_a_hit_of_their_type_and_score_are_left_out():
    def hit(start, end, entity, score):
        return Hit(start, end, entity, score, "r", 0)

    outer, inner, sure, other = hit(0, 10, "A", 0.5), hit(2, 5, "A", 0.5), hit(3, 6, "A", 0.9), hit(2, 5, "B", 0.1)
    assert set(without_contained([inner, other, sure, outer, hit(4, 5, "C", 0.0)])) == {outer, sure, other}
