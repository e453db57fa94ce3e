"""Distinguished names as values: read from and written in the form of RFC 4514.

Two names are equal when they have the same RDNs in the same order, each RDN with the same
attributes, whatever their order inside it; values are compared after Unicode NFC, character by
character. That is stricter than X.520's matching, which folds case and blanks: a certificate whose
name is only similar to the listed one speaks for nobody.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MAX_TEXT: Final = 2_000
"""Characters of one name; real ones have about 120."""
_MAX_RDNS: Final = 30

_OIDS: Final = {
    "CN": "2.5.4.3",
    "SN": "2.5.4.4",
    "SERIALNUMBER": "2.5.4.5",
    "C": "2.5.4.6",
    "L": "2.5.4.7",
    "ST": "2.5.4.8",
    "STREET": "2.5.4.9",
    "O": "2.5.4.10",
    "OU": "2.5.4.11",
    "TITLE": "2.5.4.12",
    "GN": "2.5.4.42",
    "GIVENNAME": "2.5.4.42",
    "ORGANIZATIONIDENTIFIER": "2.5.4.97",
    "UID": "0.9.2342.19200300.100.1.1",
    "DC": "0.9.2342.19200300.100.1.25",
    "EMAILADDRESS": "1.2.840.113549.1.9.1",
}
"""RFC 4514 section 3, and the names that certificates of French health use beside."""
_NAMES: Final = {oid: name for name, oid in reversed(_OIDS.items())}

_TYPE: Final = re.compile(
    r"[ \t\r\n]*([A-Za-z][A-Za-z0-9-]*|[0-2](?:\.[0-9]+)+)[ \t\r\n]*=[ \t\r\n]*"
)
_VALUE: Final = re.compile(r'(?:\\[0-9A-Fa-f]{2}|\\[ "#+,;<=>\\]|[^"+,;<>\\\x00])*')
_ESCAPED: Final = re.compile(r'((?:\\[0-9A-Fa-f]{2})+)|\\([ "#+,;<=>\\])')
_TOKEN: Final = re.compile(r"\\[0-9A-Fa-f]{2}|\\?.", re.DOTALL)
_BLANKS: Final = " \t\r\n"
_SPECIAL: Final = re.compile(r'[",+;<>\\]')
_CONTROL: Final = re.compile(r"[\x00\t\r\n]")


class NameRefused(ValueError):
    """The text is not a distinguished name; says what is wrong without repeating it."""


Rdn = tuple[tuple[str, str], ...]
"""Attributes as (OID, value in NFC), sorted: their order inside an RDN has no meaning."""


@dataclass(frozen=True, slots=True)
class DistinguishedName:
    """A name, most specific RDN first, as RFC 4514 writes it (a certificate has them reversed)."""

    rdns: tuple[Rdn, ...]

    def __str__(self) -> str:
        return ",".join("+".join(_written(*pair) for pair in rdn) for rdn in self.rdns)

    @classmethod
    def of(cls, rdns: Iterable[Iterable[tuple[str, str]]]) -> "DistinguishedName":
        """From RDNs of (OID, value), most specific first."""
        return cls(
            tuple(
                tuple(sorted((oid, unicodedata.normalize("NFC", value)) for oid, value in rdn))
                for rdn in rdns
            )
        )

    @classmethod
    def parse(cls, text: str) -> "DistinguishedName":
        """Read the form of RFC 4514 section 3; blanks around separators are let pass.

        Raises:
            NameRefused: not such a text, too long, an unknown attribute, a value in BER (``#…``).
        """
        if not text.strip() or len(text) > MAX_TEXT:
            raise NameRefused("the name is empty or too long")
        rdns: list[list[tuple[str, str]]] = [[]]
        position = 0
        while True:
            found = _TYPE.match(text, position)
            if found is None:
                raise NameRefused("an attribute type is missing")
            value = _VALUE.match(text, found.end())
            assert value is not None  # it matches the empty text, too
            rdns[-1].append((_oid(found[1]), _plain(value[0])))
            position = value.end()
            if position == len(text):
                return cls.of(rdns)
            if text[position] == ",":
                rdns.append([])
            elif text[position] != "+":
                raise NameRefused("a character must be escaped")
            position += 1
            if len(rdns) > _MAX_RDNS or len(rdns[-1]) > _MAX_RDNS:
                raise NameRefused("the name has too many parts")


def _oid(kind: str) -> str:
    if kind[0].isdigit():
        return kind
    oid = _OIDS.get(kind.upper())
    if oid is None:
        raise NameRefused("an attribute type is unknown")
    return oid


def _plain(written: str) -> str:
    """A value without its escapes; blanks at its end count only where they are escaped."""
    tokens = _TOKEN.findall(written)
    while tokens and tokens[-1] in _BLANKS:
        tokens.pop()
    if not tokens:
        raise NameRefused("an attribute has no value")
    if tokens[0] == "#":
        raise NameRefused("values in BER are not read")
    return _ESCAPED.sub(_unescaped, "".join(tokens))


def _unescaped(found: re.Match[str]) -> str:
    if found[2] is not None:
        return found[2]
    try:
        return bytes.fromhex(found[1].replace("\\", "")).decode()
    except UnicodeDecodeError:
        raise NameRefused("escaped octets are not UTF-8") from None


def _written(oid: str, value: str) -> str:
    text = _SPECIAL.sub(lambda found: f"\\{found[0]}", value)
    if text.startswith(("#", " ")):
        text = f"\\{text}"
    if text.endswith(" ") and len(value) > 1:
        text = f"{text[:-1]}\\ "
    text = _CONTROL.sub(lambda found: f"\\{ord(found[0]):02X}", text)
    return f"{_NAMES.get(oid, oid)}={text}"
