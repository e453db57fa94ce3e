"""Object identifiers (ITU-T X.660) in dotted form, and those the French profile names."""

import re
from typing import Final

_OID: Final = re.compile(
    r"(?:[01](?:\.(?:[1-3]?[0-9]))|2\.(?:0|[1-9][0-9]*))(?:\.(?:0|[1-9][0-9]*))*\Z"
)
MAX_OID_LENGTH: Final = 64
"""XDS limits an OID to 64 characters (IHE ITI TF-3, table 4.2.3.1.7-2)."""

PS_ID_NAT: Final = "1.2.250.1.71.4.2.1"
"""Authority of the national identifiers of professionals and systems (IDNPS)."""
STRUCT_ID_NAT: Final = "1.2.250.1.71.4.2.2"
"""Authority of the national identifiers of structures (IDNST)."""


def is_oid(text: str) -> bool:
    """Whether `text` is a dotted OID without leading zeros, at most 64 characters."""
    return len(text) <= MAX_OID_LENGTH and _OID.match(text) is not None
