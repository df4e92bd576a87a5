"""Coarser values in place of exact ones: age bands, three-digit ZIP codes, years.

The rules are those of the HIPAA Safe Harbor method, 45 CFR 164.514(b)(2): all elements of dates but the year, ages above 89 as one
class, and the first three digits of a ZIP code only where more than 20,000 people live under them.
"""

from __future__ import annotations

import re

SPARSE_ZIP3 = frozenset("036 059 063 102 203 556 692 790 821 823 830 831 878 879 884 890 893".split())
"""Three-digit ZIP codes with 20,000 people or fewer in the census of 2000: HHS, Guidance on De-identification (2012)."""

OLDEST = 90
"""Ages from here on are one class."""


def age_band(age: str, *, width: int = 5) -> str:
    """The band of whole years that an age lies in, with whatever words stand around it.

    >>> age_band("47"), age_band("aged 93"), age_band("7", width=10)
    ('45-49', 'aged 90+', '0-9')
    """

    def band(match: re.Match[str]) -> str:
        years = int(match.group())
        if years >= OLDEST:
            return f"{OLDEST}+"
        low = years // width * width
        return f"{low}-{min(low + width, OLDEST) - 1}"

    return re.sub(r"\d+", band, age)


def zip3(postcode: str) -> str:
    """A ZIP code with its last two digits covered, or wholly where few people live; other postcodes keep two characters.

    >>> zip3("94110-1234"), zip3("03601"), zip3("SW1A 1AA"), zip3("8004")
    ('941**', '000**', 'SW** ***', '80**')
    """
    plain = postcode.strip()
    if re.fullmatch(r"\d{5}(?:-\d{4})?", plain):
        return ("000" if plain[:3] in SPARSE_ZIP3 else plain[:3]) + "**"
    return plain[:2] + re.sub(r"\w", "*", plain[2:])


def year(date: str) -> str | None:
    """The year of a date that is written with four digits, or None if there is none to be seen.

    >>> year("12.03.1987"), year("March 3, 2001"), year("12/03/87") is None
    ('1987', '2001', True)
    """
    found = re.findall(r"(?<!\d)(?:1[89]|20)\d{2}(?!\d)", date)
    return found[0] if found else None
