"""The pages of the web listener, put together; the portal and the programs' interfaces will stand beside."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from mssante.servers.web.autoconfiguration import in_one_case


def application(routes: Sequence[BaseRoute], *, request_bytes: int) -> ASGIApp:
    """All routes as one ASGI application.

    Args:
        routes: of every part.
        request_bytes: largest body of a request.
    """
    app = Starlette(routes=routes, max_body_size=request_bytes)
    # A redirect would go to whatever name the Host field says.
    app.router.redirect_slashes = False

    async def cased(scope: Scope, receive: Receive, send: Send) -> None:
        scope["path"] = in_one_case(scope["path"])
        await app(scope, receive, send)

    return cased
