"""What the sender is told of documents: what was not filed or not delivered as asked, and why, with
the code. Recipients that cannot be reached are told by delivery status notifications.

The report names documents by their place in the message and their identifier, never by title; it has
no INS, no name and nothing that the sender did not send. Reasons are the public ones. The same
outcomes give the same bytes: ids follow from the spool id, the date from the recorded outcome.
"""

import json
import re
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Final

from mssante.dmp.model import Recorded, Verdict
from mssante.filing.causes import DETAILS, WORDS, Cause, Words
from mssante.kernel.address import Address
from mssante.kernel.clock import from_milliseconds
from mssante.kernel.ins import matricule_key_valid
from mssante.kernel.opaque import OpaqueId, entry_uuid
from mssante.mail.model import SpoolEntry
from mssante.mail.smime import Reach
from mssante.wire.cda.model import Private
from mssante.wire.mime.builder import (
    address_field,
    attachment_entity,
    build_message,
    date_field,
    header_field,
    multipart_entity,
    text_entity,
)
from mssante.wire.mime.identifiers import message_id_of

REPORT_VERSION: Final = 1
"""Of the JSON part."""
_PRINTABLE: Final = re.compile(r"[!-~]{1,128}\Z")
_MATRICULE: Final = re.compile(r"(?=([1-478][0-9]{4}(?:[0-9]{2}|2[AB])[0-9]{8}))")

_FLAGS: Final = {
    "replaced-document-unknown": (
        "le document remplacé est inconnu ici",
        "the replaced document is not known here",
    ),
    "superseded-on-arrival": (
        "une version plus récente était déjà présente",
        "a later version was there already",
    ),
    "metadata-recomputed": (
        "les métadonnées de l'archive différaient du document et ont été recalculées",
        "the metadata of the archive differed from the document and were computed again",
    ),
}
_NO_KEY: Final = Words(
    906,
    "le message est chiffré pour d'autres clés que celles tenues ici et a été remis tel quel",
    "the message is encrypted for other keys than those held here and was delivered as it is",
)
_SECRET: Final = (
    (
        "Aucun document n'en a été déposé dans le DMP. Un message qui contient un document d'une "
        "autre personne, ou non visible par le patient, n'est pas remis au patient."
    ),
    (
        "No document of it was filed into the DMP. A message that has a document of another person, "
        "or one that the patient must not see, is not delivered to the patient."
    ),
)
"""Said whatever was the matter."""
_SECRET_WORD: Final = {True: "no-key", False: Cause.PROTECTION_UNUSABLE.value}


@dataclass(frozen=True, slots=True, repr=False)
class ReportRequest(Private):
    """All that a report is made of."""

    entry: SpoolEntry
    header: bytes
    """Header block of the message."""
    to: Address
    outcomes: tuple[Recorded, ...]
    withheld: frozenset[OpaqueId]
    """Patients' mailboxes that did not receive the message."""
    waiting: int
    """Mailboxes that keep the message, but that nobody reads yet."""
    operator_name: str
    operator_address: Address
    invisible: bool = False
    """A document is not visible to the patients that did not receive the message."""
    reach: Reach = Reach.OPEN
    """What its signature and encryption allowed, where it was to be filed."""

    @property
    def secret(self) -> Words | None:
        """What is told in place of all that follows from a content which the sender perhaps cannot
        read himself: the same whatever it was.
        """
        if self.reach is Reach.NO_KEY:
            return _NO_KEY
        wrong = bool(self.held or self.withheld)
        if self.reach is Reach.UNUSABLE or (self.reach is Reach.UNVOUCHED and wrong):
            return WORDS[Cause.PROTECTION_UNUSABLE]
        return None

    @property
    def told(self) -> "ReportRequest":
        """The same without what follows from a content that is not told about."""
        if self.secret is None and self.reach is not Reach.UNVOUCHED:
            return self
        return replace(self, outcomes=(), withheld=frozenset(), invisible=False)

    @property
    def reported_at(self) -> datetime:
        """The instant of the last recorded outcome, else of the acceptance; in UTC."""
        recorded = [outcome.at for outcome in self.outcomes]
        return from_milliseconds(max(recorded)) if recorded else self.entry.accepted_at

    @property
    def held(self) -> tuple[Recorded, ...]:
        """The documents that wait for a person."""
        return tuple(one for one in self.outcomes if one.verdict is Verdict.HELD)


def needs_report(request: ReportRequest, policy: str) -> bool:
    """Whether the sender is told.

    Args:
        request: what there is to tell.
        policy: ``problems``: when something was not done as sent; ``always``: also when all
            documents were filed.
    """
    if request.secret or request.waiting:
        return True
    request = request.told
    if request.held or request.withheld:
        return True
    return policy == "always" and bool(request.outcomes)


def build_report(request: ReportRequest) -> bytes:
    """The report as a message to the sender."""
    secret, request = request.secret, request.told
    seed = sha256(b"filing report\0" + request.entry.id).hexdigest()
    original = message_id_of(request.header)
    fields = [
        address_field("From", [(request.operator_name, request.operator_address)]),
        address_field("To", [("", request.to)]),
        header_field("Subject", _subject(request, secret)),
        date_field("Date", request.reported_at),
        header_field("Message-ID", f"<{seed[:32]}.report@{request.operator_address.domain}>"),
        # RFC 3834 section 5: nobody answers this automatically.
        header_field("Auto-Submitted", "auto-replied"),
    ]
    if original:
        fields += [header_field("In-Reply-To", original), header_field("References", original)]
    french, english = _french(request), _english(request)
    if secret is not None:
        french.append(f"Code {secret.code} : {secret.french}. {_SECRET[0]}")
        english.append(f"Code {secret.code}: {secret.english}. {_SECRET[1]}")
    text = "\r\n".join((*french, "", "--", "", *english, ""))
    parts = (
        text_entity(text),
        attachment_entity(_machine_part(request, secret), "application/json", "filing-report.json"),
    )
    return build_message(fields, multipart_entity("mixed", f"=_{seed[:40]}", parts))


def _subject(request: ReportRequest, secret: Words | None) -> str:
    """As the French returns write it; the original subject often has the patient's name."""
    day = request.entry.accepted_at.strftime("%d/%m/%Y")
    if secret is not None:
        return f"[KO Alimentation DMP][{secret.code}] Message du {day}"
    if request.held:
        codes = sorted({str(_words(one).code) for one in request.held})
        return f"[KO Alimentation DMP]{''.join(f'[{code}]' for code in codes)} Message du {day}"
    if request.withheld:
        return f"[KO Remise] Message du {day}"
    if request.waiting:
        return f"[Remis, messagerie non activée] Message du {day}"
    return f"[OK Alimentation DMP] Message du {day}"


def _words(outcome: Recorded) -> Words:
    return WORDS.get(outcome.cause or "", WORDS[Cause.RECORD_UNAVAILABLE])


def _french(request: ReportRequest) -> list[str]:
    day = request.entry.accepted_at.strftime("%d/%m/%Y %H:%M UTC")
    lines = [f"Bonjour, voici le compte rendu de votre message accepté le {day}.", ""]
    for one in request.outcomes:
        label = f"Document {one.key.index + 1} ({_identifier(one, 'sans identifiant')})"
        if one.verdict is Verdict.HELD:
            words = _words(one)
            detail = f" ({DETAILS[one.detail][0]})" if one.detail in DETAILS else ""
            lines.append(
                f"{label} : non déposé dans le DMP, mis en attente. "
                f"Code {words.code} : {words.french}{detail}."
            )
        else:
            repeated = one.verdict is Verdict.ALREADY_FILED
            state = "était déjà dans le DMP" if repeated else "déposé dans le DMP"
            notes = "".join(f" ; {_FLAGS[flag][0]}" for flag in one.flags if flag in _FLAGS)
            lines.append(f"{label} : {state}{notes}.")
    if request.withheld:
        lines.append(
            f"Le message n'a pas été remis au patient destinataire : {_why_withheld(request)[0]} "
            f"(destinataires concernés : {len(request.withheld)})."
        )
    if request.waiting:
        lines.append(f"Boîtes pas encore activées, qui conservent le message : {request.waiting}.")
    return lines


def _english(request: ReportRequest) -> list[str]:
    day = request.entry.accepted_at.strftime("%Y-%m-%d %H:%M UTC")
    lines = [f"This is the report about your message accepted on {day}.", ""]
    for one in request.outcomes:
        label = f"Document {one.key.index + 1} ({_identifier(one, 'no identifier')})"
        if one.verdict is Verdict.HELD:
            words = _words(one)
            detail = f" ({DETAILS[one.detail][1]})" if one.detail in DETAILS else ""
            lines.append(
                f"{label}: not filed into the DMP, held. "
                f"Code {words.code}: {words.english}{detail}."
            )
        else:
            repeated = one.verdict is Verdict.ALREADY_FILED
            state = "was already in the DMP" if repeated else "filed into the DMP"
            notes = "".join(f"; {_FLAGS[flag][1]}" for flag in one.flags if flag in _FLAGS)
            lines.append(f"{label}: {state}{notes}.")
    if request.withheld:
        lines.append(
            f"The message was not delivered to the receiving patient: {_why_withheld(request)[1]} "
            f"(recipients concerned: {len(request.withheld)})."
        )
    if request.waiting:
        lines.append(f"Mailboxes not activated yet that keep the message: {request.waiting}.")
    return lines


def _why_withheld(request: ReportRequest) -> tuple[str, str]:
    if request.invisible:
        return (
            "un document n'est pas visible par le patient",
            "a document is not visible to the patient",
        )
    return "un document désigne une autre personne", "a document names another person"


def _identifier(outcome: Recorded, otherwise: str) -> str:
    """The document's identifier, unless it cannot be shown or contains a social security number."""
    text = outcome.unique_id
    if not _PRINTABLE.match(text):
        return otherwise
    if any(matricule_key_valid(found[1]) for found in _MATRICULE.finditer(text.upper())):
        return otherwise
    return text


def _machine_part(request: ReportRequest, secret: Words | None) -> bytes:
    """The same for programs; keys are stable within `REPORT_VERSION`."""
    documents = [
        {
            "ordinal": one.key.index + 1,
            "uniqueId": _identifier(one, "") or None,
            "outcome": one.verdict.value,
            "code": _words(one).code if one.verdict is Verdict.HELD else None,
            "cause": _public_cause(one),
            "detail": one.detail or None,
            "flags": [flag for flag in one.flags if flag in _FLAGS],
            "entryUuid": entry_uuid(one.entry_id) if one.entry_id else None,
        }
        for one in request.outcomes
    ]
    report = {
        "reportVersion": REPORT_VERSION,
        "acceptedAt": request.entry.accepted_at.isoformat(),
        "reportedAt": request.reported_at.isoformat(),
        "documents": documents,
        "deliveryWithheld": len(request.withheld),
        "notActivated": request.waiting,
        **({"protection": _SECRET_WORD[secret is _NO_KEY]} if secret else {}),
    }
    return json.dumps(report, ensure_ascii=False, indent=1).encode() + b"\n"


def _public_cause(outcome: Recorded) -> str | None:
    """The cause as a word; causes with the same public text have the same word."""
    if outcome.cause is None:
        return None
    text = _words(outcome)
    return next(str(cause) for cause, words in WORDS.items() if words == text)
