"""The mail addresses that a certificate speaks for (RFC 8550 section 3)."""

from typing import Final

from asn1crypto import core
from cryptography import x509
from cryptography.x509.oid import NameOID

from mssante.trust.extensions import extension

_SMTP_UTF8_MAILBOX: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9")


def addresses_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """Addresses in the order of the certificate: subjectAltName, then the subject's emailAddress.

    The subject counts only where the alternative names hold no address: it is the old place.

    Raises:
        Untrusted: an extension cannot be read.
    """
    names = extension(certificate, x509.SubjectAlternativeName)
    found: list[str] = []
    if names is not None:
        found += names.get_values_for_type(x509.RFC822Name)
        found += internationalised(names)
    return tuple(found) if found else subject_addresses(certificate)


def internationalised(names: x509.SubjectAlternativeName) -> list[str]:
    """Names of the form SmtpUTF8Mailbox (RFC 9598); one that is not a UTF8String is left out."""
    found = []
    for other in names.get_values_for_type(x509.OtherName):
        if other.type_id == _SMTP_UTF8_MAILBOX:
            try:
                found.append(str(core.UTF8String.load(other.value, strict=True).native))
            except (ValueError, TypeError):
                continue
    return found


def subject_addresses(certificate: x509.Certificate) -> tuple[str, ...]:
    """The emailAddress attributes of the subject."""
    attributes = certificate.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS)
    return tuple(value for each in attributes if isinstance(value := each.value, str))


def domains_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The dNSName of a certificate, which an organisation's seal has in place of an address."""
    names = extension(certificate, x509.SubjectAlternativeName)
    return () if names is None else tuple(names.get_values_for_type(x509.DNSName))
