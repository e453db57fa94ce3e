"""Which function runs which command."""

from typing import Final

from mssante.servers.imap.commands.any_state import capability, enable, identify, logout, noop
from mssante.servers.imap.commands.append import append
from mssante.servers.imap.commands.authentication import authenticate, login, start_tls
from mssante.servers.imap.commands.copy import copy, move
from mssante.servers.imap.commands.expunge import expunge
from mssante.servers.imap.commands.fetch import fetch
from mssante.servers.imap.commands.folders import (
    create,
    delete,
    namespace,
    rename,
    status,
    subscribe,
)
from mssante.servers.imap.commands.idle import idle
from mssante.servers.imap.commands.listing import list_mailboxes, list_subscribed
from mssante.servers.imap.commands.search import search
from mssante.servers.imap.commands.selection import check, close, select, unselect
from mssante.servers.imap.commands.store import store
from mssante.servers.imap.session import Handler
from mssante.wire.imap import commands
from mssante.wire.imap.commands import Command

HANDLERS: Final[dict[type[Command], Handler]] = {
    commands.Capability: capability,
    commands.Noop: noop,
    commands.Logout: logout,
    commands.Id: identify,
    commands.Enable: enable,
    commands.StartTls: start_tls,
    commands.Authenticate: authenticate,
    commands.Login: login,
    commands.Select: select,
    commands.Create: create,
    commands.Delete: delete,
    commands.Rename: rename,
    commands.Subscribe: subscribe,
    commands.ListMailboxes: list_mailboxes,
    commands.ListSubscribed: list_subscribed,
    commands.Namespace: namespace,
    commands.Status: status,
    commands.Append: append,
    commands.Idle: idle,
    commands.Check: check,
    commands.Close: close,
    commands.Unselect: unselect,
    commands.Expunge: expunge,
    commands.Search: search,
    commands.Fetch: fetch,
    commands.Store: store,
    commands.Copy: copy,
    commands.Move: move,
}
