"""What a column's header says about it, in the words of seven languages and more."""

from __future__ import annotations

import re

from privsynth.pii.recognizers import fold


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Header words, folded. A word of several tokens is written with "_" and must be there whole.
EMAIL = _words("email e_mail mail emailaddress mailadresse courriel correo correio")
PHONE = _words(
    "phone telephone tel telnr mobile cell cellphone fax telefon telefonnummer handy natel telefono cellulare movil "
    "celular telefoon telefoonnummer mobiel telefone telemovel phonenumber"
)
NATIONAL = _words(
    "ssn ahv avs nir bsn dni nie nif cpf pesel cpr personnummer fodselsnummer hetu nino nhs ppsn aadhaar insz niss "
    "sozialversicherungsnummer codice_fiscale codicefiscale social_security national_id nationalid steuer_id steuerid "
    "tax_id taxid securite_sociale secu_sociale rijksregisternummer burgerservicenummer passport"
)
CARD = _words("credit_card creditcard card_number cardnumber kreditkarte carte_bancaire tarjeta_credito carta_credito cartao_credito pan")
STREET = _words(
    "street address addr strasse adresse anschrift rue voie direccion calle domicilio indirizzo adres straat morada "
    "endereco address1 address2 streetaddress"
)
BIRTH = _words(
    "birth birthday birthdate dob born geburtsdatum geburtstag geboren naissance nacimiento nascita geboortedatum nascimento dateofbirth"
)
FIRST_NAME = _words("firstname first_name given_name givenname forename vorname rufname prenom voornaam primer_nombre")
LAST_NAME = _words(
    "lastname last_name surname family_name familyname nachname familienname nom_famille apellido apellidos cognome "
    "achternaam apelido sobrenome middle_name"
)
FULL_NAME = _words(
    "name fullname full_name nom nombre nome naam inhaber kontoinhaber cardholder holder patient employee mitarbeiter "
    "kunde client_name customer_name nominativo"
)
NOT_A_PERSON = _words(
    "company product brand file filename city country firm firma bank branch event course category department column "
    "table host hostname domain species school team job state region project campaign hospital item drug medication "
    "plan society entreprise empresa azienda bedrijf produkt produit producto prodotto land pays pais paese stadt "
    "ville ciudad citta genre station street id count type status code"
)
USERNAME = _words(
    "username user_name user login loginname userid_name handle nickname nick screenname benutzername benutzer "
    "identifiant usuario utente gebruikersnaam utilizador"
)
ID = _words("id ids key uuid guid identifier kennung nr nummer numero number no ref reference identifiant codigo")
ID_ENDINGS = (
    "customerid",
    "clientid",
    "userid",
    "patientid",
    "accountid",
    "personid",
    "memberid",
    "kundennr",
    "kundennummer",
    "kontonummer",
    "vertragsnummer",
    "rowid",
)
COUNTED = _words("number_of num_of no_of anzahl nombre_de numero_de")
PLACE = _words(
    "postcode postal zip zipcode plz postleitzahl npa cap cep code_postal codigo_postal city town ort wohnort stadt "
    "ville localite ciudad citta comune plaats woonplaats gemeente cidade canton kanton county state region country "
    "land"
)
POSTCODE = _words("postcode postal zip zipcode plz postleitzahl npa cap cep")
DEMOGRAPHIC = _words(
    "age alter sex gender geschlecht sexe sexo sesso geslacht edad eta leeftijd idade race ethnicity nationality "
    "marital_status marital occupation profession beruf"
)


def name_part(header: str) -> str:
    """Which part of a person's name a column of type PERSON holds: "first", "last" or "full".

    >>> name_part("Vorname"), name_part("last_name"), name_part("client")
    ('first', 'last', 'full')
    """
    tokens = header_tokens(header)
    if speaks_of(tokens, FIRST_NAME) or set(tokens) & {"vorname", "prenom", "voornaam"}:
        return "first"
    # French "nom" beside a "prénom" is the last name; alone it is mostly the whole name.
    return "last" if speaks_of(tokens, LAST_NAME) else "full"


def header_tokens(header: str) -> tuple[str, ...]:
    """Folded words of a header, split at signs, capitals and digits.

    >>> header_tokens("customerE-MailAddress"), header_tokens("Geburts_Datum")
    (('customer', 'e', 'mail', 'address'), ('geburts', 'datum'))
    """
    spaced = re.sub(r"(?<=[a-zà-ÿ])(?=[A-ZÀ-Þ])", " ", header)
    return tuple(fold(word) for word in re.findall(r"[^\W_]+", spaced))


def speaks_of(tokens: tuple[str, ...], words: frozenset[str]) -> bool:
    """True if the words of a header hold one of some words, or are one written together."""
    joined = f"_{'_'.join(tokens)}_"
    return any(f"_{word}_" in joined for word in words) or "".join(tokens) in words
