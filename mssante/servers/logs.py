"""Structured logs: one JSON object a line on standard error, with fields and without content.

A line says what happened in a fixed sentence (``event``) and with which values (fields given by
``extra=``). Exceptions appear as their type and the places they passed, without their text, since
the text of somebody else's exception may quote what it choked on. As a last net, whatever has the
shape of a social security number is blanked.
"""

import json
import logging
import re
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_MAX_VALUE: Final = 500
_INS_LIKE: Final = re.compile(
    r"(?<![0-9A-Za-z])[1-478][ .]?[0-9]{2}[ .]?[0-9]{2}[ .]?[0-9][0-9AB][ .]?[0-9]{3}[ .]?[0-9]{3}"
    r"(?:[ .]?[0-9]{2})?(?![0-9A-Za-z])",
    re.IGNORECASE,
)
"""Thirteen characters of a NIR or NIA, the key optional, possibly in groups as people write it."""
_QUIET: Final = ("mail.log", "mail.debug", "aiosmtpd", "asyncio", "sqlalchemy", "alembic")
"""Foreign loggers whose lower levels say too much (aiosmtpd's show each line of a message)."""


def configure(
    level: str, *, stream: TextIO | None = None, context: Mapping[str, str | int] | None = None
) -> None:
    """Send all logs of this process to `stream` (standard error by default).

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        stream: where the lines go.
        context: fields that every line of this process carries (worker, role).
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(context or {}))
    root = logging.getLogger()
    for former in list(root.handlers):
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    # A fault of our own in a log call must not print the record, which may hold what we hide.
    logging.raiseExceptions = False
    logging.captureWarnings(capture=True)


class JsonLines(logging.Formatter):
    """Writes a record as one JSON object."""

    def __init__(self, context: Mapping[str, str | int]) -> None:
        super().__init__()
        self._context = dict(context)

    def format(self, record: logging.LogRecord) -> str:
        """One line, without line breaks inside."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": without_ins(record.getMessage())[:_MAX_VALUE],
            **self._context,
        }
        for name, value in vars(record).items():
            if name not in _STANDARD:
                line[name] = _plain(value)
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = _places(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False, separators=(",", ":"))


def without_ins(text: str) -> str:
    """`text` with whatever looks like a social security number blanked."""
    return _INS_LIKE.sub("[INS]", text)


def _plain(value: Any) -> object:
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if len(str(value)) < 13 else without_ins(str(value))
    if isinstance(value, bytes):
        return without_ins(value.hex() if len(value) == 16 else f"{len(value)} bytes")
    return without_ins(str(value))[:_MAX_VALUE]


def _places(error: BaseException | None) -> list[dict[str, object]]:
    """The chain of exceptions, the one that was raised last first: type and places, no text."""
    chain: list[dict[str, object]] = []
    while error is not None and len(chain) < 10:
        frames = traceback.extract_tb(error.__traceback__)
        chain.append(
            {
                "type": f"{type(error).__module__}.{type(error).__qualname__}",
                "places": [
                    f"{frame.name} {frame.filename}:{frame.lineno}" for frame in frames[-20:]
                ],
            }
        )
        if isinstance(error, OSError) and error.errno is not None:
            chain[-1]["errno"] = error.errno
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return chain
