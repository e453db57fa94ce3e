"""S/MIME on a message's way: members' mail is sealed at the door, what comes protected is judged and,
with the keys of its recipients' mailboxes, opened.

Each mailbox's mail is opened with that mailbox's keys alone: of several recipients each gets what
was encrypted for it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, unique
from typing import Final

from mssante.directory.model import Mailbox, MailboxType
from mssante.kernel.opaque import OpaqueId
from mssante.mail.as_read import as_read
from mssante.mail.model import BlobRef, Evidence, Seal, SpoolEntry
from mssante.trust.anchors import Trust
from mssante.trust.judgement import (
    DEFAULT_POLICY,
    Judgement,
    Policy,
    SignerJudgement,
    Verdict,
    judge,
)
from mssante.trust.mailbox_keys import KeyHolder, MailboxKeys
from mssante.trust.opening import Decryption
from mssante.trust.shown import shown_issuer, shown_serial
from mssante.trust.validation import Validations
from mssante.wire.mime.scanner import Part
from mssante.wire.smime.decryption import DecryptionKey
from mssante.wire.smime.recognition import Appearance, appearance
from mssante.wire.smime.signature import identifies

Keys = Mapping[OpaqueId, tuple[DecryptionKey, ...]]
"""Of each local recipient's mailbox."""
_NO_KEYS: Final[Keys] = {}


@unique
class Reach(Enum):
    """How far a message's documents may go into records."""

    OPEN = "open"
    SIGNATURE_BAD = "signature-bad"
    """They can be read, and what vouches for them is not good: held."""
    UNVOUCHED = "unvouched"
    """They were encrypted, and nobody signed inside. Filed; but what is wrong with them is not told
    to who sent them: he need not be who wrote them, and could ask what he cannot read."""
    UNUSABLE = "unusable"
    """What is protected did not open, or not in a way that can be relied on. One word for all causes:
    which one is an oracle."""
    NO_KEY = "no-key"
    """Encrypted for none of the keys held here."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is shown and kept of S/MIME beside one message."""

    verdict: Verdict
    reason: str
    sealed: bool = False
    """It was the server that signed, for a mailbox; else a person's or an organisation's own key."""
    address: str | None = field(default=None, repr=False)
    """The signer's, in the certificate."""
    serial: str | None = None
    issuer: str | None = None
    subject: str | None = field(default=None, repr=False)
    decryption: Decryption | None = None
    warnings: tuple[str, ...] = ()
    signer: SignerJudgement | None = field(default=None, repr=False)

    def evidence(self, at: datetime, original: BlobRef | None) -> Evidence | None:
        """To be kept with the message. Nothing where it has no S/MIME, nor where we sealed it a moment
        ago: nothing was judged, and the audit has which key it was.
        """
        is_ours = self.sealed and self.signer is None
        if is_ours or (
            self.verdict is Verdict.NONE and self.decryption is None and not self.reason
        ):
            return None
        details = {
            "by": "sealed" if self.sealed else "signed" if self.serial else None,
            "address": self.address,
            "subject": self.subject,
            "serial": self.serial,
            "issuer": self.issuer,
            "warnings": self.warnings,
        }
        return Evidence(
            at,
            self.verdict.value,
            self.reason,
            self.decryption.value if self.decryption else None,
            json.dumps(details, ensure_ascii=False).encode(),
            original,
        )


UNPROTECTED: Final = Finding(Verdict.NONE, "")


@dataclass(frozen=True, slots=True, repr=False)
class Variant:
    """One form of a message, and who gets it."""

    content: bytes | None
    """As its reader sees it; None: the message as it came."""
    mailbox_ids: frozenset[OpaqueId]
    finding: Finding


@dataclass(frozen=True, slots=True, repr=False)
class Passage:
    """What S/MIME makes of a message."""

    finding: Finding
    """For the message as it came: who is in no variant gets that."""
    variants: tuple[Variant, ...] = ()
    inner: bytes | None = None
    """Where documents are to be looked for; None: in the message as it came."""
    reach: Reach = Reach.OPEN


@dataclass(frozen=True, slots=True)
class SecureMail:
    """Judges and opens what is on its way; holds the keys only by their port."""

    keys: MailboxKeys
    trust: Callable[[], Trust]
    """What is in force now."""
    validations: Validations
    policy: Policy = DEFAULT_POLICY

    async def keys_for(self, entry: SpoolEntry, root: Part, mailboxes: Sequence[Mailbox]) -> Keys:
        """The keys that may open a message: those of its recipients' mailboxes.

        Args:
            entry: with the envelope.
            root: the message's structure: what shows that nothing is encrypted needs no keys.
            mailboxes: of its local recipients.
        """
        if entry.envelope.seal is not None or not _may_be_closed(root):
            return _NO_KEYS
        return {
            mailbox.id: found
            for mailbox in mailboxes
            if (found := await self.keys.opening(mailbox.id))
        }

    def examine(self, entry: SpoolEntry, content: bytes, root: Part, keys: Keys) -> Passage:
        """Judge a message at the instant of its acceptance; no effect, may run in a thread.

        Args:
            entry: with the envelope.
            content: the message as it was accepted.
            root: its structure.
            keys: see `keys_for`.
        """
        seal = entry.envelope.seal
        if seal is not None:
            return Passage(_of_seal(seal))
        if appearance(root) is None:
            return Passage(UNPROTECTED)
        at = entry.accepted_at
        closed = self._judge(content, root, (), at)
        if not closed.named:
            inner = closed.plaintext
            if inner is not None and _stands_open(content, root, inner):
                inner = None
            return Passage(_finding(closed), inner=inner, reach=_reach(closed))
        judged = {
            mailbox_id: self._judge(content, root, own, at)
            for mailbox_id, own in keys.items()
            if _names_one(closed, own)
        }
        if not judged:
            return Passage(_finding(closed), reach=Reach.NO_KEY)
        return _opened(content, closed, judged)

    async def attributed(self, finding: Finding) -> Finding:
        """The same, with whether the server holds the key that signed."""
        signer = finding.signer
        if signer is None or signer.certificate is None or finding.verdict is not Verdict.VALID:
            return finding
        if not await self.keys.is_held(signer.certificate):
            return finding
        return _finding_of(
            finding.verdict,
            finding.reason,
            signer,
            finding.decryption,
            finding.warnings,
            sealed=True,
        )

    def _judge(
        self, content: bytes, root: Part, keys: Sequence[DecryptionKey], at: datetime
    ) -> Judgement:
        return judge(
            content,
            self.trust(),
            keys,
            at=at,
            policy=self.policy,
            validated=self.validations,
            root=root,
        )


def holder_of(mailbox: Mailbox) -> KeyHolder:
    """A mailbox as its keys know it. A certificate says no patient's name."""
    is_patient = mailbox.type is MailboxType.CITIZEN
    return KeyHolder(mailbox.id, mailbox.address, "" if is_patient else mailbox.display_name)


def _of_seal(seal: Seal) -> Finding:
    """A moment ago we signed it ourselves: there is nothing to verify."""
    return Finding(
        Verdict.VALID,
        "",
        sealed=True,
        address=seal.address,
        serial=seal.serial,
        issuer=seal.issuer,
    )


def _may_be_closed(root: Part) -> bool:
    """Whether there may be something to decrypt below the layers that can be seen."""
    kind = appearance(root)
    if kind is Appearance.CLEAR_SIGNED:
        return any(_may_be_closed(part) for part in root.children[:1])
    return kind is not None


def _stands_open(content: bytes, root: Part, inner: bytes) -> bool:
    """Whether what was signed is a part of the message, so that a look at the message finds it."""
    return bool(root.children) and (
        content[root.children[0].header_start : root.children[0].body_stop] == inner
    )


def _names_one(closed: Judgement, keys: Sequence[DecryptionKey]) -> bool:
    return any(identifies(name, key.certificate) for key in keys for name in closed.named)


def _opened(content: bytes, closed: Judgement, judged: Mapping[OpaqueId, Judgement]) -> Passage:
    """Who has the same text shares one message; documents count only where all texts are one."""
    forms: dict[bytes, set[OpaqueId]] = {}
    findings: dict[bytes, Finding] = {}
    for mailbox_id, judgement in judged.items():
        form = None
        if judgement.decryption is Decryption.OK:
            form = as_read(content, judgement)
        # Empty: it did not open, and is delivered as it came.
        forms.setdefault(form or b"", set()).add(mailbox_id)
        findings.setdefault(form or b"", _finding(judgement))
    variants = tuple(
        Variant(form or None, frozenset(ids), findings[form]) for form, ids in forms.items()
    )
    first = next(iter(judged.values()))
    is_one = len({judgement.plaintext for judgement in judged.values()}) == 1
    reach = _reach(first) if is_one else Reach.UNUSABLE
    return Passage(_finding(closed), variants, first.plaintext, reach)


def _reach(judgement: Judgement) -> Reach:
    is_good = judgement.verdict in (Verdict.VALID, Verdict.NONE)
    if judgement.encrypted:
        relies = (
            judgement.decryption is Decryption.OK
            and is_good
            and not {"no-integrity", "signature-outside-encryption"} & set(judgement.warnings)
        )
        if not relies:
            return Reach.UNUSABLE
        return Reach.OPEN if judgement.verdict is Verdict.VALID else Reach.UNVOUCHED
    if is_good:
        return Reach.OPEN
    return Reach.UNUSABLE if judgement.plaintext is None else Reach.SIGNATURE_BAD


def _finding(judgement: Judgement) -> Finding:
    """The signer that counts: of the innermost signature, the one that decided."""
    signer = next(
        (one for one in reversed(judgement.signers) if one.verdict is judgement.verdict),
        judgement.signers[-1] if judgement.signers else None,
    )
    return _finding_of(
        judgement.verdict, judgement.reason, signer, judgement.decryption, judgement.warnings
    )


def _finding_of(
    verdict: Verdict,
    reason: str,
    signer: SignerJudgement | None,
    decryption: Decryption | None,
    warnings: tuple[str, ...],
    *,
    sealed: bool = False,
) -> Finding:
    certificate = signer.certificate if signer else None
    return Finding(
        verdict,
        reason,
        sealed=sealed,
        address=signer.address if signer else None,
        serial=shown_serial(certificate) if certificate else None,
        issuer=shown_issuer(certificate) if certificate else None,
        subject=signer.subject if signer else None,
        decryption=decryption,
        warnings=warnings,
        signer=signer,
    )
