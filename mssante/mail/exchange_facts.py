"""What the audit keeps of a message so that exchanges can be counted: kinds and numbers, no person.

The fields ``X-MSS-*`` are the sender's words: they are carried untouched, and only what has the form of a
code is counted. Anything else counts as ``invalid``, so that no name or INS gets into the audit.
"""

import re
from typing import Final

from mssante.directory.model import MailboxType
from mssante.mail.rules.who_may_write import Party
from mssante.wire.mime.headers import unfold

INVALID: Final = "invalid"
_FIELDS: Final = re.compile(
    rb"(?mi)^X-MSS-(CODECDA|INS|NIL|MES)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)"
)
_MOST_CODES: Final = 20
_NUMBER: Final = re.compile(r"[0-9]{13}")
"""As long as an INS: no code of a document or product is."""
_CODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,19}\Z")
_NIL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/-]{0,39}\Z")


def header_facts(header: bytes) -> dict[str, str | int]:
    """The fields of MSSanté in a header block: ``codecda``, ``ins``, ``nil``, ``fin``."""
    found: dict[str, str | int] = {}
    for name, written in _FIELDS.findall(header):
        value = unfold(written).decode("latin-1")
        match name.lower():
            case b"codecda":
                found.setdefault("codecda", ",".join(_codes(value)))
            case b"ins":
                found.setdefault("ins", value if value in ("O", "N") else INVALID)
            case b"nil":
                found.setdefault("nil", value if _fits(_NIL, value) else INVALID)
            case _ if value == "FIN":
                found["fin"] = 1
            case _:
                pass
    return found


def kind_facts(sender: Party, *, receipt: bool) -> dict[str, str | int]:
    """Who wrote: ``from``, and ``receipt`` for what has the null reverse-path."""
    who = "patient" if sender.is_patient else "pro"
    return {"from": who, **({"receipt": 1} if receipt else {})}


def recipient_facts(
    here: list[MailboxType], patients_elsewhere: int, professionals_elsewhere: int
) -> dict[str, str | int]:
    """To how many it goes: ``pro_here``, ``patient_here``, ``pro_elsewhere``, ``patient_elsewhere``."""
    patients = sum(kind is MailboxType.CITIZEN for kind in here)
    counts: dict[str, str | int] = {
        "pro_here": len(here) - patients,
        "patient_here": patients,
        "pro_elsewhere": professionals_elsewhere,
        "patient_elsewhere": patients_elsewhere,
    }
    return {name: count for name, count in counts.items() if count}


def _codes(value: str) -> list[str]:
    """Each code once."""
    codes = [code.strip() for code in value.split(",")][:_MOST_CODES]
    return sorted({code if _fits(_CODE, code) else INVALID for code in codes})


def _fits(form: re.Pattern[str], text: str) -> bool:
    return form.match(text) is not None and _NUMBER.search(text) is None
