"""LIST, plain and extended (RFC 5258, 5819, 6154), and LSUB.

A name above a mailbox that is no mailbox itself is listed as one that cannot be selected. Every
LIST tells children and special uses, asked or not (RFC 3348, RFC 6154 section 2).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mssante.kernel.reasons import Reason, Refusal
from mssante.mail.model import Folder
from mssante.servers.imap.commands.folders import status_line
from mssante.servers.imap.folder_names import in_order, inbox_in_capitals, names_above
from mssante.servers.imap.session import Session
from mssante.wire.imap import responses
from mssante.wire.imap.commands import ListMailboxes, ListReturn, ListSelection, ListSubscribed
from mssante.wire.imap.list_pattern import SEPARATOR, ListPattern

_CRITERIA: Final = (ListSelection.SUBSCRIBED, ListSelection.SPECIAL_USE)
"""The selections that leave mailboxes out; all of ours are local, so that REMOTE adds none."""


async def list_subscribed(session: Session, command: ListSubscribed) -> None:
    r"""LSUB: a name above a subscribed one that the pattern does not reach is told as ``\Noselect``
    (RFC 3501 section 6.3.9), and so is one that no mailbox has any more.
    """
    names = await _names(session, with_subscriptions=True)
    subscribed = {name: each for name, each in names.items() if each is None or each.subscribed}
    above = names_above(subscribed)
    pattern = ListPattern(inbox_in_capitals(command.reference + command.pattern))
    matching = {name for name in above | subscribed.keys() if pattern.matches(name)}
    untold = names_above(subscribed.keys() - matching)
    for name in in_order(matching & (subscribed.keys() | untold)):
        attributes = _attributes(subscribed.get(name), has_children=name in above)
        session.wire.write(_line("LSUB", name, attributes))


async def list_mailboxes(session: Session, command: ListMailboxes) -> None:
    """LIST."""
    if not command.extended and command.patterns == ("",):
        # Asks for the separator (RFC 3501 section 6.3.8).
        session.write(f'* LIST (\\Noselect) "{SEPARATOR}" ""\r\n')
        return
    names = await _names(session, with_subscriptions=command.extended)
    for listed in _listed(command, names):
        await _write(session, command, listed)


async def _names(session: Session, *, with_subscriptions: bool) -> dict[str, Folder | None]:
    """The folders by name, and what is subscribed without one where that is wanted."""
    names: dict[str, Folder | None] = {}
    if with_subscriptions:
        names = dict.fromkeys(await session.service.subscriptions(session.identity))
    names.update((each.name, each) for each in await session.service.folders(session.identity))
    return names


@dataclass(frozen=True, slots=True)
class _Listed:
    """One mailbox or name to be listed."""

    name: str
    folder: Folder | None
    is_subscribed: bool
    has_children: bool
    selected: bool
    """Whether it fulfils the criteria itself; if not, something below it does."""
    child_info: bool
    """Whether CHILDINFO is told: something below it fulfils the criteria (RFC 5258 3.5)."""


def _listed(command: ListMailboxes, names: dict[str, Folder | None]) -> Iterable[_Listed]:
    """What is to be told of `names`: the folders, and what is subscribed without one."""
    criteria = [each for each in _CRITERIA if each in command.selection]
    folders = {name for name, folder in names.items() if folder is not None}
    selected = {
        name for name, folder in names.items() if all(_fulfils(folder, each) for each in criteria)
    }
    if ListSelection.SUBSCRIBED not in criteria:
        selected &= folders
    above_any, above_selected = names_above(folders), names_above(selected)
    patterns = [
        ListPattern(inbox_in_capitals(command.reference + pattern))
        for pattern in command.patterns
        if pattern
    ]
    matching = {
        name
        for name in names.keys() | above_any | above_selected
        if any(pattern.matches(name) for pattern in patterns)
    }
    recursive = ListSelection.RECURSIVEMATCH in command.selection
    # What stands for names below it is told only where those are not told themselves.
    above_untold = names_above(selected - matching)
    if recursive:
        shown = selected | above_untold
    elif criteria:
        shown = selected
    else:
        shown = selected | (above_untold if command.extended else above_any)
    for name in in_order(matching & shown):
        folder = names.get(name)
        yield _Listed(
            name,
            folder,
            is_subscribed=name in names if folder is None else folder.subscribed,
            has_children=name in above_any,
            selected=name in selected,
            child_info=recursive and name in above_selected,
        )


def _fulfils(folder: Folder | None, criterion: ListSelection) -> bool:
    """Whether a folder, or a subscribed name without one, is among the selected."""
    if criterion is ListSelection.SUBSCRIBED:
        return folder is None or folder.subscribed
    return folder is not None and folder.special_use is not None


async def _write(session: Session, command: ListMailboxes, listed: _Listed) -> None:
    folder = listed.folder
    status = b""
    if folder is not None and command.status and listed.selected:
        try:
            status = await status_line(session, folder, command.status)
        except Refusal as refusal:
            if refusal.reason is not Reason.MAILBOX_NONEXISTENT:
                raise
            return  # deleted meanwhile: as if it had been before
    attributes = _attributes(folder, has_children=listed.has_children, extended=command.extended)
    asks_subscribed = (
        ListReturn.SUBSCRIBED in command.returned or ListSelection.SUBSCRIBED in command.selection
    )
    if listed.is_subscribed and asks_subscribed:
        attributes.append("\\Subscribed")
    child_info = ""
    if listed.child_info:
        criteria = " ".join(f'"{each.value}"' for each in _CRITERIA if each in command.selection)
        child_info = f' ("CHILDINFO" ({criteria}))'
    session.wire.write(_line("LIST", listed.name, attributes, child_info) + status)


def _attributes(folder: Folder | None, *, has_children: bool, extended: bool = False) -> list[str]:
    attributes = []
    if folder is None:
        # Clients that do not know the extension know only the weaker attribute.
        attributes += ["\\NonExistent", "\\Noselect"] if extended else ["\\Noselect"]
    attributes.append("\\HasChildren" if has_children else "\\HasNoChildren")
    if folder is not None and folder.special_use is not None:
        attributes.append(folder.special_use.value)
    return attributes


def _line(word: str, name: str, attributes: list[str], extended: str = "") -> bytes:
    start = f'* {word} ({" ".join(attributes)}) "{SEPARATOR}" '.encode("ascii")
    return start + responses.mailbox(name) + extended.encode("ascii") + b"\r\n"
