"""Address lists of header fields, read as they come (RFC 5322 section 3.4), for ENVELOPE.

Reading never fails; the strict check of an address that we accept or create is in `addresses`.
"""

import re
from typing import Final, NamedTuple

from mssante.wire.mime.headers import unfold


class MailboxEntry(NamedTuple):
    """One element of an address list, as ENVELOPE shows it (RFC 9051 section 7.5.2).

    A group begins with (None, None, group name, None) and ends with (None, None, None, None).
    """

    name: bytes | None
    """Display name, encoded words kept as they are; None where there is none."""
    adl: None
    """Source route (RFC 822), obsolete: always None."""
    mailbox: bytes | None
    """Local part without its quotes; the group's name where the group begins."""
    host: bytes | None
    """Domain; empty where the address has none, None only around groups."""

    def __repr__(self) -> str:
        # A patient's address is the social security number, and a name is a name.
        return "MailboxEntry(***)"


_GROUP_END: Final = MailboxEntry(None, None, None, None)

# The usual forms: [words or one quoted string] <local@domain>, and local@domain alone.
_WORDS: Final = rb"[^\x00-\x1f()<>\[\]:;@\\,\"]"
_LOCAL: Final = rb"[^\x00-\x20()<>\[\]:;@\\,\"]++"
_USUAL: Final = re.compile(
    rb'[ \t]*+(?:(?:"([^"\\]*+)"|(' + _WORDS + rb"*+))[ \t]*+"
    rb"<("
    + _LOCAL
    + rb")@("
    + _LOCAL
    + rb")>|("
    + _LOCAL
    + rb")@("
    + _LOCAL
    + rb"))[ \t]*+(?:,|\Z)"
)
_TOKEN: Final = re.compile(
    rb'(?P<quoted>"(?:[^"\\]++|\\.)*+"?+)'
    rb"|(?P<literal>\[[^\[\]\\]*+\]?+)"
    rb"|(?P<special>[()<>@,:;])"
    rb"|(?P<atom>[^\s()<>@,:;\"\[]++)"
    rb"|(?P<blank>\s++)",
    re.DOTALL,
)
_COMMENT: Final = re.compile(rb"\\.|[()]|[^\\()]++|\\", re.DOTALL)
_ESCAPE: Final = re.compile(rb"\\(.)", re.DOTALL)


def read_addresses(value: bytes) -> list[MailboxEntry]:
    """The addresses of a From, Sender, Reply-To, To, Cc or Bcc field value, in order.

    Reads RFC 5322 section 3.4 with its obsolete forms (routes, comments as names, empty elements).
    Anything else is read as well as it can be; linear in the length of the value.
    """
    text = unfold(value)
    entries: list[MailboxEntry] = []
    position = 0
    while position < len(text):
        usual = _USUAL.match(text, position)
        if usual is None:
            # One unusual element: a group or a comment may run over commas, so read all the rest.
            _ListReader(entries).read(text, position)
            break
        quoted, words, local, domain, bare_local, bare_domain = usual.groups()
        if local is None:
            entries.append(MailboxEntry(None, None, bare_local, bare_domain))
        else:
            name = quoted if quoted is not None else _one_blank(words)
            entries.append(MailboxEntry(name or None, None, local, domain))
        position = usual.end()
    return entries


def _one_blank(words: bytes) -> bytes:
    return b" ".join(words.split())


class _Words:
    """Words of an address or of a display name, and where its last @ stands."""

    __slots__ = ("_at", "_words")

    def __init__(self) -> None:
        self._words: list[bytes] = []
        self._at: int | None = None

    def __bool__(self) -> bool:
        return bool(self._words)

    @property
    def is_route(self) -> bool:
        """Whether a source route may be going on: <@a,@b:local@domain>."""
        return bool(self._words) and self._words[0] == b"@" and self._at is not None

    def add(self, word: bytes, *, after_blank: bool, is_at: bool = False) -> None:
        if after_blank and self._words:
            self._words.append(b" ")
        if is_at:
            self._at = len(self._words)
        self._words.append(word)

    def text(self) -> bytes:
        return b"".join(self._words).strip()

    def address(self) -> tuple[bytes, bytes]:
        """Local part and domain, each empty where it lacks."""
        at = len(self._words) if self._at is None else self._at
        # Blanks around the dots of a domain are obsolete syntax (RFC 5322 section 4.4).
        host = b"".join(self._words[at + 1 :]).replace(b" ", b"")
        return b"".join(self._words[:at]).strip(), host


class _ListReader:
    """Reads any address list token by token and keeps what it understands."""

    def __init__(self, entries: list[MailboxEntry]) -> None:
        self._entries = entries
        self._in_group = False
        self._start()

    def _start(self) -> None:
        self._phrase = _Words()
        self._angle: _Words | None = None
        """What stands between the angle brackets; None before them."""
        self._current = self._phrase
        self._comment = b""
        self._blank = False

    def read(self, text: bytes, position: int) -> None:
        end = len(text)
        while position < end:
            found = _TOKEN.match(text, position)
            assert found is not None, "one alternative takes any octet"
            position = found.end()
            kind = found.lastgroup
            if kind == "blank":
                self._blank = True
            elif found[0] == b"(":
                position = self._read_comment(text, position)
            elif kind == "special":
                self._special(found[0])
            else:
                self._add(_unquoted(found[0]) if kind == "quoted" else found[0])
        self._finish()
        self._end_group()

    def _add(self, word: bytes, *, is_at: bool = False) -> None:
        self._current.add(word, after_blank=self._blank, is_at=is_at)
        self._blank = False

    def _special(self, special: bytes) -> None:
        if special == b"@":
            self._add(special, is_at=True)
        elif special == b"<":
            self._open_angle()
        elif special == b">":
            self._current = self._phrase
        elif special == b":":
            self._colon()
        elif special == b",":
            # A comma may stand inside the brackets of a source route only.
            if self._current is self._phrase or not self._current.is_route:
                self._finish()
        elif special == b";":
            self._finish()
            self._end_group()

    def _open_angle(self) -> None:
        if self._angle is not None:
            # Two addresses without a comma between them: none may hide the other.
            self._finish()
        self._angle = self._current = _Words()
        self._blank = False

    def _colon(self) -> None:
        if self._current is not self._phrase:
            # What stands before was a source route, to be ignored (RFC 5322 section 4.4).
            self._angle = self._current = _Words()
            self._blank = False
        elif self._angle is not None or self._in_group:
            self._finish()
        else:
            self._entries.append(MailboxEntry(None, None, self._phrase.text(), None))
            self._in_group = True
            self._start()

    def _end_group(self) -> None:
        if self._in_group:
            self._entries.append(_GROUP_END)
        self._in_group = False

    def _read_comment(self, text: bytes, position: int) -> int:
        """Keep a comment's text: the last one is the name in the form local@domain (Name)."""
        depth = 1
        kept: list[bytes] = []
        end = len(text)
        while position < end and depth:
            found = _COMMENT.match(text, position)
            assert found is not None, "one alternative takes any octet"
            position = found.end()
            if found[0] == b"(":
                depth += 1
            elif found[0] == b")":
                depth -= 1
            else:
                kept.append(_ESCAPE.sub(rb"\1", found[0]))
        self._comment = b"".join(kept).strip()
        self._blank = True
        return position

    def _finish(self) -> None:
        if self._angle is not None:
            mailbox, host = self._angle.address()
            name = self._phrase.text() or self._comment
        else:
            mailbox, host = self._phrase.address()
            name = self._comment
        if self._angle is not None or self._phrase:
            self._entries.append(MailboxEntry(name or None, None, mailbox, host))
        self._start()


def _unquoted(quoted: bytes) -> bytes:
    inner = quoted[1:-1] if len(quoted) > 1 and quoted.endswith(b'"') else quoted[1:]
    return _ESCAPE.sub(rb"\1", inner) if b"\\" in inner else inner
