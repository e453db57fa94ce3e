"""The name in a certificate, in the form in which names are compared."""

from cryptography import x509

from mssante.wire.x500 import DistinguishedName


def subject_of(certificate: bytes) -> DistinguishedName:
    """The subject of a certificate in DER, most specific RDN first.

    Raises:
        ValueError: not a certificate, or its subject cannot be read.
    """
    return name_of(x509.load_der_x509_certificate(certificate).subject)


def subject_in(pem: bytes) -> DistinguishedName:
    """The subject of the first certificate in a PEM file.

    Raises:
        ValueError: there is none, or its subject cannot be read.
    """
    return name_of(x509.load_pem_x509_certificate(pem).subject)


def name_of(name: x509.Name) -> DistinguishedName:
    """A name of ``cryptography``; certificates hold the RDNs in the reverse order of RFC 4514."""
    return DistinguishedName.of(
        [(attribute.oid.dotted_string, _text(attribute.value)) for attribute in rdn]
        for rdn in reversed(name.rdns)
    )


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.hex()
