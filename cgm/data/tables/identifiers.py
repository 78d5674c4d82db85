r"""Identifiers: columns that name persons, accounts or rows, which are neither valued nor handed out.

A column is recognised on the rows of all parties together, in one of four ways:

==========  ============================================================================================================
by form     nearly all cells are valid IBANs, e-mail addresses, card numbers, telephone numbers or UUIDs
by name     a word of the column's name is that of an identifier, and no value occurs often
by values   nearly all texts are different; integers have fewer repeats than chance would give them, all have the same
            large number of digits, or they number the rows of each party
==========  ============================================================================================================

Decimals and dates are measurements, also if all are different.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from cgm.data.tables.forms import filled, matches, tally

MIN_CELLS = 10  # from which different cells say something
SAMPLE = 1000  # different cells whose form is looked at
DIFFERENT = 0.9  # share of different cells from which texts name their rows
ROWS_OF_ONE = 10  # rows of one value, on average, up to which a name counts: persons have some rows, regions have many
MIN_SHARE = 0.8  # of the cells that have a form; of card numbers .9, since a tenth of all numbers pass their check
MIN_DIGITS = 7  # of codes that all have the same number of digits
REPEATS = 4.0  # pairs of equal integers that chance gives, for each that there is, and one more


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# the words of names, in several languages, without accents; "no" and the like count after an owner only
IDENTIFIERS = _words("""
    id ids pid uid uuid guid mrn nhs ssn sin tin nin nif nie dni cpf cnpj bsn ahv oasi iban pan imei imsi vin
    passport passeport reisepass pasaporte passaporto phone telephone telefon telefono telefone tel mobile handy
    fax email emails mail courriel correo account konto compte cuenta conto card karte carte tarjeta carta
    identifier identifiant kennung identificador identificativo matricule matricula username login aktenzeichen
    versichertennummer codicefiscale
""")
OF_TEXT = _words("""
    name names surname firstname lastname fullname forename nachname vorname nom prenom nombre apellido apellidos
    nome cognome sobrenome address adresse direccion indirizzo endereco street strasse rue calle via rua url ip
    plate kennzeichen
""")
OF_PERSONS = _words("""
    surname firstname lastname fullname forename nachname vorname familienname prenom apellido apellidos cognome
    sobrenome
""")
NUMBERS = _words("""
    no nr num number nummer numero code key hash ref reference
""")
OWNERS = _words("""
    patient client customer kunde kunden member mitglied person personal employee student user policy police
    invoice order case record medical health insurance social security tax license licence account card phone
    telephone passport claim contract vertrag loan bank identity identification national dossier fall cliente
    paciente
""")
COMPOUNDS = re.compile(  # German and Dutch words for numbers of something, written as one
    r"(kunden|konto|patienten|fall|telefon|handy|karten|kredit\w*|mitglieds?|versicher\w*|personal|steuer\w*|ausweis"
    r"|vertrags?|rechnungs?|akten|sozial\w*|klant|polis|rekening)(nummer|nr|id)"
)
TIMES = _words("""
    year jahr annee ano anno month monat mois mes mese day tag jour dia giorno week time date
""")

PHONE = re.compile(r"(\+|00)\d{7,15}|0\d{8,12}|\(\d{3}\)\d{7}")
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[a-z]{2,}", re.I)
UUID = re.compile(r"\{?[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}\}?", re.I)
US_SOCIAL = re.compile(r"\d{3}-\d{2}-\d{4}")
IBAN = re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}")


def is_iban(cell: str) -> bool:
    """Return whether text is an IBAN with valid check digits.

    Example:
        >>> is_iban("DE89 3704 0044 0532 0130 00"), is_iban("DE88 3704 0044 0532 0130 00")
        (True, False)
    """

    text = cell.replace(" ", "").upper()
    if not IBAN.fullmatch(text):
        return False
    return int("".join(str(int(letter, 36)) for letter in text[4:] + text[:4])) % 97 == 1


def is_card(cell: str) -> bool:
    """Return whether text is a number of 13 to 19 digits with a valid check digit, that of Luhn.

    Example:
        >>> is_card("4111 1111 1111 1111"), is_card("4111 1111 1111 1112")
        (True, False)
    """

    text = re.sub(r"[ -]", "", cell)
    if not re.fullmatch(r"\d{13,19}", text) or len(set(text)) == 1:
        return False
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(text))]
    return sum(digit - 9 * (digit > 9) for digit in doubled) % 10 == 0


def is_phone(cell: str) -> bool:
    """Return whether text is a telephone number: with its country or a leading zero, not merely digits.

    Example:
        >>> is_phone("+49 (0)157 340 02185"), is_phone("0041 44 123 45 67"), is_phone("4915734002185")
        (True, True, False)
    """

    return PHONE.fullmatch(re.sub(r"(?<=.)\(0\)|[ ./-]", "", cell)) is not None


FORMS: tuple[tuple[str, Callable[[str], object], float], ...] = (
    ("IBANs", is_iban, MIN_SHARE),
    ("e-mail addresses", EMAIL.fullmatch, MIN_SHARE),
    ("UUIDs", UUID.fullmatch, MIN_SHARE),
    ("social security numbers", US_SOCIAL.fullmatch, MIN_SHARE),
    ("card numbers", is_card, 0.9),
    ("telephone numbers", is_phone, MIN_SHARE),
)


def identified(name: str, parts: Sequence[pd.Series]) -> str:
    """Return why the cells of a column are identifiers; empty if they are not.

    Arguments:
        name: The name of the column.
        parts: The parsed cells of each party, in all of its rows: text, or numbers. Others are no identifiers.

    Example:
        >>> identified("patient_id", [pd.Series(range(1000, 1020)), pd.Series(range(1020, 1040))])
        'named like one, and 40 of 40 values are different'
        >>> identified("age", [pd.Series([31, 45, 52]), pd.Series([45, 31, 60])])
        ''
    """

    is_text = all(part.dtype == object for part in parts)
    if not is_text and not all(_is_integer(part) for part in parts):
        return ""
    counts = tally(parts)
    sample = pd.Series(counts.index[:SAMPLE]).map(str if is_text else lambda number: str(int(number)))
    n, different = int(counts.sum()), len(counts)
    if different < 2:
        return ""
    for form, fits, share in FORMS:
        if np.mean([bool(fits(text)) for text in sample]) >= share:
            return f"{form}"
    told = f"{different} of {n} values are different"
    words = words_of(name)
    often = n > ROWS_OF_ONE * different and not (is_text and set(words) & OF_PERSONS)
    if different >= MIN_CELLS and not often and _named(words, is_text):
        return f"named like one, and {told}"
    if n < MIN_CELLS or TIMES & set(words):
        return ""
    if is_text:
        return told if different >= DIFFERENT * n else ""
    return _numbering([filled(part) for part in parts], counts.index.to_numpy(float), n, told)


def named_like_one(name: str, parts: Sequence[pd.Series]) -> str:
    """Return what a warning must say of a column that is named like identifiers but is none by its cells; else empty.

    Arguments:
        name: The name of the column.
        parts: The parsed cells of each party.
    """

    is_text = all(part.dtype == object for part in parts)
    if not _named(words_of(name), is_text) or not (is_text or all(_is_integer(part) for part in parts)):
        return ""
    counts = tally(parts)
    if len(counts) < MIN_CELLS:
        return ""
    return f"named like an identifier, but valued: each of its {len(counts)} values has {counts.mean():.0f} rows"


def _is_integer(cells: pd.Series) -> bool:
    return (
        pd.api.types.is_numeric_dtype(cells.dtype)
        and not pd.api.types.is_bool_dtype(cells.dtype)
        and _whole(filled(cells))
    )


CODES = _words("""
    code codes type typ kind class category kategorie categorie categoria status
""")
PLACES = _words("""
    zip zipcode postal postcode plz postleitzahl cp cap cep codepostal
""")
MAX_CODES = 20  # different integers, up to which a column named like codes is one


def code_like(name: str, whole: bool, parts: Iterable[pd.Series]) -> str:
    """Return why numbers may be codes or dates, and the remedy; empty if they are like numbers.

    Arguments:
        name: The name of the column.
        whole: Whether all numbers are integers.
        parts: The prepared cells of each party, text or numbers.
    """

    parts, remedy = list(parts), f"categorical=[{name}] values them as categories"
    if not whole:
        if not all(part.dtype == object and matches(part, r"\d+[eE]\d+") for part in parts):
            return ""
        return f"texts such as {filled(pd.concat(parts)).iloc[0]} are valued as powers of ten; {remedy}"
    distinct = pd.Series(tally(parts).index)
    example = distinct[0]
    numbers = pd.to_numeric(distinct, errors="coerce").to_numpy(float)  # not those with a sign between thousands
    if is_dates(numbers):
        form = "%Y%m%d" if numbers.min() >= 1e7 else "%Y%m"
        return f"integers such as {example} are valued as numbers; dates={{{name}: '{form}'}} reads dates, {remedy}"
    words = words_of(name)
    if set(words) & PLACES:
        return f"postal codes are valued as numbers; {remedy}"
    if len(distinct) <= MAX_CODES and words and words[-1] in CODES:
        return f"codes are valued as numbers; {remedy}"
    return ""


def _whole(cells: pd.Series) -> bool:
    numbers = cells.to_numpy(float)
    return bool(((np.abs(numbers) < 2**63) & (numbers % 1 == 0)).all())


def is_dates(numbers: np.ndarray) -> bool:
    """Return whether different integers are dates such as 20241231, or months such as 202412, from 1900 to 2100.

    Example:
        >>> is_dates(np.array([20240229, 20241231])), is_dates(np.array([20240229, 20241331]))
        (True, False)
    """

    if len(numbers) < 2:
        return False
    days = numbers if numbers.min() >= 1e7 else 100 * numbers + 1
    year, month, day = days // 10_000, days // 100 % 100, days % 100
    in_range = (year >= 1900) & (year <= 2100) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    return bool(in_range.all())


def _numbering(parts: Sequence[pd.Series], distinct: np.ndarray, n: int, told: str) -> str:
    """Return why integers are identifiers by their values; empty if they are not.

    Arguments:
        parts: The cells of each party that are not empty.
        distinct: The different integers.
        n: The number of cells.
        told: How many of them are different.
    """

    if all(_counts_the_rows(part) for part in parts if len(part)):
        return "integers that number the rows"
    equal = n - len(distinct)
    if len(distinct) < 0.95 * n or is_dates(distinct):
        return ""
    # of n numbers that are spread evenly over a range, about so many pairs are equal, and more of all others
    by_chance = n * (n - 1) / 2 / (distinct.max() - distinct.min() + 1)
    if by_chance >= REPEATS * (equal + 1):
        return f"{told}, in a range in which chance repeats some"
    digits = len(str(int(distinct.min())))
    step = int(np.gcd.reduce(distinct.astype(np.int64)))  # amounts are often whole tens or hundreds
    if distinct.min() > 0 and digits == len(str(int(distinct.max()))) >= MIN_DIGITS and step == 1:
        return f"{told}, of {digits} digits each"
    return ""


def _counts_the_rows(part: pd.Series) -> bool:
    """Return whether integers are 0, 1, 2, ... or 1, 2, 3, ... in the order of the rows."""

    numbers = part.astype("float64").to_numpy()
    return len(numbers) >= MIN_CELLS and numbers[0] in (0, 1) and bool((np.diff(numbers) == 1).all())


def _named(words: Sequence[str], is_text: bool) -> bool:
    """Return whether a name is that of identifiers; of numbers, its last word or a qualified number counts."""

    if not words:
        return False
    if "id" in words or COMPOUNDS.fullmatch(words[-1]) or (words[-1] in NUMBERS and set(words[:-1]) & OWNERS):
        return True
    return bool(set(words) & (IDENTIFIERS | OF_TEXT)) if is_text else words[-1] in IDENTIFIERS


def words_of(name: str) -> list[str]:
    """Return the words of a name in snake or camel case, in lower case and without accents.

    Example:
        >>> words_of("PatientID"), words_of("numéro_téléphone 2"), words_of("IBANNumber")
        (['patient', 'id'], ['numero', 'telephone'], ['iban', 'number'])
    """

    plain = "".join(x for x in unicodedata.normalize("NFKD", name) if not unicodedata.combining(x))
    plain = re.sub(r"(?<=[a-zß-ÿ])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", plain)
    return [word.casefold() for word in re.findall(r"[^\W\d_]+", plain)]
