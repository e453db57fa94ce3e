"""What a certificate says, in a form that may stand in a header, a log line or on a screen."""

import re
from typing import Final

from cryptography import x509

# Controls, line and paragraph separators, and the marks that turn the direction of writing.
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_MAX_TEXT: Final = 200


def shown(text: str) -> str:
    """One line, bounded."""
    return _UNSAFE.sub("", text)[:_MAX_TEXT]


def shown_serial(certificate: x509.Certificate) -> str:
    """The serial number, hexadecimal in capitals."""
    return f"{certificate.serial_number:X}"


def shown_subject(certificate: x509.Certificate) -> str:
    """The subject (RFC 4514)."""
    return shown(certificate.subject.rfc4514_string())


def shown_issuer(certificate: x509.Certificate) -> str:
    """The issuer (RFC 4514)."""
    return shown(certificate.issuer.rfc4514_string())
