"""One resource with its methods: HEAD, OPTIONS and 405 are the same everywhere."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

Page = Callable[[Request], Awaitable[Response]]


class Resource:
    """What stands at one or several addresses; an ASGI application of its own."""

    def __init__(self, name: str, *, get: Page | None = None, post: Page | None = None) -> None:
        """`name` is what the log calls it."""
        self.resource = name
        # The server leaves a body out where HEAD was asked (RFC 9110 section 9.3.2).
        pages = {"GET": get, "HEAD": get, "POST": post}
        self._pages = {method: page for method, page in pages.items() if page is not None}
        self._allow = ", ".join([*self._pages, "OPTIONS"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        response = await self._response(Request(scope, receive))
        await response(scope, receive, send)

    def at(self, *paths: str) -> list[Route]:
        """Its routes."""
        return [Route(path, self) for path in paths]

    async def _response(self, request: Request) -> Response:
        page = self._pages.get(request.method)
        if page is not None:
            return await page(request)
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"allow": self._allow})
        return PlainTextResponse("Method not allowed\n", 405, {"allow": self._allow})
