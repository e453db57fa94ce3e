"""What another server answers (RFC 5321 section 4.2), read from its bytes, with limits."""

import re
from collections import deque
from dataclasses import dataclass
from typing import Final

MAX_LINE: Final = 2048
"""Octets with the end of line; RFC 5321 section 4.5.3.1.5 asks for 512, and servers write more."""
MAX_LINES: Final = 256
MAX_TEXT: Final = 400
"""Characters that are kept of an answer for people."""

_LINE: Final = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?\Z", re.DOTALL)
_ENHANCED: Final = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:\s+|\Z)")
_HIDDEN: Final = re.compile(r"[^ -~]+")


class AnswerError(ValueError):
    """The other server does not speak SMTP, or without end."""


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """One whole answer. Its text is somebody else's: it may hold an address."""

    code: int
    lines: tuple[str, ...]
    """The text of each line, printable ASCII."""

    @property
    def is_positive(self) -> bool:
        """Done as asked."""
        return 200 <= self.code < 300

    @property
    def is_permanent(self) -> bool:
        """Refused, and no other time would help."""
        return self.code >= 500

    @property
    def enhanced(self) -> str:
        """The enhanced status code (RFC 3463); the general one of the reply code where it has none,
        or one of another class than the code.
        """
        found = _ENHANCED.match(self.lines[0])
        kind = str(self.code)[0]
        if found is not None and found[1][0] == kind:
            return found[1]
        return f"{kind}.0.0"

    @property
    def text(self) -> str:
        """Code and text on one line, cut where it is long."""
        return f"{self.code} {' '.join(self.lines)}".strip()[:MAX_TEXT]


class AnswerReader:
    """Takes the bytes of the other server, gives whole answers in their order."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._lines: list[str] = []
        self._code = 0
        self._whole: deque[Answer] = deque()

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be taken, not even the beginning of an answer."""
        return not (self._pending or self._lines or self._whole)

    def receive(self, octets: bytes) -> None:
        """Take more bytes.

        Raises:
            AnswerError: not an answer, or too long.
        """
        self._pending += octets
        while (end := self._pending.find(b"\n")) >= 0:
            line = bytes(self._pending[:end]).removesuffix(b"\r")
            del self._pending[: end + 1]
            self._take(line)
        if len(self._pending) > MAX_LINE:
            raise AnswerError("a line of an answer is too long")

    def next(self) -> Answer | None:
        """The next whole answer, if it has come."""
        return self._whole.popleft() if self._whole else None

    def _take(self, line: bytes) -> None:
        found = _LINE.match(line)
        if found is None or len(line) > MAX_LINE:
            raise AnswerError("a line is no answer")
        code = int(found[1])
        if self._lines and code != self._code:
            raise AnswerError("the lines of an answer have different codes")
        if len(self._lines) >= MAX_LINES:
            raise AnswerError("an answer has too many lines")
        self._code = code
        self._lines.append(_HIDDEN.sub("?", (found[3] or b"").decode("latin-1")).strip())
        if found[2] != b"-":
            self._whole.append(Answer(code, tuple(self._lines)))
            self._lines = []


def extensions_of(answer: Answer) -> dict[str, str]:
    """The extensions in an answer to EHLO: keyword in capitals → parameters (section 4.1.1.1)."""
    found: dict[str, str] = {}
    for line in answer.lines[1:]:
        keyword, _, parameters = line.partition(" ")
        found[keyword.upper()] = parameters.strip()
    return found
