"""One verdict on a message: the only place where the errors of S/MIME become words.

The layers are peeled from the outside; each signature is verified, its certificate judged at one
instant, its address compared with From. The verdict is the first that applies in the order of
`Verdict`; every signer must be good, and one of the innermost signature must be the author.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum, unique
from typing import Final

from cryptography import x509

from mssante.trust.anchors import Trust
from mssante.trust.certificate_addresses import addresses_of, domains_of
from mssante.trust.opening import Decryption, Opening, SignedLayer
from mssante.trust.refusals import (
    CertificateRefused,
    OutsideValidity,
    Revoked,
    Untrusted,
    WrongUsage,
)
from mssante.trust.revocation import Freshness
from mssante.trust.shown import shown, shown_subject
from mssante.trust.validation import Validate, validate
from mssante.wire.mime.address_lists import read_addresses
from mssante.wire.mime.headers import fields
from mssante.wire.mime.scanner import Part
from mssante.wire.smime.cms import EnvelopedData, Identity, SignedData, SignerInfo
from mssante.wire.smime.decryption import DecryptionKey, has_integrity, recipients_of
from mssante.wire.smime.errors import (
    Malformed,
    SignatureInvalid,
    SmimeError,
    Unsupported,
)
from mssante.wire.smime.limits import DEFAULT_LIMITS, SmimeLimits
from mssante.wire.smime.protected_headers import protects_headers, to_show_instead, user_fields
from mssante.wire.smime.signature import bound_contents, identifies, verify

_HEADER_END: Final = re.compile(rb"(?:\A|\n)\r?\n")


@unique
class Verdict(StrEnum):
    """What a message's signature is worth; of several that apply, the first counts."""

    MALFORMED = "malformed"
    UNSUPPORTED = "unsupported"
    NONE = "none"
    """No signature over the whole message."""
    INVALID = "invalid"
    UNTRUSTED = "untrusted"
    WRONG_USAGE = "wrong-usage"
    EXPIRED = "expired"
    REVOKED = "revoked"
    ADDRESS_MISMATCH = "address-mismatch"
    VALID = "valid"


_ORDER: Final = tuple(Verdict)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator chose where the standards leave room."""

    sender_may_differ: bool = False
    """Take a signature of the Sender for a message of another From."""
    sealed_domains: frozenset[str] = frozenset()
    """Domains, lower case, whose mail may be sealed with a certificate of the domain (dNSName)."""
    revocation_must_be_known: bool = False
    """Call a signature untrusted where no revocation list covers its certificates."""
    limits: SmimeLimits = DEFAULT_LIMITS


DEFAULT_POLICY: Final = Policy()


@dataclass(frozen=True, slots=True)
class SignerJudgement:
    """One signature of one layer."""

    verdict: Verdict
    reason: str
    """A stable code; empty for a valid one."""
    address: str | None = field(repr=False)
    """Of the certificate: the one that is in From, else its first."""
    subject: str | None = field(repr=False)
    """The certificate's subject (RFC 4514), safe to show; None where there is no certificate."""
    certificate: x509.Certificate | None = field(repr=False)
    path: tuple[x509.Certificate, ...] = field(default=(), repr=False)
    """From the certificate to the anchor, where there is a valid path: evidence."""
    signing_time: datetime | None = None
    """The signer's claim."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What S/MIME says about one message at one instant."""

    verdict: Verdict
    reason: str
    """A stable code; empty where there is nothing to explain."""
    signed: bool
    """Whether a signature covers the whole message, or claims to."""
    encrypted: bool
    signers: tuple[SignerJudgement, ...]
    """Of all signed layers, the outermost first."""
    decryption: Decryption | None
    """None where nothing is encrypted, or where it was not come to."""
    named: tuple[Identity, ...] = field(repr=False)
    """Whom the outermost encrypted layer that was reached is for."""
    plaintext: bytes | None = field(repr=False)
    """The innermost entity, header and body, once every layer is off; None for a message without
    S/MIME, and where a layer stayed closed."""
    protected_headers: Mapping[str, str] | None = field(repr=False)
    """Field values to show in place of the outer ones, lower-case names; None where the message
    protects no header or its signature is not good enough to believe it."""
    warnings: tuple[str, ...]


def judge(
    message: bytes,
    trust: Trust,
    keys: Sequence[DecryptionKey] = (),
    *,
    at: datetime,
    policy: Policy = DEFAULT_POLICY,
    validated: Validate = validate,
    root: Part | None = None,
) -> Judgement:
    """Open a message as far as the keys allow and judge its signatures.

    Never raises for what a message holds.

    Args:
        message: header and body, as received.
        trust: anchors, known certificates, revocation lists.
        keys: with which to open it; may be empty.
        at: the instant of the judgement, with offset: the reception's, not the signer's claim.
        policy: of the operator.
        validated: how a signer's certificate is validated; one that remembers spares most of the
            work.
        root: the structure of `message` where it is known, from a door that takes no line end but
            CRLF.
    """
    opened = Opening(keys, policy.limits)
    opened.open(message, root)
    return _Judge(message, opened, trust, at, policy, validated).judgement()


@dataclass(frozen=True, slots=True, repr=False)
class _Authors:
    """The mailboxes that the message claims to come from."""

    from_addresses: tuple[str, ...]
    """The outer From and, where headers are protected, the inner one: lower case."""
    sender: str | None


class _Judge:
    def __init__(
        self,
        message: bytes,
        opened: Opening,
        trust: Trust,
        at: datetime,
        policy: Policy,
        validated: Validate,
    ) -> None:
        self._message = message
        self._opened = opened
        self._trust = trust
        self._at = at
        self._policy = policy
        self._validate = validated
        self._warnings: list[str] = []

    def judgement(self) -> Judgement:
        opened = self._opened
        authors, problem = self._authors()
        # A layer without signers signs nothing: it must not shield the signature around it.
        layers = [self._signers(layer) for layer in opened.signed if layer.object.signers]
        if layers and authors is not None:
            layers[-1] = self._compared(layers[-1], authors)
        verdict, reason = self._verdict([one for layer in layers for one in layer], problem)
        self._warn_about_layers()
        protected = self._protected_headers(verdict)
        claims = opened.looks_signed and not opened.signed
        return Judgement(
            verdict,
            reason,
            signed=claims or any(layer.object.signers for layer in opened.signed),
            encrypted=opened.looks_encrypted,
            signers=tuple(one for layer in layers for one in layer),
            decryption=opened.decryption,
            named=_named(opened.layers),
            plaintext=opened.plaintext,
            protected_headers=protected,
            warnings=tuple(dict.fromkeys(self._warnings)),
        )

    def _verdict(
        self, signers: Sequence[SignerJudgement], problem: Malformed | None
    ) -> tuple[Verdict, str]:
        failure = self._opened.failure
        if isinstance(failure, Malformed):
            return Verdict.MALFORMED, failure.word
        if problem is not None and signers:
            return Verdict.MALFORMED, problem.word
        if isinstance(failure, Unsupported):
            return Verdict.UNSUPPORTED, failure.word
        if not signers:
            return Verdict.NONE, self._why_none()
        worst = min(signers, key=lambda one: _ORDER.index(one.verdict))
        return worst.verdict, worst.reason

    def _why_none(self) -> str:
        opened = self._opened
        if opened.failure is not None:
            return opened.failure.word
        if opened.signed:
            return "no-signer"
        return "partial-signature" if opened.partly_signed else ""

    def _signers(self, layer: SignedLayer) -> list[SignerJudgement]:
        return [self._signer(layer, signer) for signer in layer.object.signers]

    def _signer(self, layer: SignedLayer, signer: SignerInfo) -> SignerJudgement:
        """Where every error about one signature ends."""
        certificate: x509.Certificate | None = None
        try:
            certificate = self._certificate_of(layer, signer)
            return self._good_signer(layer, signer, certificate)
        except (SmimeError, CertificateRefused) as error:
            verdict, reason = _word(error)
            return SignerJudgement(
                verdict, reason, _first_address(certificate), _subject(certificate), certificate
            )

    def _certificate_of(self, layer: SignedLayer, signer: SignerInfo) -> x509.Certificate:
        data = layer.object
        for certificate in (*data.certificates, *self._trust.certificates):
            if identifies(signer.identity, certificate):
                return certificate
        # A content that was changed is told before a certificate that is missing.
        bound_contents(signer, data.content_type, layer.contents)
        raise Untrusted("signer-certificate-unavailable")

    def _good_signer(
        self, layer: SignedLayer, signer: SignerInfo, certificate: x509.Certificate
    ) -> SignerJudgement:
        data = layer.object
        if _embeds_another(layer):
            raise SignatureInvalid("econtent-in-detached")
        verified = verify(signer, data.content_type, layer.contents, certificate)
        if verified.content != layer.contents[0]:
            self._warnings.append("line-endings")
        if signer.signed_octets is None:
            self._warnings.append("no-signed-attributes")
        path, freshness = self._validate(
            certificate, self._trust, data.certificates, data.revocation_lists, self._at
        )
        if freshness is Freshness.UNKNOWN and self._policy.revocation_must_be_known:
            raise Untrusted("revocation-unknown")
        if freshness is not Freshness.GOOD:
            self._warnings.append(f"revocation-{freshness.name.lower()}")
        return SignerJudgement(
            Verdict.VALID,
            "",
            _first_address(certificate),
            _subject(certificate),
            certificate,
            path,
            verified.signing_time,
        )

    def _compared(
        self, signers: Sequence[SignerJudgement], authors: _Authors
    ) -> list[SignerJudgement]:
        """Compare the signers of the innermost signature with the author: one must be it."""
        shown = [
            replace(one, address=_address_among(one.certificate, authors.from_addresses))
            for one in signers
        ]
        if any(one.certificate and self._speaks_for(one.certificate, authors) for one in shown):
            return shown
        return [
            replace(one, verdict=Verdict.ADDRESS_MISMATCH, reason=_mismatch(one.certificate))
            if one.verdict is Verdict.VALID
            else one
            for one in shown
        ]

    def _speaks_for(self, certificate: x509.Certificate, authors: _Authors) -> bool:
        """Compared without case on both sides of the @, as MSSanté compares mailboxes."""
        own = {address.lower() for address in _addresses(certificate)}
        claimed = authors.from_addresses
        if all(address in own for address in claimed):
            return True
        if self._policy.sender_may_differ and authors.sender in own:
            return True
        domains = {name.lower() for name in _domains(certificate)} & self._policy.sealed_domains
        return all(address.rpartition("@")[2] in domains for address in claimed)

    def _authors(self) -> tuple[_Authors | None, Malformed | None]:
        """Exactly one From with one mailbox; a second could be shown in place of the first."""
        if not self._opened.signed:
            return None, None
        try:
            outer = _values_by_name(_header_of(self._message))
            claimed = [_only_mailbox(outer, b"from", needed=True)]
            inner = self._protected_entity()
            if inner is not None:
                values = _values_by_name(_header_of(inner))
                claimed.append(_only_mailbox(values, b"from", needed=False))
            sender = _only_mailbox(outer, b"sender", needed=False)
        except Malformed as problem:
            return None, problem
        return _Authors(tuple(dict.fromkeys(one for one in claimed if one)), sender), None

    def _protected_entity(self) -> bytes | None:
        opened = self._opened
        if opened.plaintext is None or opened.root is None or not protects_headers(opened.root):
            return None
        return opened.plaintext[: opened.root.body_start]

    def _protected_headers(self, verdict: Verdict) -> dict[str, str] | None:
        header = self._protected_entity()
        if header is None:
            signed = any(layer.object.signers for layer in self._opened.signed)
            if self._opened.plaintext is not None and signed:
                self._warnings.append("headers-not-protected")
            return None
        if verdict not in (Verdict.VALID, Verdict.NONE):
            return None
        return to_show_instead(user_fields(header), user_fields(_header_of(self._message)))

    def _warn_about_layers(self) -> None:
        layers = self._opened.layers
        signed = [isinstance(one, SignedData) and bool(one.signers) for one in layers]
        encrypted = [isinstance(one, EnvelopedData) for one in layers]
        if not any(encrypted) or not layers:
            return
        innermost = len(layers) - 1 - encrypted[::-1].index(True)
        if any(signed) and not any(signed[innermost:]):
            self._warnings.append("signature-outside-encryption")
        unprotected = any(
            isinstance(one, EnvelopedData) and not has_integrity(one) for one in layers
        )
        is_open = self._opened.decryption is Decryption.OK
        if unprotected and is_open and not any(signed):
            self._warnings.append("no-integrity")


def _word(error: SmimeError | CertificateRefused) -> tuple[Verdict, str]:
    """The verdict that an error means for one signature."""
    match error:
        case Malformed():
            return Verdict.MALFORMED, error.word
        case Unsupported():
            return Verdict.UNSUPPORTED, error.word
        case SmimeError():
            return Verdict.INVALID, error.word
        case WrongUsage():
            return Verdict.WRONG_USAGE, error.reason
        case OutsideValidity():
            return Verdict.EXPIRED, error.reason
        case Revoked():
            return Verdict.REVOKED, error.reason
        case _:
            return Verdict.UNTRUSTED, error.reason


def _named(layers: Sequence[SignedData | EnvelopedData]) -> tuple[Identity, ...]:
    for layer in layers:
        if isinstance(layer, EnvelopedData):
            return tuple(recipients_of(layer))
    return ()


def _embeds_another(layer: SignedLayer) -> bool:
    """Whether a detached signature carries a content of its own that is not the part beside it."""
    return layer.object.content is not None and layer.object.content not in layer.contents


def _values_by_name(header: bytes) -> dict[bytes, list[bytes]]:
    """The values of the fields, by names in lower case."""
    found: dict[bytes, list[bytes]] = {}
    for one in fields(header):
        found.setdefault(one.name.lower(), []).append(header[one.value_start : one.stop])
    return found


def _only_mailbox(
    named: Mapping[bytes, Sequence[bytes]], name: bytes, *, needed: bool
) -> str | None:
    values = named.get(name, ())
    if len(values) > 1:
        raise Malformed(f"duplicate-{name.decode('ascii')}")
    mailboxes = [
        b"%s@%s" % (entry.mailbox, entry.host)
        for value in values
        for entry in read_addresses(value)
        if entry.mailbox is not None and entry.host is not None
    ]
    if len(mailboxes) > 1 or (needed and not mailboxes):
        raise Malformed(f"{name.decode('ascii')}-not-one-mailbox")
    return mailboxes[0].decode("utf-8", "replace").lower() if mailboxes else None


def _header_of(message: bytes) -> bytes:
    found = _HEADER_END.search(message)
    return message[: found.end()] if found else message


def _addresses(certificate: x509.Certificate | None) -> tuple[str, ...]:
    if certificate is None:
        return ()
    try:
        return addresses_of(certificate)
    except CertificateRefused:
        return ()


def _domains(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        return domains_of(certificate)
    except CertificateRefused:
        return ()


def _first_address(certificate: x509.Certificate | None) -> str | None:
    found = _addresses(certificate)
    return shown(found[0]) if found else None


def _address_among(certificate: x509.Certificate | None, claimed: Sequence[str]) -> str | None:
    for address in _addresses(certificate):
        if address.lower() in claimed:
            return shown(address)
    return _first_address(certificate)


def _mismatch(certificate: x509.Certificate | None) -> str:
    return "from-not-in-certificate" if _addresses(certificate) else "no-rfc822name"


def _subject(certificate: x509.Certificate | None) -> str | None:
    return None if certificate is None else shown_subject(certificate)
