"""National identifiers of persons: how they are written, how they are checked, and how often chance would pass.

The checks are those of python-stdnum. A form that no other number has ("756.1234.5678.97", "RSSMRA85T10A562S") is
evidence by itself; bare digits that pass a check are not, because one in ten of any digits does: they count under a header
or beside a word that says so, or when far more values of a column pass than chance allows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from privsynth.registry import require

_LABEL = re.compile(r"(?:[^\W\d_]\.?){2,6}:? ?(?=\d)")


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


@lru_cache(maxsize=64)
def stdnum(name: str) -> Any:
    """A module of python-stdnum, imported on use."""
    return require(f"stdnum.{name}")


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
        """True if the number, without a label such as "PESEL:", passes its country's check."""
        if not self.module:
            return True
        check = stdnum(self.module).is_valid
        return bool(check(value)) or (_LABEL.match(value) is not None and bool(check(_LABEL.sub("", value))))

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
    NationalId(country="PL", name="PESEL", module="pl.pesel", written=r"PESEL:? ?\d{11}", plain=r"\d{11}", chance=0.04, context=("pesel",)),
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
    NationalId(
        country="GR",
        name="AMKA",
        module="gr.amka",
        written=r"AMKA:? ?\d{11}",
        plain=r"[0-3]\d[01]\d{8}",
        chance=0.11,
        context=("amka", "αμκα"),
    ),
    NationalId(country="BG", name="EGN", module="bg.egn", written=r"EGN:? ?\d{10}", plain=r"\d{10}", chance=0.02, context=("egn", "егн")),
    NationalId(
        country="EE", name="isikukood", module="ee.ik", written=r"EE[1-8]\d{10}", plain=r"[1-8]\d{10}", chance=0.01, context=("isikukood",)
    ),
    NationalId(
        country="LT",
        name="asmens kodas",
        module="lt.asmens",
        written=r"LT[1-6]\d{10}",
        plain=r"[1-6]\d{10}",
        chance=0.01,
        context=("asmens", "kodas"),
    ),
    NationalId(
        country="SK",
        name="rodné číslo",
        module="sk.rc",
        written=r"SK ?\d{6}/\d{3,4}",
        plain=r"\d{6}/?\d{4}",
        chance=0.04,
        context=("rodné", "číslo"),
    ),
    NationalId(
        country="SI", name="EMŠO", module="si.emso", written=r"EMŠO:? ?\d{13}", plain=r"[0-3]\d{12}", chance=0.02, context=("emšo", "emso")
    ),
    NationalId(
        country="IS",
        name="kennitala",
        module="is_.kennitala",
        written=r"IS ?\d{6}-\d{4}",
        plain=r"\d{6}-?\d{4}",
        chance=0.02,
        context=("kennitala", "kt"),
    ),
    NationalId(
        country="TR",
        name="T.C. kimlik no",
        module="tr.tckimlik",
        written=r"T\.?C\.?:? ?[1-9]\d{10}",
        plain=r"[1-9]\d{10}",
        chance=0.02,
        context=("kimlik", "tckn", "tc"),
    ),
    NationalId(
        country="UA",
        name="RNTRC",
        module="ua.rntrc",
        written=r"РНОКПП:? ?\d{10}",
        plain=r"\d{10}",
        chance=0.12,
        context=("рнокпп", "rntrc", "rnokpp", "іпн"),
    ),
    NationalId(
        country="IN",
        name="Aadhaar",
        module="in_.aadhaar",
        written=r"[2-9]\d{3}[ -]\d{4}[ -]\d{4}",
        plain=r"[2-9]\d{11}",
        chance=0.12,
        context=("aadhaar", "aadhar", "uidai", "uid"),
    ),
    NationalId(
        country="IN", name="PAN", module="in_.pan", written=r"[A-Z]{3}[ABCFGHLJPTK][A-Z]\d{4}[A-Z]", context=("pan", "income", "tax")
    ),
    NationalId(
        country="AU",
        name="tax file number",
        module="au.tfn",
        written=r"TFN:? ?\d{3} ?\d{3} ?\d{3}",
        plain=r"\d{9}|\d{3} \d{3} \d{3}",
        chance=0.12,
        context=("tfn", "tax"),
    ),
    NationalId(
        country="NZ",
        name="IRD number",
        module="nz.ird",
        written=r"IRD:? ?\d{2,3}-?\d{3}-?\d{3}",
        plain=r"\d{8,9}|\d{2,3}-\d{3}-\d{3}",
        chance=0.14,
        context=("ird",),
    ),
    NationalId(
        country="ZA",
        name="identity number",
        module="za.idnr",
        written=r"\d{6} \d{4} \d{3}",
        plain=r"\d{13}",
        chance=0.02,
        context=("identity", "rsa", "said"),
    ),
    NationalId(country="MX", name="CURP", module="mx.curp", written=r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[A-Z0-9]\d", context=("curp",)),
    NationalId(
        country="CL",
        name="RUT",
        module="cl.rut",
        written=r"\d{1,2}\.\d{3}\.\d{3}-[0-9Kk]",
        plain=r"\d{7,8}-?[0-9Kk]",
        chance=0.12,
        context=("rut", "run"),
    ),
    NationalId(
        country="AR", name="CUIT", module="ar.cuit", written=r"\d{2}-\d{8}-\d", plain=r"[23]\d{10}", chance=0.06, context=("cuit", "cuil")
    ),
    NationalId(
        country="CN",
        name="resident identity number",
        module="cn.ric",
        written=r"[1-8]\d{5}(?:19|20)\d{2}[01]\d[0-3]\d{4}[0-9Xx]",
        context=("身份证", "resident"),
    ),
    NationalId(country="KR", name="resident registration number", module="kr.rrn", written=r"\d{6}-\d{7}", context=("rrn", "주민등록번호")),
    NationalId(
        country="IL",
        name="identity number",
        module="il.idnr",
        written=r"ת\.?ז\.?:? ?\d{9}",
        plain=r"\d{9}",
        chance=0.12,
        context=("teudat", "zehut", "תז"),
    ),
    NationalId(country="MY", name="NRIC", module="my.nric", written=r"\d{6}-\d{2}-\d{4}", context=("nric", "mykad")),
    NationalId(
        country="TH",
        name="PIN",
        module="th.pin",
        written=r"\d-\d{4}-\d{5}-\d{2}-\d",
        plain=r"[1-8]\d{12}",
        chance=0.12,
        context=("citizen", "บัตรประชาชน"),
    ),
)
