"""What every request passes before a page sees it, and every answer after: one ASGI layer.

Ambiguous framing is refused, the time is bounded, faults say nothing of themselves, the headers of
security are set, and one line is logged: method, resource, status, time. Never the path or the
query as they came: an address in them may be a patient's number.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOG: Final = logging.getLogger(__name__)
_REFUSED: Final = 400
_TOO_LARGE: Final = 413
QUIET: Final = frozenset({"healthz", "readyz", "metrics"})
"""Asked every few seconds: no line of the log at its usual level unless something is refused."""
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "strict-transport-security": "max-age=63072000",  # of this name only: others are not ours
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
}
"""Unless a page sets its own. RFC 6797; W3C Content Security Policy level 3."""
RAW_HEADERS: Final = tuple((k.encode(), v.encode()) for k, v in SECURITY_HEADERS.items())


class Guard:
    """The outermost layer."""

    def __init__(self, app: ASGIApp, *, seconds: float, on_answer: Callable[[int], None]) -> None:
        """Args:
        app: the pages.
        seconds: for one answer.
        on_answer: told of each status.
        """
        self._app = app
        self._seconds = seconds
        self._on_answer = on_answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise RuntimeError("only HTTP is served")
        answer = _Answer(send)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(self._seconds):
                if _is_ambiguous(scope):
                    await _refusal(400, "Ambiguous length")(scope, receive, answer)
                else:
                    await self._app(scope, receive, answer)
        except ClientDisconnect:
            pass  # in the middle of its request: nobody is there to be answered
        except TimeoutError:
            _LOG.warning("a request took too long", extra={"resource": resource_of(scope)})
            await _instead(answer, 503, "Too slow", scope, receive)
        except Exception:  # noqa: BLE001 - the client learns that it failed, the log where
            _LOG.exception("a request failed", extra={"resource": resource_of(scope)})
            await _instead(answer, 500, "Internal error", scope, receive)
        self._on_answer(answer.status)
        resource = resource_of(scope)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        _LOG.log(
            logging.DEBUG if resource in QUIET and answer.status < _REFUSED else logging.INFO,
            "request",
            extra={
                "method": method,
                "resource": resource,
                "status": answer.status,
                "ms": round((loop.time() - began) * 1000, 1),
            },
        )


class _Answer:
    """Sends, with the headers of security, and remembers the status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        """0 until an answer has begun."""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = {name.lower() for name, _ in message["headers"]}
            more = [header for header in RAW_HEADERS if header[0] not in given]
            if self.status == _TOO_LARGE and b"connection" not in given:
                more.append((b"connection", b"close"))  # the rest of the body is not waited for
            message = {**message, "headers": [*message["headers"], *more]}
        await self._send(message)


async def _instead(answer: _Answer, status: int, text: str, scope: Scope, receive: Receive) -> None:
    """An answer where none has begun; one that has is cut off by the server, as incomplete."""
    if not answer.status:
        await _refusal(status, text)(scope, receive, answer)


def _refusal(status: int, text: str) -> PlainTextResponse:
    return PlainTextResponse(f"{text}\n", status, {"connection": "close"})


def _is_ambiguous(scope: Scope) -> bool:
    """Both ways of saying how long a body is: who put the second one in wants two readers to
    disagree (RFC 9112 section 6.1).
    """
    names = [name for name, _ in scope["headers"]]
    return b"transfer-encoding" in names and b"content-length" in names


def resource_of(scope: Scope) -> str:
    """The name of what was asked for, from our own routes; ``-`` where there is no such thing."""
    endpoint: Any = scope.get("endpoint")
    return str(getattr(endpoint, "resource", "-"))
