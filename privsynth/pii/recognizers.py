"""What one value, or one stretch of text, looks like: patterns, checksums and lists of names.

Each type is described once and used twice. A *whole cell* is asked "are you entirely an e-mail address?",
which decides about columns; a *text* is searched with the same descriptions wrapped as Presidio recognizers.
National identifiers are checked by python-stdnum, phone numbers by libphonenumber, names by the lists that
Faker ships. Patterns are written without nested repetition, so that hostile text cannot make them slow.
"""

from __future__ import annotations

import importlib
import ipaddress
import pkgutil
import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from privsynth.pii.dates import MONTH_WORDS, TEXTUAL_DATE
from privsynth.pii.dates import is_date as is_date
from privsynth.pii.gates import Needs
from privsynth.pii.identifiers import NATIONAL_IDS as NATIONAL_IDS
from privsynth.pii.identifiers import NationalId as NationalId
from privsynth.pii.identifiers import stdnum
from privsynth.pii.phones import phone_numbers
from privsynth.pii.rules import RULES
from privsynth.pii.traits import Traits
from privsynth.registry import require

LANGUAGES = ("de", "en", "es", "fr", "it", "nl", "pt")
"""Languages for which context words, street words and month names are known."""

_REGIONS: Mapping[str, tuple[str, ...]] = {
    "de": ("DE", "CH", "AT"),
    "en": ("US", "GB", "IE", "AU"),
    "es": ("ES", "MX", "AR"),
    "fr": ("FR", "CH", "BE"),
    "it": ("IT", "CH"),
    "nl": ("NL", "BE"),
    "pt": ("PT", "BR"),
}

EMAIL = r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[^\W_](?:[\w-]{0,62}\.)[\w.-]{0,180}[^\W_]"
IBAN = r"[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]{4}){2,7}(?: ?[A-Za-z0-9]{1,3})?"
CARD = r"[2-6]\d{3}[ -]?\d{4}[ -]?\d{4}[ -]?\d{1,7}|3[47]\d{2}[ -]?\d{6}[ -]?\d{5}"
# Top-level domains that people write without "https://"; endings of source files (.py, .sh, .md, .rs, .pl) are left out.
_BARE_TLD = r"(?:com|org|net|edu|gov|info|biz|io|eu|uk|us|ch|de|at|fr|it|es|nl|be|pt|br|dk|se|no|fi|ie|ca|au|app|dev)"
_PATH = r"(?:/(?:[^\s<>\"']{0,2000}[^\s<>\"'.,;:!?)])?)?"
URLS = (
    r"https?://[^\s<>\"']{2,2000}[^\s<>\"'.,;:!?)]",
    r"www\.[^\s<>\"']{2,2000}[^\s<>\"'.,;:!?)]",
    rf"(?<![@\w.-])(?:[a-z0-9][a-z0-9-]{{0,62}}+\.){{1,4}}{_BARE_TLD}(?![\w@-]|\.\w){_PATH}",
)
URL = "|".join(f"(?:{pattern})" for pattern in URLS)

_CAPITAL = r"[^\W\d_a-zß-ÿ]"  # an upper-case letter of Latin scripts
_WORD = rf"{_CAPITAL}[\w'’.-]{{0,30}}"
_NUMBER = r"\d{1,5}(?:\s?[A-Za-z])?(?:[-/]\d{1,5})?"
_GAP = r"\s{1,3}"
_NAME_WORDS = rf"(?:{_GAP}[\w'’ºª.-]{{1,30}}){{1,6}}"
_STREETS = (
    # en: 12 Long Acre Road
    rf"{_NUMBER}{_GAP}(?:{_WORD}{_GAP}){{1,4}}(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Way|Terrace|"
    r"Place|Pl|Square|Sq|Crescent|Close|Parkway|Pkwy|Highway|Hwy|Circle|Cir|Trail|Row|Mews|Gardens|Grove|Hill|Plaza)\b\.?",
    # de, nl: Bahnhofstrasse 12, Lange Gasse 3, Prinsengracht 263
    rf"{_CAPITAL}[\w'’-]{{0,40}}(?:strasse|straße|str\.|gasse|weg|platz|allee|ring|gässli|rain|damm|ufer|"
    rf"straat|laan|plein|gracht|kade|dijk|steeg){_GAP}{_NUMBER}",
    rf"(?:{_WORD}{_GAP}){{1,3}}(?:Strasse|Straße|Str\.|Gasse|Weg|Platz|Allee|Straat|Laan|Plein){_GAP}{_NUMBER}",
    # fr: 12, rue de la Paix; rue du Rhône 8
    rf"{_NUMBER}(?:\s?(?:bis|ter))?,?{_GAP}(?:[Rr]ue|[Aa]venue|[Bb]oulevard|[Cc]hemin|[Pp]lace|[Aa]llée|[Rr]oute|[Ii]mpasse|[Qq]uai|"
    rf"[Cc]ours|[Ss]quare){_NAME_WORDS}",
    rf"(?:[Rr]ue|[Aa]venue|[Bb]oulevard|[Cc]hemin|[Rr]oute|[Qq]uai){_NAME_WORDS},?{_GAP}{_NUMBER}",
    # it, es, pt: Via Roma 12, Calle de Alcalá, 45, Rua Augusta 100
    r"(?:[Vv]ia|[Vv]iale|[Pp]iazza|[Pp]iazzale|[Cc]orso|[Vv]icolo|[Ll]argo|[Cc]alle|[Cc]/|[Aa]venida|[Aa]vda\.?|[Pp]laza|[Pp]aseo|[Cc]arrer|"
    rf"[Rr]ua|[Tt]ravessa|[Pp]raça){_NAME_WORDS},?{_GAP}(?:n[.º°]?\s{{0,3}})?{_NUMBER}",
)
_ROMANCE_STREETS = (
    "rue avenue boulevard chemin place allée route impasse quai cours square via viale piazza piazzale corso vicolo largo calle c avenida "
    "avda plaza paseo carrer rua travessa praça"
)
_STREET_WORDS: tuple[frozenset[str], ...] = (
    frozenset(
        (
            "street st avenue ave road rd lane ln drive dr boulevard blvd court ct way terrace place pl square sq crescent close parkway "
            "pkwy highway hwy circle cir trail row mews gardens grove hill plaza"
        ).split()
    ),
    frozenset(),  # compounds
    frozenset("strasse straße str gasse weg platz allee straat laan plein".split()),
    *(frozenset(_ROMANCE_STREETS.split()),) * 3,
)
"""For each pattern, words of which a text must hold one."""
STREET = "|".join(f"(?:{pattern})" for pattern in _STREETS)

_EMAIL_CELL = re.compile(EMAIL)
_IBAN_CELL = re.compile(IBAN)
_CARD_CELL = re.compile(CARD)
_URL_CELL = re.compile(URL, re.IGNORECASE)
_STREET_CELL = re.compile(rf"(?:{STREET})(?:\s*[,;\n].{{0,120}})?", re.DOTALL)
_PHONE_CELL = re.compile(r"(?:\+|00)?[(\d][\d ()./-]{5,24}\d(?:\s?(?:x|ext\.?)\s?\d{1,6})?")


def is_email(value: str) -> bool:
    """True if the value is one e-mail address and nothing else.

    >>> is_email("a.b@example.org"), is_email("a@localhost")
    (True, False)
    """
    return "@" in value and _EMAIL_CELL.fullmatch(value) is not None


def is_iban(value: str) -> bool:
    """True if the value is an IBAN with right length and check digits (ISO 13616)."""
    return _IBAN_CELL.fullmatch(value) is not None and bool(stdnum("iban").is_valid(value, check_country=False))


def is_card(value: str) -> bool:
    """True if the value has the length, first digit and Luhn check digit (ISO/IEC 7812) of a payment card."""
    digits = re.sub(r"\D", "", value)
    return 13 <= len(digits) <= 19 and _CARD_CELL.fullmatch(value) is not None and bool(stdnum("luhn").is_valid(digits))


def is_ip_address(value: str) -> bool:
    """True if the value is an IPv4 or IPv6 address."""
    if value.count(".") != 3 and value.count(":") < 2:
        return False
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def is_url(value: str) -> bool:
    """True if the value is one web address; a file name such as ``file.py`` is not."""
    return "." in value and _URL_CELL.fullmatch(value) is not None


def is_street_address(value: str) -> bool:
    """True if the value is a street with a number, in one of seven languages; a place may follow."""
    return any(character.isdigit() for character in value) and _STREET_CELL.fullmatch(value) is not None


def is_phone(value: str, *, regions: tuple[str, ...] = (), bare: bool = False) -> bool:
    """True if the value is one phone number.

    Args:
        value: The cell.
        regions: Country codes whose national formats count; an international number (``+41…``) always does.
        bare: Whether digits without any sign of a phone number (separator, leading zero, plus) count: only when
            the header speaks of phones, because nine or ten digits can be anything.
    """
    if _PHONE_CELL.fullmatch(value) is None or is_date(value) or is_ip_address(value) or re.fullmatch(r"\d+\.\d+", value):
        return False
    digits = re.sub(r"\D", "", value)
    if not 7 <= len(digits) <= 20:
        return False
    phonenumbers = require("phonenumbers")
    if value.startswith(("+", "00")):
        return _possible(phonenumbers, "+" + re.sub(r"^(?:\+|00)", "", value), None)
    separated = re.search(r"\d[ )/.-]+\(?\d", value) is not None
    if not bare and not separated:
        return False
    return any(_possible(phonenumbers, value, region) for region in regions)


def _possible(phonenumbers: Any, value: str, region: str | None) -> bool:
    try:
        number = phonenumbers.parse(value, region)
    except phonenumbers.NumberParseException:
        return False
    # Possible, not valid: numbering plans change faster than libraries, and fictional ranges are invalid in some countries.
    return bool(phonenumbers.is_possible_number(number))


WHOLE_CELL: Mapping[str, Callable[[str], bool]] = {
    "EMAIL_ADDRESS": is_email,
    "IBAN_CODE": is_iban,
    "CREDIT_CARD": is_card,
    "IP_ADDRESS": is_ip_address,
    "URL": is_url,
    "STREET_ADDRESS": is_street_address,
}
"""Types that a value shows by itself, with the question that is asked of the whole cell."""


@lru_cache(maxsize=1)
def name_lists() -> tuple[frozenset[str], frozenset[str]]:
    """First and last names of all of Faker's locales, folded by ``fold``."""
    package = require("faker.providers.person")
    first: set[str] = set()
    last: set[str] = set()
    for module in pkgutil.iter_modules(package.__path__):
        provider = importlib.import_module(f"faker.providers.person.{module.name}").Provider
        for attribute in ("first_names", "first_names_male", "first_names_female"):
            first.update(_names(provider, attribute))
        for attribute in ("last_names", "last_names_male", "last_names_female"):
            last.update(_names(provider, attribute))
    return frozenset(first), frozenset(last)


def _names(provider: Any, attribute: str) -> set[str]:
    listed = getattr(provider, attribute, ())
    return {fold(name) for name in listed} if isinstance(listed, (list, tuple, dict, set, frozenset)) else set()


def fold(text: str) -> str:
    """Case and accents removed, for comparing words.

    >>> fold("Müller"), fold("Prénom")
    ('muller', 'prenom')
    """
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def name_score(value: str) -> float:
    """How many parts of a value are listed names: 1.0 for a first and a last name, 0.5 for one word that is listed, else 0.0.

    >>> name_score("Anna Müller"), name_score("credit approved")
    (1.0, 0.0)
    """
    first, last = name_lists()
    words = [fold(word) for word in re.findall(r"[^\W\d_][\w'’-]*", value)]
    words = [word for word in words if word not in _TITLES]
    if not 1 <= len(words) <= 5 or any(character.isdigit() for character in value):
        return 0.0
    if len(words) == 1:
        return 0.5 if words[0] in first or words[0] in last else 0.0
    given = words[0] in first or words[-1] in first  # "Müller, Anna" and East Asian order too
    family = words[-1] in last or words[0] in last
    return 1.0 if given and family else 0.0


_TITLES = frozenset(
    (
        "mr mrs ms miss dr prof herr frau hr fr mme mlle m monsieur madame sr sra senor senora sig signor signora dhr mevr heer jr phd md"
    ).split()
)


_CARD_WORDS = ("card", "credit", "visa", "mastercard", "amex", "karte", "kreditkarte", "carte", "tarjeta", "carta", "kaart", "cartão")
_ADDRESS_WORDS = ("address", "adresse", "anschrift", "dirección", "indirizzo", "adres", "morada")
_PHONE_WORDS = tuple(
    (
        "phone telephone tel mobile cell cellphone call fax telefon handy natel mobil téléphone portable teléfono móvil telefono "
        "cellulare telefoon mobiel telefone telemóvel"
    ).split()
)


def build_recognizers(language: str) -> list[Any]:
    """Presidio recognizers for one language; they know patterns, checksums and name lists, and load no model.

    A number with a distinctive form scores at least 0.5. Digits that only pass a checksum score 0.15, which a
    context word nearby raises to 0.5 (Presidio adds 0.35): one number in eleven passes some of these checks. Digits that
    fail the checksum of a card, or are no number that libphonenumber knows, score 0.1: they need a context word too.
    """
    presidio = require("presidio_analyzer")
    generic = importlib.import_module("presidio_analyzer.predefined_recognizers")
    checked = _checked_recognizer_class(presidio)

    def build(
        entity: str,
        forms: list[tuple[str, float]],
        check: Callable[[str], bool] | None = None,
        context: tuple[str, ...] = (),
        name: str = "",
        words: frozenset[str] = frozenset(),
    ) -> Any:
        return checked(
            check=check,
            words=words,
            supported_entity=entity,
            name=f"privsynth.{name or entity.lower()}",
            supported_language=language,
            patterns=[presidio.Pattern(entity, expression, score) for expression, score in forms],
            context=list(context),
        )

    recognizers = [
        build("EMAIL_ADDRESS", [(_bounded(EMAIL), 1.0)], is_email, ("email", "mail")),
        generic.IbanRecognizer(supported_language=language),
        generic.IpRecognizer(supported_language=language),
        generic.MacAddressRecognizer(supported_language=language),
        generic.CryptoRecognizer(supported_language=language),
        generic.DateRecognizer(supported_language=language),
        build("DATE_TIME", [(_bounded(TEXTUAL_DATE), 0.6)], name="textual_date", words=MONTH_WORDS),
        build("CREDIT_CARD", [(_bounded(CARD), 0.6)], is_card, _CARD_WORDS),
        build("CREDIT_CARD", [(_bounded(CARD), 0.1)], None, _CARD_WORDS, name="credit_card_unchecked"),
        *(
            build("URL", [(_bounded(pattern), 0.5)], None, ("url", "website", "link"), words=frozenset(words))
            for pattern, words in zip(URLS, (("http", "https"), ("www",), ()), strict=True)
        ),
        *(
            build("STREET_ADDRESS", [(_bounded(f"(?-i:{pattern})"), 0.6)], None, _ADDRESS_WORDS, words=words)
            for pattern, words in zip(_STREETS, _STREET_WORDS, strict=True)
        ),
        _phone_recognizer(presidio, language),
        build("PHONE_NUMBER", [(rf"(?<![\w.+-]){_LOOSE_PHONE}(?![\w-])", 0.1)], _may_be_phone, _PHONE_WORDS, name="phone_number_unchecked"),
        _person_recognizer(presidio, language),
    ]
    for identifier in NATIONAL_IDS:
        forms = [(rf"(?<![\w.-])(?-i:{identifier.written})(?![\w-])", 0.6)]
        if identifier.plain:
            forms.append((rf"(?<![\w.+-])(?:{identifier.plain})(?![\w-])", 0.15))
        name = f"{identifier.country.lower()}.{identifier.module.partition('.')[2] or 'nino'}"
        recognizers.append(build("NATIONAL_ID", forms, identifier.is_valid, identifier.context, name=name))
    for rule in RULES:
        form = _bounded(rule.pattern) if rule.bounded else rule.pattern
        recognizers.append(build(rule.entity, [(form, rule.score)], rule.check, rule.context, name=rule.name, words=rule.words))
    return recognizers


def _bounded(expression: str) -> str:
    return rf"(?<![\w@])(?:{expression})(?![\w@])"


@lru_cache(maxsize=1)
def _checked_recognizer_class(presidio: Any) -> Any:
    class Checked(presidio.PatternRecognizer):  # type: ignore[misc]  # presidio has no types
        """A pattern whose matches must pass a check; unlike Presidio's ``validate_result``, passing does not raise the score to 1."""

        def __init__(self, *, check: Callable[[str], bool] | None, words: frozenset[str], **settings: Any) -> None:
            super().__init__(**settings)
            self._check = check
            self.words = words  # a text without any of them holds no match

        def invalidate_result(self, pattern_text: str) -> bool:
            return self._check is not None and not self._check(pattern_text)

    return Checked


def _phone_recognizer(presidio: Any, language: str) -> Any:
    class Phone(presidio.LocalRecognizer):  # type: ignore[misc]  # presidio has no types
        """Phone numbers of the language's countries and international ones; bare digits need a context word."""

        needs = (Needs(digits=7),)

        def load(self) -> None:
            pass

        def search(self, traits: Traits, floor: float) -> list[tuple[int, int, float]]:
            text = traits.text

            def is_worth_asking(start: int, end: int) -> bool:
                candidate = text[start:end]
                if len(candidate) > 15:  # several numbers side by side, or a card
                    return not is_card(candidate) and (floor <= _BARE_PHONE or not candidate.isdecimal())
                opening = text[start - 1 : start] if text[start - 1 : start] in ("+", "(") else ""
                score = _phone_score(opening + candidate)
                return score > 0 and score >= floor

            numbers = phone_numbers(traits, regions=_REGIONS[language], leniency=0, asked=is_worth_asking)
            scored = ((start, end, _phone_score(text[start:end])) for start, end in numbers)
            return [found for found in scored if found[2] > 0]

        def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[Any]:
            return [_result(presidio, self, start, end, score) for start, end, score in self.search(Traits(text), 0.0)]

    return Phone(
        supported_entities=["PHONE_NUMBER"], name="privsynth.phone_number", supported_language=language, context=list(_PHONE_WORDS)
    )


def _result(presidio: Any, recognizer: Any, start: int, end: int, score: float) -> Any:
    """A Presidio result; the context enhancer writes into its explanation, so that it must have one."""
    return presidio.RecognizerResult(
        recognizer.supported_entities[0],
        start,
        end,
        score,
        analysis_explanation=presidio.AnalysisExplanation(recognizer=recognizer.name, original_score=score),
        recognition_metadata={
            presidio.RecognizerResult.RECOGNIZER_NAME_KEY: recognizer.name,
            presidio.RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: recognizer.id,
        },
    )


_BARE_PHONE = 0.15  # score of digits without any sign of a phone number
_LOOSE_PHONE = r"\+?\(?\d(?:[ ()./-]{0,2}\d){6,14}"


_US_SSN = re.compile(r"\d{3}-\d{2}-\d{4}")  # no country groups its telephone numbers like this


def _may_be_phone(raw: str) -> bool:
    return _phone_score(raw) > 0.0


def _phone_score(raw: str) -> float:
    """0.0 for what is no phone number, 0.15 for bare digits, 0.5 for national and 0.75 for international form."""
    raw = re.split(r"[ ,;]*(?:e?x|#)", raw, maxsplit=1, flags=re.IGNORECASE)[0]  # an extension is no part of the number's length
    digits = re.sub(r"\D", "", raw)
    if not 7 <= len(digits) <= 15 or _US_SSN.fullmatch(raw) or is_date(raw) or is_ip_address(raw) or re.fullmatch(r"\d+[.]\d+", raw):
        return 0.0
    if raw.startswith(("+", "00")):
        return 0.75
    separated = re.search(r"\d[ )/.-]+\(?\d", raw) is not None
    return 0.5 if separated and (raw.startswith(("0", "(")) or len(digits) >= 9) else _BARE_PHONE


def _person_recognizer(presidio: Any, language: str) -> Any:
    particle = r"(?:van|von|der|den|de|di|da|dos|del|la|le|zu|ten|bin|al)"
    name = rf"{_CAPITAL}[\w'’-]{{1,25}}"
    pair = re.compile(rf"\b{name}(?:\s{_CAPITAL}\.)?(?:\s{particle}){{0,2}}\s{name}")
    # The word class takes in "." so that "Dr. med." works; names after a title need no list.
    titled = re.compile(
        rf"\b(?:Mr|Mrs|Ms|Miss|Dr|Prof|Herrn?|Frau|Mme|Mlle|Monsieur|Madame|Señora?|Sra?|Signora?|Sig|Dhr|Mevr)\.?\s(?:Dr\.\s)?({name}(?:(?:\s{particle}){{0,2}}\s{name})?)"
    )

    class Person(presidio.LocalRecognizer):  # type: ignore[misc]  # presidio has no types
        """Names after a title, and pairs of words that are a listed first name and a listed last name.

        It finds under half of the names in running text: no substitute for a trained model.
        """

        needs: tuple[Needs, ...] = ()

        def load(self) -> None:
            pass

        def search(self, traits: Traits, floor: float) -> list[tuple[int, int, float]]:
            text = traits.text
            spans = {match.span(1) for match in titled.finditer(text)}
            position = 0
            while (match := pair.search(text, position)) is not None:
                known = name_score(match.group()) == 1.0
                if known:
                    spans.add(match.span())
                # "Yesterday Anna Muller": when the first word is no name, the pair may begin at the second.
                position = match.end() if known else match.start() + len(match.group().split()[0])
            return [(start, end, 0.6) for start, end in sorted(spans)]

        def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[Any]:
            return [_result(presidio, self, start, end, score) for start, end, score in self.search(Traits(text), 0.0)]

    return Person(supported_entities=["PERSON"], name="privsynth.person", supported_language=language)
