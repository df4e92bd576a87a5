"""Make the files of the fictional bank: ``python sample_data/make.py`` writes them beside this script.

Nobody in these files exists. Names come from Faker's lists, everything else from the distributions below, so that the
tables have the texture of a real export (dependence, rare groups, nulls that mean something, typing errors) and no real
content. The seed is fixed; the same versions of numpy and Faker give the same bytes.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from faker import Faker

SEED = 20260630
N_PEOPLE = 12_000
TRANSACTIONS_PER_PERSON = 5
EXPORTED_ON = np.datetime64("2026-06-30")
LOGINS_SINCE = np.datetime64("2012-01-01")
OPENED_SINCE = np.datetime64("1985-01-01")
# rules of the bank, which the plan declares as bounds
LARGEST_INCOME = 500_000
LARGEST_BALANCE = 2_000_000
LARGEST_OVERDRAFT = 25_000

PHONE_PREFIX = "59"
"""A national prefix that the Swiss numbering plan does not assign (libphonenumber knows no number under it)."""
BANK_CODE = "00099"
"""A clearing number below 00100, where the Swiss bank master begins: no bank has it."""
EMAIL_DOMAINS = ("alpenpost.example", "postfach.example", "courrier-leman.example", "lagomail.example", "firnmail.example")

FloatArray = npt.NDArray[np.float64]
DateArray = npt.NDArray[np.datetime64]

# postcode, city, locale of the names, weight, income factor
PLACES: tuple[tuple[str, str, str, float, float], ...] = (
    ("1003", "Lausanne", "fr_CH", 2.0, 1.05),
    ("1004", "Lausanne", "fr_CH", 3.0, 0.95),
    ("1006", "Lausanne", "fr_CH", 2.0, 1.05),
    ("1110", "Morges", "fr_CH", 1.5, 1.15),
    ("1201", "Genève", "fr_CH", 2.5, 1.05),
    ("1202", "Genève", "fr_CH", 3.0, 1.05),
    ("1204", "Genève", "fr_CH", 1.5, 1.30),
    ("1205", "Genève", "fr_CH", 2.5, 1.15),
    ("1217", "Meyrin", "fr_CH", 1.5, 0.95),
    ("1227", "Carouge GE", "fr_CH", 1.5, 1.10),
    ("1260", "Nyon", "fr_CH", 1.2, 1.25),
    ("1400", "Yverdon-les-Bains", "fr_CH", 1.5, 0.88),
    ("1630", "Bulle", "fr_CH", 1.2, 0.92),
    ("1700", "Fribourg", "fr_CH", 2.0, 0.92),
    ("1800", "Vevey", "fr_CH", 1.2, 0.98),
    ("1820", "Montreux", "fr_CH", 1.2, 1.05),
    ("1920", "Martigny", "fr_CH", 1.0, 0.85),
    ("1950", "Sion", "fr_CH", 1.5, 0.88),
    ("2000", "Neuchâtel", "fr_CH", 1.8, 0.92),
    ("2300", "La Chaux-de-Fonds", "fr_CH", 1.5, 0.80),
    ("2400", "Le Locle", "fr_CH", 0.5, 0.78),
    ("2502", "Biel/Bienne", "de_CH", 1.5, 0.86),
    ("2503", "Biel/Bienne", "fr_CH", 1.0, 0.86),
    ("2800", "Delémont", "fr_CH", 0.8, 0.84),
    ("2900", "Porrentruy", "fr_CH", 0.4, 0.80),
    ("3011", "Bern", "de_CH", 1.5, 1.12),
    ("3012", "Bern", "de_CH", 2.5, 1.05),
    ("3013", "Bern", "de_CH", 2.0, 1.05),
    ("3400", "Burgdorf", "de_CH", 0.9, 0.95),
    ("3600", "Thun", "de_CH", 1.8, 0.96),
    ("3900", "Brig", "de_CH", 0.7, 0.88),
    ("3960", "Sierre", "fr_CH", 0.8, 0.84),
    ("4051", "Basel", "de_CH", 2.0, 1.18),
    ("4056", "Basel", "de_CH", 2.2, 1.00),
    ("4057", "Basel", "de_CH", 2.2, 0.92),
    ("4123", "Allschwil", "de_CH", 1.0, 1.08),
    ("4410", "Liestal", "de_CH", 0.8, 1.02),
    ("4500", "Solothurn", "de_CH", 1.0, 0.98),
    ("4600", "Olten", "de_CH", 1.0, 0.95),
    ("5000", "Aarau", "de_CH", 1.3, 1.05),
    ("5400", "Baden", "de_CH", 1.3, 1.12),
    ("6003", "Luzern", "de_CH", 1.5, 1.05),
    ("6004", "Luzern", "de_CH", 1.5, 1.02),
    ("6010", "Kriens", "de_CH", 1.0, 0.98),
    ("6060", "Sarnen", "de_CH", 0.4, 1.02),
    ("6300", "Zug", "de_CH", 1.5, 1.55),
    ("6340", "Baar", "de_CH", 0.9, 1.48),
    ("6370", "Stans", "de_CH", 0.4, 1.12),
    ("6430", "Schwyz", "de_CH", 0.6, 1.10),
    ("6460", "Altdorf UR", "de_CH", 0.4, 0.92),
    ("6500", "Bellinzona", "it_IT", 1.2, 0.80),
    ("6600", "Locarno", "it_IT", 0.9, 0.80),
    ("6830", "Chiasso", "it_IT", 0.5, 0.74),
    ("6850", "Mendrisio", "it_IT", 0.7, 0.82),
    ("6900", "Lugano", "it_IT", 2.0, 0.92),
    ("7000", "Chur", "de_CH", 1.4, 0.94),
    ("7270", "Davos Platz", "de_CH", 0.5, 0.95),
    ("7500", "St. Moritz", "de_CH", 0.3, 1.10),
    ("8001", "Zürich", "de_CH", 1.2, 1.45),
    ("8004", "Zürich", "de_CH", 3.0, 1.12),
    ("8005", "Zürich", "de_CH", 2.0, 1.20),
    ("8006", "Zürich", "de_CH", 2.5, 1.25),
    ("8050", "Zürich", "de_CH", 3.0, 1.02),
    ("8200", "Schaffhausen", "de_CH", 1.3, 0.95),
    ("8400", "Winterthur", "de_CH", 3.0, 1.02),
    ("8500", "Frauenfeld", "de_CH", 1.0, 0.95),
    ("8610", "Uster", "de_CH", 1.2, 1.10),
    ("8750", "Glarus", "de_CH", 0.5, 0.88),
    ("8820", "Wädenswil", "de_CH", 0.9, 1.18),
    ("9000", "St. Gallen", "de_CH", 2.2, 0.95),
    ("9050", "Appenzell", "de_CH", 0.3, 0.98),
    ("9100", "Herisau", "de_CH", 0.6, 0.92),
)

# segment: share, youngest, oldest, median income, share without income, mean number of further products
SEGMENTS: dict[str, tuple[float, int, int, float, float, float]] = {
    "retail": (0.620, 18, 70, 72_000, 0.02, 1.2),
    "student": (0.110, 18, 29, 14_000, 0.35, 0.4),
    "retired": (0.150, 63, 97, 42_000, 0.20, 1.0),
    "business": (0.075, 25, 68, 96_000, 0.06, 2.0),
    "private": (0.030, 35, 92, 210_000, 0.01, 3.0),
    "expatriate": (0.009, 25, 60, 130_000, 0.01, 1.5),
    "diplomat": (0.003, 30, 66, 150_000, 0.01, 1.2),
    "staff": (0.003, 20, 64, 98_000, 0.0, 2.5),
}
RISK_CLASSES = ("A", "B", "C", "D", "E")

# category: share, median amount in francs, channels open to it
CATEGORIES: dict[str, tuple[float, float, tuple[str, ...]]] = {
    "groceries": (0.270, -48, ("card", "mobile")),
    "restaurants": (0.150, -36, ("card", "mobile")),
    "transport": (0.130, -22, ("card", "mobile", "e-banking")),
    "salary": (0.110, 5_200, ("e-banking",)),
    "rent": (0.080, -1_650, ("e-banking",)),
    "insurance": (0.070, -340, ("e-banking",)),
    "cash": (0.065, -150, ("atm", "branch")),
    "health": (0.055, -120, ("card", "e-banking")),
    "travel": (0.036, -420, ("card", "e-banking")),
    "electronics": (0.030, -210, ("card", "e-banking", "mobile")),
    "charity": (0.004, -80, ("e-banking", "branch")),
}


def make(n_people: int = N_PEOPLE, seed: int = SEED) -> dict[str, pd.DataFrame]:
    """The three tables by file name."""
    rng = np.random.default_rng(seed)
    place = rng.choice(len(PLACES), size=n_people, p=_shares([row[3] for row in PLACES]))
    clients = _clients(place, rng)
    transactions = _transactions(clients, rng)
    clients.insert(0, "client_id", [f"K{number}" for number in 1_000_000 + rng.choice(9_000_000, size=n_people, replace=False)])
    transactions.insert(1, "client_id", clients["client_id"].to_numpy()[transactions.pop("person")])
    clients["notes"] = _notes(clients, rng)
    _plant_typing_errors(clients, rng)
    clients["churned"] = np.where(clients["churned"], "true", "false")
    postcodes = pd.DataFrame([row[:2] for row in PLACES], columns=["postcode", "city"])
    return {"clients.csv": clients, "transactions.csv": transactions, "postcodes.csv": postcodes}


def write(frames: dict[str, pd.DataFrame], folder: Path) -> None:
    for name, frame in frames.items():
        frame.to_csv(folder / name, index=False, lineterminator="\n", encoding="utf-8")


def _shares(weights: Any) -> FloatArray:
    plain = np.asarray(weights, dtype=np.float64)
    return plain / plain.sum()


def _of_segment(segment: npt.NDArray[np.str_], field: int) -> FloatArray:
    return np.array([SEGMENTS[name][field] for name in segment], dtype=np.float64)


def _clients(place: npt.NDArray[np.int64], rng: np.random.Generator) -> pd.DataFrame:
    """Everything but the identifier and the notes, in file order."""
    n = len(place)
    segment = rng.choice(list(SEGMENTS), size=n, p=_shares([row[0] for row in SEGMENTS.values()]))
    youngest, oldest = _of_segment(segment, 1), _of_segment(segment, 2)
    age = youngest + (oldest - youngest) * np.where(segment == "retired", rng.beta(1.3, 2.2, n), rng.beta(1.6, 1.8, n))
    born_on = EXPORTED_ON - np.round(age * 365.25).astype("timedelta64[D]")
    opened_on, last_seen_on = _dates(age, rng)
    income = _income(segment, age, np.array([row[4] for row in PLACES])[place], rng)
    balance = _balance(segment, income, rng)
    products = 1 + np.minimum(rng.poisson(_of_segment(segment, 5)), 6)
    risk = _risk_class(segment, income, balance, rng)
    persons = _persons(place, rng)
    return persons.assign(
        postcode=[PLACES[i][0] for i in place],
        city=[PLACES[i][1] for i in place],
        date_of_birth=born_on.astype(str),
        segment=segment,
        income=pd.array(np.where(rng.random(n) < _of_segment(segment, 4), np.nan, income), dtype="Int64"),
        balance=balance,
        opened_on=opened_on.astype(str),
        last_seen_on=last_seen_on.astype(str),
        products=products,
        risk_class=risk,
        churned=_churned(segment, balance, products, risk, last_seen_on, rng),
    )


def _dates(age: FloatArray, rng: np.random.Generator) -> tuple[DateArray, DateArray]:
    """When the account was opened (after the 16th birthday) and when its owner last logged in (not before that)."""
    n = len(age)
    days_open = np.floor((age - 16) * 365.25 * rng.beta(1.0, 2.4, n))
    days_open = np.minimum(days_open, (EXPORTED_ON - OPENED_SINCE).astype(int))
    days_away = np.floor(np.where(rng.random(n) < 0.14, rng.exponential(420, n), rng.exponential(18, n)))
    days_away = np.minimum(days_away, np.minimum(days_open, (EXPORTED_ON - LOGINS_SINCE).astype(int)))
    return EXPORTED_ON - days_open.astype("timedelta64[D]"), EXPORTED_ON - days_away.astype("timedelta64[D]")


def _income(segment: npt.NDArray[np.str_], age: FloatArray, region: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Yearly income in francs, in hundreds: lognormal around a median of segment, age and region."""
    works = ~np.isin(segment, ["student", "retired"])
    by_age = np.where(works, 1 + 0.016 * (np.clip(age, 18, 55) - 40), 1.0)
    income = _of_segment(segment, 3) * by_age * region * rng.lognormal(0, 0.32, len(age))
    return np.minimum(np.round(income, -2), LARGEST_INCOME)


def _balance(segment: npt.NDArray[np.str_], income: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Balance in francs: a point mass at 0, some overdrafts, and a heavy right tail."""
    n = len(income)
    saved = income * rng.lognormal(-1.6, 1.1, n) * np.where(segment == "retired", 2.5, 1.0)
    saved *= np.where(rng.random(n) < 0.02, 1 + rng.pareto(1.4, n) * 4, 1.0)
    overdrawn = rng.random(n) < np.select([segment == "business", segment == "retail"], [0.09, 0.05], 0.01)
    empty = rng.random(n) < np.select([segment == "student", segment == "retired", segment == "private"], [0.30, 0.08, 0.03], 0.145)
    balance = np.where(overdrawn, -np.minimum(rng.lognormal(6.8, 1.0, n), LARGEST_OVERDRAFT), np.minimum(saved, LARGEST_BALANCE))
    return np.round(np.where(empty, 0.0, balance), 2)


def _risk_class(segment: npt.NDArray[np.str_], income: FloatArray, balance: FloatArray, rng: np.random.Generator) -> npt.NDArray[np.str_]:
    """A is the safest. Depends on overdraft, income and segment; E is rare."""
    score = (
        1.4 * (balance < 0)
        - 0.5 * np.log(np.maximum(income, 3_000) / 60_000)
        + 0.5 * (segment == "business")
        + rng.normal(0, 0.7, len(income))
    )
    return np.array(RISK_CLASSES)[np.searchsorted([-0.35, 0.45, 1.2, 2.2], score)]


def _churned(
    segment: npt.NDArray[np.str_],
    balance: FloatArray,
    products: npt.NDArray[np.int64],
    risk: npt.NDArray[np.str_],
    last_seen_on: DateArray,
    rng: np.random.Generator,
) -> npt.NDArray[np.bool_]:
    """Left within the following half year: a coin whose odds depend on balance, products, last login, risk and segment."""
    days_away = (EXPORTED_ON - last_seen_on).astype(int)
    logit = -3.0 + 1.5 * (balance == 0) - 0.25 * (balance > 50_000) + 0.75 * np.log1p(days_away / 14)
    logit += -0.55 * (products - 2) + 0.35 * np.searchsorted(RISK_CLASSES, risk) + 0.4 * (segment == "student") - 0.6 * (segment == "staff")
    # two products and a long absence is worse than the sum of both: something a linear model cannot see
    logit += 0.9 * ((products <= 2) & (days_away > 90))
    return rng.random(len(balance)) < 1 / (1 + np.exp(-logit))


def _persons(place: npt.NDArray[np.int64], rng: np.random.Generator) -> pd.DataFrame:
    """Names and contact data, by the language of the place."""
    # Faker has no Italian names for Switzerland (it_CH falls back to English ones)
    fakers = {locale: Faker(locale) for locale in ("de_CH", "fr_CH", "it_IT")}
    for fake in fakers.values():
        fake.seed_instance(int(rng.integers(2**31)))
    rows = []
    taken: dict[str, int] = {}
    for i in place:
        fake = fakers[PLACES[i][2]]
        first, last = fake.first_name(), fake.last_name()
        rows.append(
            {
                "name": f"{first} {last}",
                "email": _email(first, last, taken, rng),
                "phone": _phone(rng),
                "iban": _iban(rng),
                "national_id": _national_id(rng),
                "street_address": f"{fake.street_name()} {rng.integers(1, 180)}",
            }
        )
    return pd.DataFrame(rows)


def _email(first: str, last: str, taken: dict[str, int], rng: np.random.Generator) -> str:
    plain = unicodedata.normalize("NFKD", f"{first}.{last}".replace("ß", "ss")).encode("ascii", "ignore").decode().lower()
    local = "".join(sign for sign in plain if sign.isalnum() or sign in ".-")
    taken[local] = taken.get(local, 0) + 1
    return f"{local}{taken[local] if taken[local] > 1 else ''}@{EMAIL_DOMAINS[rng.integers(len(EMAIL_DOMAINS))]}"


def _phone(rng: np.random.Generator) -> str:
    digits = f"{rng.integers(10_000_000):07d}"
    return f"+41 {PHONE_PREFIX} {digits[:3]} {digits[3:5]} {digits[5:]}"


def _iban(rng: np.random.Generator) -> str:
    account = f"{BANK_CODE}{rng.integers(10**12):012d}"
    compact = f"CH{98 - int(account + '121700') % 97:02d}{account}"  # ISO 7064 mod 97-10, with C = 12 and H = 17
    return " ".join(compact[i : i + 4] for i in range(0, len(compact), 4))


def _national_id(rng: np.random.Generator) -> str:
    """An AHV number: 756, nine random digits and the check digit of EAN-13."""
    digits = f"756{rng.integers(10**9):09d}"
    check = -sum(int(digit) * (3 if i % 2 else 1) for i, digit in enumerate(digits)) % 10
    return f"{digits[:3]}.{digits[3:7]}.{digits[7:11]}.{digits[11]}{check}"


def _transactions(clients: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Bookings of the year before each client's last login; busy clients have many, some have none."""
    n = len(clients) * TRANSACTIONS_PER_PERSON
    busy = rng.gamma(1.2, 1.0, len(clients)) * np.sqrt(clients["products"].to_numpy(dtype=np.float64))
    person = np.sort(rng.choice(len(clients), size=n, p=_shares(busy)))
    opened = clients["opened_on"].to_numpy(dtype="datetime64[D]")[person]
    seen = clients["last_seen_on"].to_numpy(dtype="datetime64[D]")[person]
    window = np.minimum((seen - opened).astype(int), 365)
    category = rng.choice(list(CATEGORIES), size=n, p=_shares([row[0] for row in CATEGORIES.values()]))
    amount = np.array([CATEGORIES[name][1] for name in category]) * rng.lognormal(0, 0.55, n)
    channel = [CATEGORIES[name][2][int(draw * len(CATEGORIES[name][2]))] for name, draw in zip(category, rng.random(n), strict=True)]
    frame = pd.DataFrame(
        {
            "person": person,
            "booked_on": (seen - np.floor(rng.random(n) * (window + 1)).astype("timedelta64[D]")).astype(str),
            "amount": np.round(amount * 20) / 20,  # the smallest coin is 5 centimes
            "merchant_category": category,
            "channel": channel,
        }
    )
    frame = frame.sort_values(["booked_on", "person"], kind="stable", ignore_index=True)
    frame.insert(0, "transaction_id", [f"T{i + 1:06d}" for i in range(n)])
    return frame


OPENINGS = {
    "retail": (
        "Household account, salary arrives here.",
        "Long-standing retail client from {city}.",
        "Uses the {city} branch for most matters.",
    ),
    "student": ("Student account, fee waived until graduation.", "Studies in {city} and shares a flat.", "Student, parents pay the rent."),
    "retired": ("Pension is paid in on the 5th.", "Retired, prefers letters to the app.", "Comes to the {city} counter once a month."),
    "business": (
        "Runs a small company from {city}.",
        "Business account with seasonal turnover.",
        "Card terminal rented since the account was opened.",
    ),
    "private": (
        "Private banking mandate, reviewed every quarter.",
        "Wishes to speak to the same adviser every time.",
        "Portfolio is run from {city}.",
    ),
    "expatriate": ("Moved to {city} for work, contract ends in two years.", "Tax residence is under review."),
    "diplomat": ("Holds a diplomatic card; usual tax forms do not apply.", "Posted to {city} by an international body."),
    "staff": ("Employee of the bank, staff conditions apply.", "Staff account; dealings need approval."),
}
MONEY = {
    "overdrawn": (
        "The overdraft limit was exceeded twice.",
        "Asked for more time to settle the overdraft.",
        "Reminder sent for the negative balance.",
    ),
    "empty": ("The account is empty and has no standing orders.", "Nothing has been paid in for months.", "Funds were withdrawn in full."),
    "usual": ("Balance is steady over the year.", "Saves a small sum every month.", "No unusual movements seen."),
    "large": (
        "High balance, offered a meeting on investments.",
        "Asked about fixed deposits for a larger sum.",
        "Inheritance arrived, source documents are on file.",
    ),
}
MOODS = {
    True: (
        "Asked for the closing form.",
        "Is comparing offers of other banks.",
        "Complained about fees and sounded decided.",
        "Moved the standing orders elsewhere.",
    ),
    False: (
        "Satisfied at the last review.",
        "Recommended us to a colleague.",
        "No open requests.",
        "Would like a reminder before the card expires.",
    ),
}
OFFERS = {
    "few": ("Holds a current account only.", "Declined a credit card.", "Has no savings plan yet."),
    "some": ("Holds {products} products.", "Card and savings plan in use.", "Added a savings plan, now {products} products."),
    "many": ("Mortgage, custody account and cards: {products} products in all.", "Uses {products} products and the mobile app daily."),
}
CONTACTS = (
    "{name} called from {phone} about a lost card.",
    "Call back on {phone} after six.",
    "Letter to {street_address}, {postcode} {city} came back.",
    "Spoke to {name} at the counter.",
    "{first} asked to be reached at {email}.",
    "New address from next month, until then {street_address} in {city}.",
    "Reached {name} on {national_phone}.",
)
THIRD_PARTIES = ("{other} has power of attorney.", "Rent goes to {other}.", "{other} stands surety for the loan.")


def _notes(clients: pd.DataFrame, rng: np.random.Generator) -> list[str | None]:
    """One to four English sentences on each client, some naming the client or somebody else; no note for a few."""

    def pick(sentences: tuple[str, ...]) -> str:
        return sentences[rng.integers(len(sentences))]

    names = clients["name"].to_numpy()
    notes: list[str | None] = []
    for row in clients.to_dict("records"):
        money = "overdrawn" if row["balance"] < 0 else "empty" if row["balance"] == 0 else "large" if row["balance"] > 60_000 else "usual"
        offer = "few" if row["products"] == 1 else "some" if row["products"] < 4 else "many"
        sentences = [pick(OPENINGS[row["segment"]]), pick(MONEY[money]), pick(OFFERS[offer]), pick(MOODS[row["churned"]])]
        kept = [sentences[i] for i in sorted(rng.choice(4, size=rng.integers(1, 4), replace=False))]
        if rng.random() < 0.35:
            kept.append(pick(CONTACTS))
        elif rng.random() < 0.03:
            kept.append(pick(THIRD_PARTIES))
        facts = row | {
            "first": row["name"].partition(" ")[0],
            "national_phone": row["phone"].replace("+41 ", "0"),
            "other": names[rng.integers(len(names))],
        }
        notes.append(None if rng.random() < 0.04 else " ".join(kept).format(**facts))
    return notes


def _plant_typing_errors(clients: pd.DataFrame, rng: np.random.Generator) -> None:
    """What every real export has, in columns of personal data only; about two in a thousand rows each."""
    errors = {
        "email": lambda cell: cell.replace("@", " at "),
        "phone": lambda cell: cell[:-2] + "O" + cell[-1],  # the letter, where a digit stood
        "name": lambda cell: cell.replace(" ", "  "),
        "national_id": lambda cell: cell[:-1] + str((int(cell[-1]) + 1) % 10),
        "iban": lambda cell: cell.replace(" ", "").lower(),
    }
    for column, spoil in errors.items():
        rows = rng.choice(len(clients), size=max(1, len(clients) // 500), replace=False)
        clients.loc[rows, column] = clients.loc[rows, column].map(spoil)


if __name__ == "__main__":
    here = Path(__file__).parent
    write(make(), here)
    for made in ("clients.csv", "transactions.csv", "postcodes.csv"):
        print(f"{made}: {(here / made).stat().st_size:,} bytes")
