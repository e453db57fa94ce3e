"""SASLprep (RFC 4013): one byte sequence for one password, however the keyboard composed it.

A Mac sends ``é`` as two code points where Windows sends one; hashed as they come they would be two
passwords. Only the tables of :mod:`stringprep` (RFC 3454, Unicode 3.2) are used; code points that
Unicode 3.2 did not know are kept, as RFC 4013 section 2.5 allows for what is typed in.
"""

import stringprep
import unicodedata

from mssante.wire.sasl.credentials import SaslError

_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(text: str) -> str:
    """Prepare a password for hashing or comparison.

    Raises:
        SaslError: it holds characters that RFC 4013 section 2.3 forbids, mixes writing directions
            against RFC 3454 section 6, or nothing is left.
    """
    if text.isascii() and text.isprintable() and text:
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in text
        if not stringprep.in_table_b1(character)
    )
    prepared = unicodedata.normalize("NFKC", mapped)
    if not prepared:
        raise SaslError("the password is empty")
    for character in prepared:
        if any(forbidden(character) for forbidden in _PROHIBITED):
            raise SaslError("the password holds characters that cannot be used")
    _check_directions(prepared)
    return prepared


def _check_directions(prepared: str) -> None:
    """RFC 3454 section 6: right-to-left text stands alone and at both ends."""
    if not any(stringprep.in_table_d1(character) for character in prepared):
        return
    mixed = any(stringprep.in_table_d2(character) for character in prepared)
    framed = stringprep.in_table_d1(prepared[0]) and stringprep.in_table_d1(prepared[-1])
    if mixed or not framed:
        raise SaslError("the password mixes writing directions")
