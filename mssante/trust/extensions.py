"""Extensions of certificates and revocation lists, found by their type."""

from typing import TypeVar

from cryptography import x509

from mssante.trust.refusals import Untrusted

Kind = TypeVar("Kind", bound=x509.ExtensionType)


def all_extensions(
    holder: x509.Certificate | x509.CertificateRevocationList | x509.RevokedCertificate,
) -> x509.Extensions:
    """Every extension.

    Raises:
        Untrusted: extension-malformed, also for one that occurs twice (RFC 5280 section 4.2).
    """
    try:
        return holder.extensions
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise Untrusted("extension-malformed") from None


def extension(
    holder: x509.Certificate | x509.CertificateRevocationList | x509.RevokedCertificate,
    kind: type[Kind],
) -> Kind | None:
    """The value of one extension; None without it.

    Raises:
        Untrusted: extension-malformed.
    """
    try:
        return all_extensions(holder).get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
