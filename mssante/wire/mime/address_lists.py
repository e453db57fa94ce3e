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


class _ListReader:
    """Reads any address list token by token and keeps what it understands."""

    def __init__(self, entries: list[MailboxEntry]) -> None:
        self._entries = entries
        self._in_group = False
        self._start()

    def _start(self) -> None:
        self._phrase: list[bytes] = []
        """Words outside the angle brackets; each with the blank before it, if there was one."""
        self._angle: list[bytes] | None = None
        """Words inside the angle brackets, None before them."""
        self._in_angle = False
        self._comment: bytes | None = None
        self._blank = False

    def read(self, text: bytes, position: int) -> None:
        end = len(text)
        while position < end:
            found = _TOKEN.match(text, position)
            if found is None:
                # A stray bracket or backslash.
                position += 1
                continue
            position = found.end()
            kind = found.lastgroup
            if kind == "special":
                position = self._special(found[0], text, position)
            elif kind == "blank":
                self._blank = True
            else:
                self._word(_unquoted(found[0]) if kind == "quoted" else found[0])
        self._finish()
        if self._in_group:
            self._entries.append(_GROUP_END)

    def _word(self, word: bytes) -> None:
        target = self._angle if self._in_angle and self._angle is not None else self._phrase
        if self._blank and target:
            target.append(b" ")
        self._blank = False
        target.append(word)

    def _special(self, special: bytes, text: bytes, position: int) -> int:
        if special == b"(":
            return self._read_comment(text, position)
        if special == b"<":
            self._angle = []
            self._in_angle = True
            self._blank = False
        elif special == b">":
            self._in_angle = False
        elif special == b"@":
            # As an object of its own, so that a quoted "@" stays part of its word.
            (self._angle if self._in_angle and self._angle is not None else self._phrase).append(
                _AT
            )
            self._blank = False
        elif special == b":":
            self._colon()
        elif special == b";":
            self._finish()
            if self._in_group:
                self._entries.append(_GROUP_END)
            self._in_group = False
        elif self._in_angle:
            # Between the hosts of a source route: <@a,@b:local@domain>.
            self._blank = False
        else:
            self._finish()
        return position

    def _colon(self) -> None:
        if self._in_angle:
            # What stands before was a source route (RFC 5322 section 4.4), to be ignored.
            self._angle = []
            self._blank = False
        elif not self._in_group:
            self._entries.append(MailboxEntry(None, None, b"".join(self._phrase), None))
            self._in_group = True
            self._start()

    def _read_comment(self, text: bytes, position: int) -> int:
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
        # The last comment is the name in the form local@domain (Name).
        self._comment = b"".join(kept).strip()
        self._blank = True
        return position

    def _finish(self) -> None:
        if self._angle is not None:
            name = b"".join(self._phrase).strip()
            self._append(name, self._angle)
        elif self._phrase:
            self._append(self._comment or b"", self._phrase)
        self._start()

    def _append(self, name: bytes, words: list[bytes]) -> None:
        at = max((i for i, word in enumerate(words) if word is _AT), default=len(words))
        mailbox = b"".join(words[:at]).strip()
        # Blanks around the dots of a domain are obsolete syntax (RFC 5322 section 4.4).
        host = b"".join(words[at + 1 :]).replace(b" ", b"")
        self._entries.append(MailboxEntry(name or None, None, mailbox, host))


_AT: Final = bytes(bytearray(b"@x"))[:1]
"""The separator of local part and domain; compared by identity."""


def _unquoted(quoted: bytes) -> bytes:
    inner = quoted[1:-1] if len(quoted) > 1 and quoted.endswith(b'"') else quoted[1:]
    return _ESCAPE.sub(rb"\1", inner) if b"\\" in inner else inner
