"""Types that only the words of a text give away: ages, titles, user names, secrets, postcodes, numbers named by their neighbours.

Each rule is a pattern with a score. At 0.4 and above it counts by itself; a rule below that counts only where one of its
context words stands among the five words before (which adds 0.35): nine digits are nothing, nine digits after
"passport" are a passport number. Patterns have bounded repeats, so that hostile text cannot make them slow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_CAPITAL = r"[^\W\d_a-zß-ÿ]"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A pattern for one type of personal data.

    Attributes:
        entity: The type.
        name: What the rule looks for; it appears as the recognizer of a span.
        pattern: Regular expression; case is ignored except inside ``(?-i:...)``.
        score: In [0, 1].
        context: Words before a match that raise its score by 0.35.
        check: A match must pass it.
        words: Runs of letters in lower case; a text without any of them holds no match, so that it is not searched.
        bounded: Whether the match must not touch letters, digits, or "@".
    """

    entity: str
    name: str
    pattern: str
    score: float
    context: tuple[str, ...] = ()
    check: Callable[[str], bool] | None = None
    words: frozenset[str] = frozenset()
    bounded: bool = True


def _after(*openings: str) -> str:
    """The place after one of some openings; each is of fixed length, so that the derivation of gates can read the pattern."""
    # The last two characters first: they rule out most places.
    ends = sorted({opening[-2:] for opening in openings})
    return "".join("(?:" + "|".join(f"(?<={place})" for place in places) + ")" for places in (ends, openings))


def _human_age(value: str) -> bool:
    return int(value) <= 125


_AGE = (
    r"\d{1,3}(?=[ -]?(?:years?|yrs?|months?|weeks?)[ -]olds?\b|[ -]?(?:y/?o|y\.o\.)(?!\w)"
    r"|[ -]?jährige?[rnsm]?\b| ?Jahre? alt\b| años de edad\b| anos de idade\b| ?jaar oud\b|-jarige?\b| anni d'età\b)"
    r"|"
    + _after("aged ", "age ", "age: ", "age of ", "Alter: ", "Alter von ", "âgé de ", "âgée de ", "edad: ", "edad de ", "età: ", "età di ")
    + r"\d{1,3}"
    r"|" + _after("tiene ", "ha ", "tem ", "j'ai ", "leeftijd ") + r"\d{1,3}(?= (?:años|anni|anos|ans)\b)"
)

_AGE_WORDS = frozenset(
    (
        "year years yr yrs month months week weeks old olds yo y o aged age alter alt jahre jahr jährige jähriger jährigen jährigem "
        "jähriges jährig âgé âgée edad años idade anos anni ans età jaar jarige jarig leeftijd"
    ).split()
)
_TITLES = (
    "Mr|Mrs|Ms|Mx|Miss|Dr|Prof|Sir|Madam|Rev|Hon|Herrn?|Frau|Fr|Mme|Mlle|Monsieur|Madame|Señora?|Sra|Sr|Srta|Don|Doña|"
    "Signora?|Sig|Sig\\.ra|Dott|Dhr|Mevr|Mevrouw|Meneer|Dra|Senhora?"
)

_TITLE_WORDS = frozenset(
    (
        "mr mrs ms mx miss dr prof sir madam rev hon herr herrn frau fr mme mlle monsieur madame señor señora sra sr srta don doña signor "
        "signora sig dott dhr mevr mevrouw meneer dra senhor senhora"
    ).split()
)
_SECRETS = (
    r"(?-i:AKIA|ASIA)[0-9A-Z]{16}",  # Amazon access key
    r"gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{22,255}|glpat-[\w-]{20,64}",  # GitHub, GitLab
    r"xox[abposr]-[A-Za-z0-9-]{10,250}",  # Slack
    r"(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{16,250}",  # Stripe
    r"(?-i:AIza)[\w-]{35}|(?-i:ya29\.)[\w-]{20,250}",  # Google
    r"(?-i:sk-)[A-Za-z0-9_-]{20,250}|hf_[A-Za-z0-9]{30,64}|npm_[A-Za-z0-9]{36}|(?-i:SG\.)[\w-]{16,32}\.[\w-]{16,64}",
    r"(?-i:eyJ)[\w-]{8,4000}\.(?-i:eyJ)[\w-]{4,8000}\.[\w-]{8,2000}",  # JSON web token, RFC 7519
)
_PRIVATE_KEY = r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----(?:[A-Za-z0-9+/=\s:,-]{0,8000}?-----END [A-Z ]{0,30}PRIVATE KEY-----)?"
_PASSWORD_WORDS = (
    "password: |password:|password=|password is |passwd: |passwd=|pwd: |pwd=|passwort: |passwort ist |passwort=|mot de passe: |"
    "mot de passe : |contraseña: |wachtwoord: |senha: |api_key=|api key: |apikey=|api-key: |secret=|secret: |token=|token: |bearer "
)
_PASSWORD_OPENINGS = frozenset("password passwd pwd passwort passe contraseña wachtwoord senha api apikey secret token bearer".split())
_PASSWORD = _after(*_PASSWORD_WORDS.split("|")) + r"[^\s\"'<>,;]{4,200}"

_LOGIN_OPENINGS = (
    "username: |user name: |user: |login: |username=|user=|userid: |user id: |benutzername: |utilisateur: |identifiant: |usuario: |"
    "utente: |gebruikersnaam: |nickname: |handle: "
)
_US_STATES = (
    "AL|AK|AZ|AR|CA|CO|CT|DE|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ|NM|NY|NC|ND|OH|OK|OR|PA|RI|SC|SD|TN|TX|UT|"
    "VT|VA|WA|WV|WI|WY|DC|PR"
)
_POSTCODE_WORDS = tuple("postcode postal zip zipcode plz postleitzahl npa cap cp postcode cep code".split())
_ACCOUNT_WORDS = tuple(
    "account acct a/c konto kontonummer kontonr compte cuenta conto rekening rekeningnummer conta sort routing aba blz".split()
)
_LICENCE_WORDS = tuple("driver drivers driver's driving licence license führerschein permis patente rijbewijs carteira".split())
_PASSPORT_WORDS = tuple("passport reisepass pass passeport pasaporte passaporto paspoort passaporte".split())

RULES: tuple[Rule, ...] = (
    Rule(entity="AGE", name="age", pattern=_AGE, score=0.5, check=_human_age, words=_AGE_WORDS),
    Rule(entity="TITLE", name="title", pattern=rf"(?-i:(?:{_TITLES})\.?(?=\s{{1,3}}{_CAPITAL}))", score=0.4, words=_TITLE_WORDS),
    Rule(entity="USERNAME", name="handle", pattern=r"(?<![\w@./])@(?-i:[A-Za-z_])\w{1,28}(?:\.\w{1,20})?", score=0.5, bounded=False),
    Rule(
        entity="USERNAME",
        name="user name after a colon",
        pattern=_after(*_LOGIN_OPENINGS.split("|")) + r"[\w.-]{2,40}",
        score=0.6,
        words=frozenset(
            "username user userid login benutzername utilisateur identifiant usuario utente gebruikersnaam nickname handle".split()
        ),
    ),
    Rule(
        entity="USERNAME",
        name="user name",
        pattern=r"(?=[a-z]{1,40}(?:[\d_]|[.-]\w))[a-z][\w.-]{2,40}",
        score=0.1,
        context=("username", "user", "login", "benutzername", "handle", "nickname"),
    ),
    *(Rule(entity="SECRET", name="access key", pattern=pattern, score=0.9) for pattern in _SECRETS),
    Rule(entity="SECRET", name="private key", pattern=_PRIVATE_KEY, score=0.95, bounded=False),
    Rule(entity="SECRET", name="password", pattern=_PASSWORD, score=0.7, words=_PASSWORD_OPENINGS, bounded=False),
    Rule(entity="POSTCODE", name="postcode GB", pattern=r"(?-i:[A-Z]{1,2}\d[A-Z\d]? \d[ABD-HJLNP-UW-Z]{2})", score=0.5),
    Rule(entity="POSTCODE", name="postcode CA", pattern=r"(?-i:[ABCEGHJ-NPRSTVXY]\d[ABCEGHJ-NPRSTV-Z] \d[ABCEGHJ-NPRSTV-Z]\d)", score=0.5),
    Rule(entity="POSTCODE", name="postcode US", pattern=rf"(?-i:(?<=(?:{_US_STATES}) ))\d{{5}}(?:-\d{{4}})?", score=0.6),
    Rule(entity="POSTCODE", name="postcode with country", pattern=r"(?-i:(?:CH|FL|D|A|F|B|NL|I|E|P|L)-\d{4,5})", score=0.5),
    Rule(entity="POSTCODE", name="postcode NL", pattern=r"(?-i:[1-9]\d{3} [A-Z]{2})", score=0.3, context=_POSTCODE_WORDS),
    Rule(entity="POSTCODE", name="postcode", pattern=r"\d{5}-\d{3,4}|\d{4}-\d{3}|\d{4,6}", score=0.1, context=_POSTCODE_WORDS),
    Rule(
        entity="BANK_ACCOUNT",
        name="account number",
        pattern=r"\d{6,17}|\d{2}-\d{2}-\d{2}|\d{2,5}[ -]\d{3,8}(?:[ -]\d{1,6})?",
        score=0.1,
        context=_ACCOUNT_WORDS,
    ),
    Rule(
        entity="PASSPORT",
        name="passport number",
        pattern=r"(?-i:[A-Z]{1,2}\d{6,8}|C[0-9CFGHJKLMNPRTVWXYZ]{8}|\d{2}[A-Z]{2}\d{5})|\d{9}",
        score=0.1,
        context=_PASSPORT_WORDS,
    ),
    Rule(
        entity="DRIVER_LICENSE",
        name="driving licence number",
        pattern=r"(?-i:[A-Z]{1,3}\d{5,14}[A-Z]{0,2}|[A-Z]\d{3}-\d{4}-\d{4}|[A-Z]{5}\d{6}[A-Z]{2}\d[A-Z]{2})|\d{7,12}",
        score=0.1,
        context=_LICENCE_WORDS,
    ),
)
"""All rules, for every language: notes mix languages, and an English bank writes about "Herr Müller"."""
