"""Which commands make a client CONDSTORE-aware (RFC 7162 section 3.1)."""

from typing import Final

from mssante.wire.imap.commands import (
    Command,
    Enable,
    Fetch,
    ListMailboxes,
    Search,
    Select,
    Status,
    StatusItem,
    Store,
)
from mssante.wire.imap.fetch import Attribute
from mssante.wire.imap.search import names_modseq

CONDSTORE: Final = "CONDSTORE"


def enables_condstore(command: Command) -> bool:
    """Whether a command says that the client wants to hear of mod-sequences from now on."""
    match command:
        case Select():
            return command.condstore
        case Status():
            return StatusItem.HIGHESTMODSEQ in command.items
        case ListMailboxes():
            return StatusItem.HIGHESTMODSEQ in command.status
        case Fetch():
            return Attribute.MODSEQ in command.items
        case Search():
            return names_modseq(command.key)
        case Store():
            return command.unchanged_since is not None
        case Enable():
            return CONDSTORE in command.names
        case _:
            return False
