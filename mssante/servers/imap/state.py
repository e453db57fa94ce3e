"""In which state of a session each command is legal (RFC 3501 sections 3 and 6), as a table."""

from enum import Enum, unique
from typing import Final

from mssante.wire.imap import commands
from mssante.wire.imap.commands import Command


@unique
class State(Enum):
    """RFC 3501 section 3."""

    NOT_AUTHENTICATED = "not authenticated"
    AUTHENTICATED = "authenticated"
    SELECTED = "selected"
    LOGOUT = "logout"


_ANY: Final = frozenset({State.NOT_AUTHENTICATED, State.AUTHENTICATED, State.SELECTED})
_BEFORE: Final = frozenset({State.NOT_AUTHENTICATED})
_AFTER: Final = frozenset({State.AUTHENTICATED, State.SELECTED})
_SELECTED: Final = frozenset({State.SELECTED})

LEGAL: Final[dict[type[Command], frozenset[State]]] = {
    commands.Capability: _ANY,
    commands.Noop: _ANY,
    commands.Logout: _ANY,
    commands.Id: _ANY,
    commands.StartTls: _BEFORE,
    commands.Authenticate: _BEFORE,
    commands.Login: _BEFORE,
    commands.Enable: _AFTER,
    commands.Select: _AFTER,
    commands.Create: _AFTER,
    commands.Delete: _AFTER,
    commands.Rename: _AFTER,
    commands.Subscribe: _AFTER,
    commands.ListMailboxes: _AFTER,
    commands.ListSubscribed: _AFTER,
    commands.Namespace: _AFTER,
    commands.Status: _AFTER,
    commands.Append: _AFTER,
    # RFC 2177 allows it in both states, and Outlook sends it before it selects.
    commands.Idle: _AFTER,
    commands.Check: _SELECTED,
    commands.Close: _SELECTED,
    commands.Unselect: _SELECTED,
    commands.Expunge: _SELECTED,
    commands.Search: _SELECTED,
    commands.Fetch: _SELECTED,
    commands.Store: _SELECTED,
    commands.Copy: _SELECTED,
    commands.Move: _SELECTED,
}

NO_EXPUNGE_DURING: Final = (commands.Fetch, commands.Store, commands.Search)
"""Where message numbers must not shift (RFC 3501 section 7.4.1), unless sent as a UID command."""
