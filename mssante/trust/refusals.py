"""Why a certificate is not taken; each class is one word of the verdict on a signature."""


class CertificateRefused(ValueError):
    """A certificate is not taken.

    Attributes:
        reason: a stable code, which is also the exception's text.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Untrusted(CertificateRefused):
    """No valid path leads from an anchor to it (RFC 5280 section 6)."""


class WrongUsage(CertificateRefused):
    """It is not made for mail, or not for this use of it (RFC 8550 section 4.4)."""


class OutsideValidity(CertificateRefused):
    """It, or one above it, is not valid at the time."""


class Revoked(CertificateRefused):
    """It, or one above it, is revoked at the time (RFC 5280 section 5)."""
