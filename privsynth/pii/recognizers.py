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
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

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
URL = rf"(?:https?://|www\.)[^\s<>\"']{{2,2000}}[^\s<>\"'.,;:!?)]|(?<![@\w.-])(?:[a-z0-9][a-z0-9-]{{0,62}}\.){{1,4}}{_BARE_TLD}(?![\w@-]|\.\w)(?:/(?:[^\s<>\"']*[^\s<>\"'.,;:!?)])?)?"

_CAPITAL = r"[^\W\d_a-zß-ÿ]"  # an upper-case letter of Latin scripts
_WORD = rf"{_CAPITAL}[\w'’.-]{{0,30}}"
_NUMBER = r"\d{1,5}(?:\s?[A-Za-z])?(?:[-/]\d{1,5})?"
_STREETS = (
    # en: 12 Long Acre Road
    rf"{_NUMBER}\s+(?:{_WORD}\s+){{1,4}}(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Way|Terrace|Place|Pl|Square|Sq|"
    r"Crescent|Close|Parkway|Pkwy|Highway|Hwy|Circle|Cir|Trail|Row|Mews|Gardens|Grove|Hill|Plaza)\b\.?",
    # de, nl: Bahnhofstrasse 12, Lange Gasse 3, Prinsengracht 263
    rf"{_CAPITAL}[\w'’-]{{0,40}}(?:strasse|straße|str\.|gasse|weg|platz|allee|ring|gässli|rain|damm|ufer|straat|laan|plein|gracht|kade|dijk|steeg)\s+{_NUMBER}",
    rf"(?:{_WORD}\s+){{1,3}}(?:Strasse|Straße|Str\.|Gasse|Weg|Platz|Allee|Straat|Laan|Plein)\s+{_NUMBER}",
    # fr: 12, rue de la Paix; rue du Rhône 8
    rf"{_NUMBER}(?:\s?(?:bis|ter))?,?\s+(?:[Rr]ue|[Aa]venue|[Bb]oulevard|[Cc]hemin|[Pp]lace|[Aa]llée|[Rr]oute|[Ii]mpasse|[Qq]uai|[Cc]ours|[Ss]quare)(?:\s+[\w'’.-]{{1,30}}){{1,6}}",
    rf"(?:[Rr]ue|[Aa]venue|[Bb]oulevard|[Cc]hemin|[Rr]oute|[Qq]uai)(?:\s+[\w'’.-]{{1,30}}){{1,6}},?\s+{_NUMBER}",
    # it, es, pt: Via Roma 12, Calle de Alcalá, 45, Rua Augusta 100
    r"(?:[Vv]ia|[Vv]iale|[Pp]iazza|[Pp]iazzale|[Cc]orso|[Vv]icolo|[Ll]argo|[Cc]alle|[Cc]/|[Aa]venida|[Aa]vda\.?|[Pp]laza|[Pp]aseo|[Cc]arrer|[Rr]ua|[Tt]ravessa|[Pp]raça)"
    rf"(?:\s+[\w'’ºª.-]{{1,30}}){{1,6}},?\s+(?:n[.º°]?\s*)?{_NUMBER}",
)
STREET = "|".join(f"(?:{pattern})" for pattern in _STREETS)

_MONTHS = (
    "january february march april may june july august september october november december jan feb mar apr jun jul "
    "aug sep sept oct nov dec januar jänner februar märz mai juni juli oktober dezember janvier février mars avril "
    "juin juillet août septembre octobre novembre décembre enero febrero marzo abril mayo junio julio agosto "
    "septiembre octubre noviembre diciembre gennaio febbraio aprile maggio giugno luglio settembre ottobre dicembre "
    "januari februari maart mei augustus januari fevereiro janeiro março maio junho julho setembro outubro novembro "
    "dezembro"
)
_MONTH = "(?:" + "|".join(sorted(set(_MONTHS.split()), key=lambda month: (-len(month), month))) + r")\.?"
TEXTUAL_DATE = (
    rf"(?:\d{{1,2}}(?:\.|st|nd|rd|th|er|º)?(?:\s+(?:de|of))?\s+{_MONTH}(?:,?\s+(?:(?:de|of)\s+)?\d{{4}})?"
    rf"|{_MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?,?\s+\d{{4}}|{_MONTH}\s+(?:de\s+)?\d{{4}})"
)
_DATE_CELL = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
    r"|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2})(?: \d{1,2}:\d{2}(?::\d{2})?)?"
    rf"|{TEXTUAL_DATE}|\d{{1,2}}-(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)-\d{{2,4}}",
    re.IGNORECASE,
)
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
    return _IBAN_CELL.fullmatch(value) is not None and bool(_stdnum("iban").is_valid(value, check_country=False))


def is_card(value: str) -> bool:
    """True if the value has the length, first digit and Luhn check digit (ISO/IEC 7812) of a payment card."""
    digits = re.sub(r"\D", "", value)
    return 13 <= len(digits) <= 19 and _CARD_CELL.fullmatch(value) is not None and bool(_stdnum("luhn").is_valid(digits))


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


def is_date(value: str) -> bool:
    """True if the value is written as a date; whether that day exists is not checked."""
    return _DATE_CELL.fullmatch(value) is not None


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


@dataclass(frozen=True, kw_only=True)
class NationalId:
    """One national identifier of persons.

    Attributes:
        country: ISO 3166 code.
        name: What the country calls it.
        module: Module of python-stdnum that checks it; empty when the format is the only rule.
        written: Pattern of the form that nothing else has (letters or separators in fixed places).
        plain: Pattern of digits alone, or empty; such a number needs more evidence than its own shape.
        chance: Upper bound for the share of random digit strings of the plain shape that pass the check.
        context: Words that make a plain number in a text this identifier.
    """

    country: str
    name: str
    module: str
    written: str
    plain: str = ""
    chance: float = 0.0
    context: tuple[str, ...] = ()

    def is_valid(self, value: str) -> bool:
        """True if the number passes its country's check."""
        return not self.module or bool(_stdnum(self.module).is_valid(value))

    def is_written(self, value: str) -> bool:
        """True if the whole value is this identifier in its distinctive form."""
        return _compiled(self.written).fullmatch(value) is not None and self.is_valid(value)

    def is_plain(self, value: str) -> bool:
        """True if the whole value is digits that pass the check."""
        return bool(self.plain) and _compiled(self.plain).fullmatch(value) is not None and self.is_valid(value)


NATIONAL_IDS: tuple[NationalId, ...] = (
    NationalId(
        country="CH",
        name="AHV/AVS number",
        module="ch.ssn",
        written=r"756[. ]\d{4}[. ]\d{4}[. ]\d{2}",
        plain=r"756\d{10}",
        chance=0.15,
        context=("ahv", "avs", "navs", "sozialversicherungsnummer"),
    ),
    NationalId(
        country="DE",
        name="tax identification number",
        module="de.idnr",
        written=r"[1-9]\d \d{3} \d{3} \d{3}",
        plain=r"[1-9]\d{10}",
        chance=0.08,
        context=("idnr", "steuer", "steuerid", "steuernummer", "tin"),
    ),
    NationalId(
        country="FR",
        name="NIR",
        module="fr.nir",
        written=r"[12] \d{2} [0-9]{2} (?:\d{2}|2[AB]) \d{3} \d{3} ?\d{2}",
        plain=r"[12]\d{4}(?:\d{2}|2[AB])\d{8}",
        chance=0.02,
        context=("nir", "insee", "sécurité", "sécu", "vitale"),
    ),
    NationalId(
        country="NL",
        name="BSN",
        module="nl.bsn",
        written=r"\d{4}\.\d{2}\.\d{3}",
        plain=r"\d{9}",
        chance=0.12,
        context=("bsn", "burgerservicenummer", "sofinummer"),
    ),
    NationalId(
        country="BE",
        name="national number",
        module="be.nn",
        written=r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}",
        plain=r"\d{11}",
        chance=0.02,
        context=("rijksregisternummer", "insz", "niss", "registre"),
    ),
    NationalId(country="ES", name="DNI", module="es.dni", written=r"\d{8}-?[A-Z]", context=("dni", "nif")),
    NationalId(country="ES", name="NIE", module="es.nie", written=r"[XYZ]-?\d{7}-?[A-Z]", context=("nie",)),
    NationalId(
        country="IT",
        name="codice fiscale",
        module="it.codicefiscale",
        written=r"[A-Z]{6}[0-9LMNP-V]{2}[A-EHLMPRST][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]",
        context=("codice", "fiscale"),
    ),
    NationalId(
        country="PT",
        name="NIF",
        module="pt.nif",
        written=r"PT ?\d{9}",
        plain=r"[1-35689]\d{8}|\d{3} \d{3} \d{3}",
        chance=0.12,
        context=("nif", "contribuinte"),
    ),
    NationalId(country="PL", name="PESEL", module="pl.pesel", written=r"PESEL:? ?\d{11}", plain=r"\d{11}", chance=0.02, context=("pesel",)),
    NationalId(
        country="AT",
        name="social insurance number",
        module="at.vnr",
        written=r"[1-9]\d{3} \d{6}",
        plain=r"[1-9]\d{9}",
        chance=0.12,
        context=("svnr", "sozialversicherungsnummer", "versicherungsnummer"),
    ),
    NationalId(
        country="DK",
        name="CPR number",
        module="dk.cpr",
        written=r"\d{6}-\d{4}",
        plain=r"\d{10}",
        chance=0.05,
        context=("cpr", "personnummer"),
    ),
    NationalId(
        country="SE",
        name="personnummer",
        module="se.personnummer",
        written=r"(?:\d{2})?\d{6}[-+]\d{4}",
        plain=r"\d{12}|\d{10}",
        chance=0.02,
        context=("personnummer", "pnr"),
    ),
    NationalId(
        country="NO",
        name="fødselsnummer",
        module="no.fodselsnummer",
        written=r"\d{6} \d{5}",
        plain=r"\d{11}",
        chance=0.01,
        context=("fødselsnummer", "personnummer"),
    ),
    NationalId(
        country="FI", name="HETU", module="fi.hetu", written=r"\d{6}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y]", context=("hetu", "henkilötunnus")
    ),
    NationalId(
        country="GB",
        name="NHS number",
        module="gb.nhs",
        written=r"NHS:? ?\d{3} ?\d{3} ?\d{4}",
        plain=r"\d{3}[ -]?\d{3}[ -]?\d{4}",
        chance=0.12,
        context=("nhs",),
    ),
    NationalId(
        country="GB",
        name="National Insurance number",
        module="",
        written=r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]",
        context=("nino", "insurance"),
    ),
    NationalId(
        country="US",
        name="Social Security number",
        module="us.ssn",
        written=r"\d{3}[- ]\d{2}[- ]\d{4}",
        plain=r"\d{9}",
        chance=0.95,
        context=("ssn", "social", "security"),
    ),
    NationalId(
        country="BR", name="CPF", module="br.cpf", written=r"\d{3}\.\d{3}\.\d{3}-\d{2}", plain=r"\d{11}", chance=0.02, context=("cpf",)
    ),
    NationalId(country="IE", name="PPS number", module="ie.pps", written=r"\d{7}[A-W][A-IW]?", context=("pps", "ppsn")),
    NationalId(
        country="CZ", name="rodné číslo", module="cz.rc", written=r"\d{6}/\d{3,4}", plain=r"\d{10}", chance=0.02, context=("rodné", "rč")
    ),
    NationalId(country="RO", name="CNP", module="ro.cnp", written=r"CNP:? ?\d{13}", plain=r"[1-9]\d{12}", chance=0.02, context=("cnp",)),
    NationalId(country="HR", name="OIB", module="hr.oib", written=r"HR\d{11}", plain=r"\d{11}", chance=0.12, context=("oib",)),
    NationalId(
        country="CA",
        name="Social Insurance Number",
        module="ca.sin",
        written=r"\d{3}[- ]\d{3}[- ]\d{3}",
        plain=r"\d{9}",
        chance=0.12,
        context=("sin", "insurance"),
    ),
)


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


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


@lru_cache(maxsize=64)
def _stdnum(name: str) -> Any:
    """A module of python-stdnum, imported on use."""
    return require(f"stdnum.{name}")


def build_recognizers(language: str) -> list[Any]:
    """Presidio recognizers for one language; they know patterns, checksums and name lists, and load no model.

    A number with a distinctive form scores at least 0.5. Digits that only pass a checksum score 0.15, which a
    context word nearby raises to 0.5 (Presidio adds 0.35): one number in eleven passes some of these checks.
    """
    presidio = require("presidio_analyzer")
    generic = importlib.import_module("presidio_analyzer.predefined_recognizers")
    checked = _checked_recognizer_class(presidio)

    def patterns(entity: str, expression: str, score: float, check: Callable[[str], bool] | None, context: tuple[str, ...]) -> Any:
        bounded = rf"(?<![\w@])(?:{expression})(?![\w@])"
        return checked(
            check=check,
            supported_entity=entity,
            name=f"privsynth.{entity.lower()}",
            supported_language=language,
            patterns=[presidio.Pattern(entity, bounded, score)],
            context=list(context),
        )

    recognizers = [
        patterns("EMAIL_ADDRESS", EMAIL, 1.0, is_email, ("email", "mail")),
        generic.IbanRecognizer(supported_language=language),
        generic.IpRecognizer(supported_language=language),
        generic.DateRecognizer(supported_language=language),
        patterns("DATE_TIME", TEXTUAL_DATE, 0.6, None, ()),
        patterns("CREDIT_CARD", CARD, 0.6, is_card, ("card", "visa", "mastercard", "karte", "carte", "tarjeta", "carta")),
        patterns("URL", URL, 0.5, None, ("url", "website", "link")),
        patterns(
            "STREET_ADDRESS", f"(?-i:{STREET})", 0.6, None, ("address", "adresse", "anschrift", "dirección", "indirizzo", "adres", "morada")
        ),
        _phone_recognizer(presidio, language),
        _person_recognizer(presidio, language),
    ]
    for identifier in NATIONAL_IDS:
        name = f"privsynth.{identifier.country.lower()}.{identifier.module.partition('.')[2] or 'nino'}"
        forms = [presidio.Pattern("written", rf"(?<![\w.-])(?-i:{identifier.written})(?![\w-])", 0.6)]
        if identifier.plain:
            forms.append(presidio.Pattern("plain", rf"(?<![\w.+-])(?:{identifier.plain})(?![\w-])", 0.15))
        recognizers.append(
            checked(
                check=identifier.is_valid,
                supported_entity="NATIONAL_ID",
                name=name,
                supported_language=language,
                patterns=forms,
                context=list(identifier.context),
            )
        )
    return recognizers


@lru_cache(maxsize=1)
def _checked_recognizer_class(presidio: Any) -> Any:
    class Checked(presidio.PatternRecognizer):  # type: ignore[misc]  # presidio has no types
        """A pattern whose matches must pass a check; unlike Presidio's ``validate_result``, passing does not raise the score to 1."""

        def __init__(self, *, check: Callable[[str], bool] | None, **settings: Any) -> None:
            super().__init__(**settings)
            self._check = check

        def invalidate_result(self, pattern_text: str) -> bool:
            return self._check is not None and not self._check(pattern_text)

    return Checked


def _phone_recognizer(presidio: Any, language: str) -> Any:
    phonenumbers = require("phonenumbers")
    candidate = re.compile(r"\d(?:[\s()./+-]{0,3}\d){6}")

    class Phone(presidio.LocalRecognizer):  # type: ignore[misc]  # presidio has no types
        """Phone numbers of the language's countries and international ones; bare digits need a context word."""

        def load(self) -> None:
            pass

        def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[Any]:
            if candidate.search(text) is None:  # no seven digits together: nothing that libphonenumber could find
                return []
            found: dict[tuple[int, int], Any] = {}
            for region in _REGIONS[language]:
                for match in phonenumbers.PhoneNumberMatcher(text, region, leniency=phonenumbers.Leniency.POSSIBLE):
                    score = _phone_score(match.raw_string)
                    if score and (match.start, match.end) not in found:
                        found[match.start, match.end] = _result(presidio, self, match.start, match.end, score)
            return list(found.values())

    words = (
        "phone telephone tel mobile cell cellphone call fax telefon handy natel mobil téléphone portable teléfono "
        "móvil telefono cellulare telefoon mobiel telefone telemóvel"
    )
    return Phone(supported_entities=["PHONE_NUMBER"], name="privsynth.phone_number", supported_language=language, context=words.split())


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


def _phone_score(raw: str) -> float:
    """0.0 for what is no phone number, 0.15 for bare digits, 0.5 for national and 0.75 for international form."""
    digits = re.sub(r"\D", "", raw)
    if not 7 <= len(digits) <= 15 or is_date(raw) or is_ip_address(raw) or re.fullmatch(r"\d+[.]\d+", raw):
        return 0.0
    if raw.startswith(("+", "00")):
        return 0.75
    separated = re.search(r"\d[ )/.-]+\(?\d", raw) is not None
    return 0.5 if separated and (raw.startswith(("0", "(")) or len(digits) >= 9) else 0.15


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

        def load(self) -> None:
            pass

        def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[Any]:
            spans = {match.span(1) for match in titled.finditer(text)}
            position = 0
            while (match := pair.search(text, position)) is not None:
                known = name_score(match.group()) == 1.0
                if known:
                    spans.add(match.span())
                # "Yesterday Anna Muller": when the first word is no name, the pair may begin at the second.
                position = match.end() if known else match.start() + len(match.group().split()[0])
            return [_result(presidio, self, start, end, 0.6) for start, end in sorted(spans)]

    return Person(supported_entities=["PERSON"], name="privsynth.person", supported_language=language)
