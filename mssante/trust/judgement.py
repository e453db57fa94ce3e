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
from mssante.trust.path import Purpose, find_path
from mssante.trust.refusals import (
    CertificateRefused,
    OutsideValidity,
    Revoked,
    Untrusted,
    WrongUsage,
)
from mssante.trust.revocation import Freshness, check_revocation
from mssante.wire.mime.address_lists import read_addresses
from mssante.wire.mime.headers import fields
from mssante.wire.mime.scanner import Part
from mssante.wire.smime.cms import EnvelopedData, SignedData, SignerInfo
from mssante.wire.smime.compression import decompress
from mssante.wire.smime.decryption import DecryptionKey, decrypt, has_integrity
from mssante.wire.smime.errors import (
    DecryptionFailed,
    Malformed,
    NoRecipientKey,
    SignatureInvalid,
    SmimeError,
    Unsupported,
)
from mssante.wire.smime.limits import DEFAULT_LIMITS, SmimeLimits
from mssante.wire.smime.protected_headers import protects_headers, to_show_instead, user_fields
from mssante.wire.smime.recognition import (
    Appearance,
    Layer,
    appearance,
    beside,
    read_layer,
    scan_entity,
)
from mssante.wire.smime.signature import bound_contents, identifies, readings, verify

_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_HEADER_END: Final = re.compile(rb"(?:\A|\n)\r?\n")
_MAX_SUBJECT: Final = 200
_FIRST_FIELD: Final = re.compile(rb"\r?\n|[!-9;-~]++[ \t]*+:")


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


@unique
class Decryption(StrEnum):
    """What became of an encrypted content."""

    OK = "ok"
    NO_RECIPIENT = "no-recipient"
    FAIL = "fail"
    REFUSE = "refuse"
    """It stands beside clear parts, and is not opened there."""


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
) -> Judgement:
    """Open a message as far as the keys allow and judge its signatures.

    Never raises for what a message holds.

    Args:
        message: header and body, as received.
        trust: anchors, known certificates, revocation lists.
        keys: with which to open it; may be empty.
        at: the instant of the judgement, with offset: the reception's, not the signer's claim.
        policy: of the operator.
    """
    opened = _Opening(keys, policy.limits)
    opened.open(message)
    return _Judge(message, opened, trust, at, policy).judgement()


@dataclass(frozen=True, slots=True, repr=False)
class _SignedLayer:
    object: SignedData
    contents: tuple[bytes, ...]
    """Readings of what it covers."""


class _Opening:
    """Peels layers until one stays closed, breaks, or there is none left."""

    def __init__(self, keys: Sequence[DecryptionKey], limits: SmimeLimits) -> None:
        self._keys = keys
        self._limits = limits
        self.layers: list[SignedData | EnvelopedData] = []
        self.signed: list[_SignedLayer] = []
        self.failure: SmimeError | None = None
        self.decryption: Decryption | None = None
        self.plaintext: bytes | None = None
        self.root: Part | None = None
        """Of the innermost entity that was read."""
        self.looks_signed = False
        self.looks_encrypted = False
        self.partly_signed = False

    def open(self, message: bytes) -> None:
        try:
            entity = self._peel(message)
        except SmimeError as error:
            self.failure = error
            if isinstance(error, NoRecipientKey):
                self.decryption = Decryption.NO_RECIPIENT
            elif self._is_closed():
                self.decryption = Decryption.FAIL
        else:
            self.plaintext = entity

    def _is_closed(self) -> bool:
        """Whether the failure is that of decrypting the innermost layer."""
        last = self.layers[-1] if self.layers else None
        return isinstance(last, EnvelopedData) and self.decryption is None

    def _peel(self, entity: bytes) -> bytes | None:
        found_any = False
        for _ in range(self._limits.max_layers + 1):
            self.root = scan_entity(entity)
            self._note_appearance(self.root)
            layer = read_layer(entity, self.root, self._limits)
            if layer is None:
                self._look_beside(entity, self.root)
                return entity if found_any else None
            found_any = True
            inner = self._inside(layer)
            if inner is None:
                return None
            entity = inner
        raise Malformed("nesting-limit")

    def _note_appearance(self, root: Part) -> None:
        kind = appearance(root)
        self.looks_signed = self.looks_signed or kind in (
            Appearance.CLEAR_SIGNED,
            Appearance.SIGNED,
        )
        self.looks_encrypted = self.looks_encrypted or kind is Appearance.ENCRYPTED

    def _look_beside(self, entity: bytes, root: Part) -> None:
        found = beside(entity, root, self._limits)
        self.partly_signed = found.signed
        if found.encrypted:
            self.looks_encrypted = True
            self.decryption = Decryption.REFUSE
            raise Malformed("encrypted-part-not-root")

    def _inside(self, layer: Layer) -> bytes | None:
        """What a layer covers, not yet verified; None where that is nothing (certs-only)."""
        match layer.object:
            case SignedData():
                return self._inside_signed(layer.object, layer.detached_content)
            case EnvelopedData():
                return self._decrypted(layer.object)
            case _:
                return decompress(layer.object, self._limits)

    def _inside_signed(self, data: SignedData, detached: bytes | None) -> bytes | None:
        self.layers.append(data)
        if detached is None and data.content is None and data.signers:
            raise Malformed("content-absent")
        contents: tuple[bytes, ...] = ()
        if detached is not None:
            contents = readings(detached)
        elif data.content is not None:
            contents = (data.content,)
        self.signed.append(_SignedLayer(data, contents))
        if not contents:
            return None
        return _signed_reading(data, contents)

    def _decrypted(self, enveloped: EnvelopedData) -> bytes:
        self.layers.append(enveloped)
        self.looks_encrypted = True
        content = decrypt(enveloped, self._keys)
        # Without authentication a wrong content key shows itself only as a text that is no MIME.
        if not has_integrity(enveloped) and not _FIRST_FIELD.match(content):
            raise DecryptionFailed
        self.decryption = Decryption.OK
        return content


def _signed_reading(data: SignedData, contents: tuple[bytes, ...]) -> bytes:
    """The reading whose digest a signer signed; the canonical one where none did."""
    for signer in data.signers:
        try:
            return bound_contents(signer, data.content_type, contents)[0]
        except SmimeError:
            continue
    return contents[0]


@dataclass(frozen=True, slots=True, repr=False)
class _Authors:
    """The mailboxes that the message claims to come from."""

    from_addresses: tuple[str, ...]
    """The outer From and, where headers are protected, the inner one: lower case."""
    sender: str | None


class _Judge:
    def __init__(
        self, message: bytes, opened: _Opening, trust: Trust, at: datetime, policy: Policy
    ) -> None:
        self._message = message
        self._opened = opened
        self._trust = trust
        self._at = at
        self._policy = policy
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

    def _signers(self, layer: _SignedLayer) -> list[SignerJudgement]:
        return [self._signer(layer, signer) for signer in layer.object.signers]

    def _signer(self, layer: _SignedLayer, signer: SignerInfo) -> SignerJudgement:
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

    def _certificate_of(self, layer: _SignedLayer, signer: SignerInfo) -> x509.Certificate:
        data = layer.object
        for certificate in (*data.certificates, *self._trust.certificates):
            if identifies(signer.identity, certificate):
                return certificate
        # A content that was changed is told before a certificate that is missing.
        bound_contents(signer, data.content_type, layer.contents)
        raise Untrusted("signer-certificate-unavailable")

    def _good_signer(
        self, layer: _SignedLayer, signer: SignerInfo, certificate: x509.Certificate
    ) -> SignerJudgement:
        data = layer.object
        if _embeds_another(layer):
            raise SignatureInvalid("econtent-in-detached")
        verified = verify(signer, data.content_type, layer.contents, certificate)
        if verified.content != layer.contents[0]:
            self._warnings.append("line-endings")
        if signer.signed_octets is None:
            self._warnings.append("no-signed-attributes")
        path = find_path(certificate, self._trust, data.certificates, Purpose.SIGN, self._at)
        lists = (*self._trust.revocation_lists, *data.revocation_lists)
        freshness = check_revocation(path, lists, self._at)
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
            claimed = [_only_mailbox(self._message, b"from", needed=True)]
            inner = self._protected_entity()
            if inner is not None:
                claimed.append(_only_mailbox(inner, b"from", needed=False))
            sender = _only_mailbox(self._message, b"sender", needed=False)
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


def _embeds_another(layer: _SignedLayer) -> bool:
    """Whether a detached signature carries a content of its own that is not the part beside it."""
    return layer.object.content is not None and layer.object.content not in layer.contents


def _only_mailbox(message: bytes, name: bytes, *, needed: bool) -> str | None:
    header = _header_of(message)
    found = [one for one in fields(header) if one.name.lower() == name]
    if len(found) > 1:
        raise Malformed(f"duplicate-{name.decode('ascii')}")
    values = [header[one.value_start : one.stop] for one in found]
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
    return _shown(found[0]) if found else None


def _address_among(certificate: x509.Certificate | None, claimed: Sequence[str]) -> str | None:
    for address in _addresses(certificate):
        if address.lower() in claimed:
            return _shown(address)
    return _first_address(certificate)


def _mismatch(certificate: x509.Certificate | None) -> str:
    return "from-not-in-certificate" if _addresses(certificate) else "no-rfc822name"


def _subject(certificate: x509.Certificate | None) -> str | None:
    return None if certificate is None else _shown(certificate.subject.rfc4514_string())


def _shown(text: str) -> str:
    """What a certificate says may end in a header or on a screen: one line, bounded."""
    return _UNSAFE.sub("", text)[:_MAX_SUBJECT]
