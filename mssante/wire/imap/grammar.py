"""Understands a whole command (second stage, after ``reader``): fragments to `Tagged`."""

import re
from collections.abc import Callable
from enum import Enum
from typing import Final, TypeVar

from mssante.wire.imap.commands import (
    Append,
    Authenticate,
    Capability,
    Check,
    Close,
    Command,
    Copy,
    Create,
    Delete,
    Enable,
    Expunge,
    Fetch,
    Id,
    Idle,
    ListMailboxes,
    ListReturn,
    ListSelection,
    ListSubscribed,
    Login,
    Logout,
    Move,
    Namespace,
    Noop,
    Rename,
    Search,
    SearchResult,
    Select,
    StartTls,
    Status,
    StatusItem,
    Store,
    StoreOperation,
    Subscribe,
    Tagged,
    Unselect,
)
from mssante.wire.imap.cursor import MAX_WORDS, Cursor, mailbox_name, without_nul
from mssante.wire.imap.errors import GrammarError
from mssante.wire.imap.fetch import Attribute, parse_fetch_items
from mssante.wire.imap.search import parse_search

_TAG: Final = re.compile(rb'[^\x00-\x20(){%*"\\\x7f-\xff+]{1,128}(?= )')
_VERB: Final = re.compile(rb"[A-Za-z0-9]{1,32}")
_STORE: Final = re.compile(rb"([+-]?FLAGS)(\.SILENT)?(?= )", re.IGNORECASE)
_RETURN: Final = re.compile(rb"RETURN (?=\()", re.IGNORECASE)
_BASE64: Final = re.compile(rb"=|[A-Za-z0-9+/]*={0,2}")
_Option = TypeVar("_Option", bound=Enum)
_MODIFIERS_OF_SELECTIONS: Final = {ListSelection.RECURSIVEMATCH, ListSelection.REMOTE}
"""What selects nothing by itself (RFC 5258 section 3.1)."""
MAX_PATTERNS: Final = 100
"""Patterns of one LIST."""
MAX_ID_PAIRS: Final = 30
MAX_ID_VALUE: Final = 1_024


def parse_command(fragments: tuple[bytes, ...]) -> Tagged:
    """Read a command.

    Raises:
        GrammarError: with the tag where there is one; the text may be sent back.
    """
    cursor = Cursor(fragments)
    tag = command_tag(fragments[0])
    if tag is None:
        raise GrammarError("A command begins with a tag")
    cursor.position = len(tag) + 1
    try:
        return _parse_tagged(tag, cursor)
    except GrammarError as error:
        error.tag = tag
        raise


def command_tag(line: bytes) -> str | None:
    """The tag at the beginning of a line, if there is a proper one."""
    match = _TAG.match(line)
    return match[0].decode("ascii") if match else None


def _parse_tagged(tag: str, cursor: Cursor) -> Tagged:
    match = cursor.match(_VERB)
    name = match[0].upper().decode("ascii") if match else ""
    parsers = _PARSERS
    if name == "UID":
        cursor.space()
        match = cursor.match(_VERB)
        name = match[0].upper().decode("ascii") if match else ""
        parsers = _UID_PARSERS
    parser = parsers.get(name)
    if parser is None:
        raise GrammarError("Unknown command")
    command = parser(cursor)
    cursor.end()
    return Tagged(tag, f"UID {name}" if parsers is _UID_PARSERS else name, command)


def _bare(command: Command) -> Callable[[Cursor], Command]:
    return lambda _cursor: command


def _id(cursor: Cursor) -> Command:
    cursor.space()
    if cursor.accept(b"("):
        pairs = 0
        while not cursor.accept(b")"):
            if pairs:
                cursor.space()
            name = cursor.string()
            cursor.space()
            value = cursor.nstring()
            pairs += 1
            if pairs > MAX_ID_PAIRS or len(name) > MAX_ID_VALUE or len(value or b"") > MAX_ID_VALUE:
                raise GrammarError("Too much in ID")
    elif cursor.nstring() is not None:
        raise GrammarError("ID takes a list or NIL")
    return Id()


def _enable(cursor: Cursor) -> Command:
    names = []
    while not cursor.at_end:
        cursor.space()
        names.append(cursor.keyword().decode("ascii"))
    if not names:
        raise GrammarError("Missing argument")
    return Enable(tuple(names))


def _authenticate(cursor: Cursor) -> Command:
    cursor.space()
    mechanism = cursor.keyword().decode("ascii")
    initial = None
    if cursor.accept(b" "):
        match = cursor.match(_BASE64)
        initial = match[0] if match else b""
    return Authenticate(mechanism, initial)


def _login(cursor: Cursor) -> Command:
    cursor.space()
    user = cursor.astring()
    cursor.space()
    return Login(user, cursor.astring())


def _named(cursor: Cursor) -> str:
    cursor.space()
    return cursor.mailbox()


def _select_of(*, read_only: bool) -> Callable[[Cursor], Command]:
    def parse(cursor: Cursor) -> Command:
        mailbox = _named(cursor)
        condstore = False
        if cursor.accept(b" "):
            if set(cursor.words()) != {b"CONDSTORE"}:
                raise GrammarError("Unknown parameter")
            condstore = True
        return Select(mailbox, read_only, condstore)

    return parse


def _create(cursor: Cursor) -> Command:
    mailbox = _named(cursor)
    if not cursor.accept(b" "):
        return Create(mailbox)
    cursor.expect(b"(")
    if cursor.keyword() != b"USE":
        raise GrammarError("Unknown parameter")
    cursor.space()
    cursor.expect(b"(")
    uses: list[str] = []
    while not cursor.accept(b")"):
        if uses:
            cursor.space()
        cursor.expect(b"\\")
        uses.append("\\" + cursor.atom().decode("ascii"))
    cursor.expect(b")")
    return Create(mailbox, tuple(uses))


def _delete(cursor: Cursor) -> Command:
    return Delete(_named(cursor))


def _rename(cursor: Cursor) -> Command:
    return Rename(_named(cursor), _named(cursor))


def _subscribe(cursor: Cursor) -> Command:
    return Subscribe(_named(cursor), subscribed=True)


def _unsubscribe(cursor: Cursor) -> Command:
    return Subscribe(_named(cursor), subscribed=False)


def _list(cursor: Cursor) -> Command:
    cursor.space()
    selection = frozenset[ListSelection]()
    extended = cursor.text.startswith(b"(", cursor.position)
    if extended:
        selection = _options(cursor, ListSelection)
        if selection <= _MODIFIERS_OF_SELECTIONS and ListSelection.RECURSIVEMATCH in selection:
            raise GrammarError("RECURSIVEMATCH needs a selection")
        cursor.space()
    reference = _reference(cursor.astring())
    cursor.space()
    patterns: tuple[str, ...]
    if cursor.text.startswith(b"(", cursor.position):
        extended = True
        patterns = _patterns(cursor)
    else:
        patterns = (cursor.list_mailbox(),)
    returned: frozenset[ListReturn] = frozenset()
    status: tuple[StatusItem, ...] = ()
    if cursor.accept(b" "):
        extended = True
        returned, status = _return_options(cursor)
    return ListMailboxes(reference, patterns, extended, selection, returned, status)


def _patterns(cursor: Cursor) -> tuple[str, ...]:
    cursor.expect(b"(")
    patterns = [cursor.list_mailbox()]
    while cursor.accept(b" "):
        if len(patterns) == MAX_PATTERNS:
            raise GrammarError("Too many patterns")
        patterns.append(cursor.list_mailbox())
    cursor.expect(b")")
    return tuple(patterns)


def _lsub(cursor: Cursor) -> Command:
    cursor.space()
    reference = cursor.astring()
    cursor.space()
    return ListSubscribed(_reference(reference), cursor.list_mailbox())


def _reference(raw: bytes) -> str:
    """A reference keeps its last separator, which says that a name follows below it."""
    return mailbox_name(raw) + ("/" if raw.endswith(b"/") else "")


def _return_options(cursor: Cursor) -> tuple[frozenset[ListReturn], tuple[StatusItem, ...]]:
    """``RETURN (SUBSCRIBED STATUS (MESSAGES))``; options may come more than once."""
    if cursor.keyword() != b"RETURN":
        raise GrammarError("Unknown list option")
    cursor.space()
    cursor.expect(b"(")
    words: list[bytes] = []
    status: tuple[StatusItem, ...] = ()
    while not cursor.accept(b")"):
        if words:
            cursor.space()
        if len(words) == MAX_WORDS:
            raise GrammarError("Too many options")
        words.append(cursor.keyword())
        if words[-1] == b"STATUS":
            cursor.space()
            status = tuple(dict.fromkeys(status + _status_items(cursor)))
    return _members(ListReturn, [word for word in words if word != b"STATUS"]), status


def _status(cursor: Cursor) -> Command:
    mailbox = _named(cursor)
    cursor.space()
    return Status(mailbox, _status_items(cursor))


def _status_items(cursor: Cursor) -> tuple[StatusItem, ...]:
    cursor.expect(b"(")
    items = [_status_item(cursor)]
    while cursor.accept(b" "):
        items.append(_status_item(cursor))
    cursor.expect(b")")
    return tuple(dict.fromkeys(items))


def _status_item(cursor: Cursor) -> StatusItem:
    try:
        return StatusItem(cursor.keyword().decode("ascii"))
    except ValueError as error:
        raise GrammarError("Unknown status item") from error


def _append(cursor: Cursor) -> Command:
    mailbox = _named(cursor)
    cursor.space()
    flags: tuple[str, ...] = ()
    if cursor.text.startswith(b"(", cursor.position):
        flags = cursor.flag_list()
        cursor.space()
    date = None
    if cursor.text.startswith(b'"', cursor.position):
        date = cursor.date_time()
        cursor.space()
    return Append(mailbox, flags, date, without_nul(cursor.message()))


def _expunge_uids(cursor: Cursor) -> Command:
    cursor.space()
    return Expunge(cursor.sequence_set())


def _search_of(*, uid: bool) -> Callable[[Cursor], Command]:
    def parse(cursor: Cursor) -> Command:
        cursor.space()
        results = None
        if cursor.match(_RETURN) is not None:
            # Nothing named means ALL (RFC 4731 section 3.1).
            results = _options(cursor, SearchResult) or frozenset({SearchResult.ALL})
            cursor.space()
        return Search(parse_search(cursor), uid, results)

    return parse


def _options(cursor: Cursor, kind: type[_Option]) -> frozenset[_Option]:
    """A list of options."""
    return _members(kind, cursor.words())


def _members(kind: type[_Option], words: list[bytes]) -> frozenset[_Option]:
    """Options by their names; one that is not ours must be refused (RFC 5258 section 3)."""
    try:
        return frozenset(kind(word.decode("ascii")) for word in words)
    except ValueError as error:
        raise GrammarError("Unknown option") from error


def _fetch_of(*, uid: bool) -> Callable[[Cursor], Command]:
    def parse(cursor: Cursor) -> Command:
        cursor.space()
        numbers = cursor.sequence_set()
        cursor.space()
        items = parse_fetch_items(cursor)
        changed_since = _modifier(cursor, b"CHANGEDSINCE") if cursor.accept(b" ") else None
        if changed_since is not None:
            items = (*items, Attribute.MODSEQ)
        if uid:
            # UID first: some clients stop reading at the literal (RFC 3501 leaves the order free).
            items = (Attribute.UID, *items)
        return Fetch(numbers, tuple(dict.fromkeys(items)), uid, changed_since)

    return parse


def _modifier(cursor: Cursor, name: bytes) -> int:
    """The only modifier that FETCH or STORE has, with its mod-sequence (RFC 7162 section 7).

    0 is no valid CHANGEDSINCE, but iOS sends it and means everything.
    """
    cursor.expect(b"(")
    if cursor.keyword() != name:
        raise GrammarError("Unknown modifier")
    cursor.space()
    modseq = cursor.number()
    cursor.expect(b")")
    return modseq


def _store_of(*, uid: bool) -> Callable[[Cursor], Command]:
    def parse(cursor: Cursor) -> Command:
        cursor.space()
        numbers = cursor.sequence_set()
        cursor.space()
        unchanged_since = None
        if cursor.text.startswith(b"(", cursor.position):
            unchanged_since = _modifier(cursor, b"UNCHANGEDSINCE")
            cursor.space()
        match = cursor.match(_STORE)
        if match is None:
            raise GrammarError("Unknown store item")
        cursor.space()
        return Store(
            numbers,
            StoreOperation(match[1].upper().decode("ascii")),
            match[2] is not None,
            cursor.flags(),
            uid,
            unchanged_since,
        )

    return parse


def _transfer_of(command: type[Copy | Move], *, uid: bool) -> Callable[[Cursor], Command]:
    def parse(cursor: Cursor) -> Command:
        cursor.space()
        numbers = cursor.sequence_set()
        return command(numbers, _named(cursor), uid)

    return parse


_PARSERS: Final[dict[str, Callable[[Cursor], Command]]] = {
    "CAPABILITY": _bare(Capability()),
    "NOOP": _bare(Noop()),
    "LOGOUT": _bare(Logout()),
    "ID": _id,
    "ENABLE": _enable,
    "STARTTLS": _bare(StartTls()),
    "AUTHENTICATE": _authenticate,
    "LOGIN": _login,
    "SELECT": _select_of(read_only=False),
    "EXAMINE": _select_of(read_only=True),
    "CREATE": _create,
    "DELETE": _delete,
    "RENAME": _rename,
    "SUBSCRIBE": _subscribe,
    "UNSUBSCRIBE": _unsubscribe,
    "LIST": _list,
    "LSUB": _lsub,
    "NAMESPACE": _bare(Namespace()),
    "STATUS": _status,
    "APPEND": _append,
    "IDLE": _bare(Idle()),
    "CHECK": _bare(Check()),
    "CLOSE": _bare(Close()),
    "UNSELECT": _bare(Unselect()),
    "EXPUNGE": _bare(Expunge(None)),
    "SEARCH": _search_of(uid=False),
    "FETCH": _fetch_of(uid=False),
    "STORE": _store_of(uid=False),
    "COPY": _transfer_of(Copy, uid=False),
    "MOVE": _transfer_of(Move, uid=False),
}
_UID_PARSERS: Final[dict[str, Callable[[Cursor], Command]]] = {
    "FETCH": _fetch_of(uid=True),
    "STORE": _store_of(uid=True),
    "SEARCH": _search_of(uid=True),
    "COPY": _transfer_of(Copy, uid=True),
    "MOVE": _transfer_of(Move, uid=True),
    "EXPUNGE": _expunge_uids,
}
