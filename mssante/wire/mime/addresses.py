"""The syntax of an SMTP address: the gate of every address that we accept or create."""

from typing import Final

import email_validator

from mssante.kernel.address import Address

MAX_ADDRESS: Final = 254
"""A path is 256 octets with its angle brackets (RFC 5321 section 4.5.3.1.3)."""

# The library refuses reserved domains (RFC 2606, RFC 6761) unless its list is emptied, which is
# how it wants to be told. Ours is a closed network: the white list judges domains, not DNS.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()


def parse_address(text: str) -> Address:
    """Check the syntax of an SMTP address (RFC 5321 section 4.1.2) and take it apart.

    ASCII only, because MSSanté announces no SMTPUTF8; neither quoted local parts nor domain
    literals. Reserved domains are syntactically good. The domain comes back in lower case.

    Raises:
        ValueError: what is wrong, without the address itself, which may be a patient's.
    """
    if len(text) > MAX_ADDRESS:
        raise ValueError(f"the address is longer than {MAX_ADDRESS} characters")
    if not text.isascii():
        raise ValueError("the address has a character outside ASCII")
    if "@" not in text:
        raise ValueError("the address has no @")
    if _is_valid(text):
        return Address.split(text)
    _, _, domain = text.rpartition("@")
    if _is_valid(f"a@{domain}"):
        raise ValueError("the part before the @ is not a dot-separated name of RFC 5321")
    raise ValueError("the part after the @ is not a domain name")


def _is_valid(text: str) -> bool:
    try:
        email_validator.validate_email(
            text,
            allow_smtputf8=False,
            allow_quoted_local=False,
            allow_domain_literal=False,
            allow_display_name=False,
            strict=True,
            check_deliverability=False,
            globally_deliverable=False,
        )
    except email_validator.EmailNotValidError:
        # Its text repeats characters of the address, so it goes no further.
        return False
    return True
