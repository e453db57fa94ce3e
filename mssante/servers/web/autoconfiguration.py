"""How mail clients set themselves up, for each domain of ours; nothing here knows any mailbox.

The domain is that of the address asked about, else that of the host name asked at. Answers are
the same whether or not the address exists.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from mssante.directory.ports import Listing
from mssante.kernel.clock import Clock
from mssante.servers.web.pages import Resource
from mssante.wire.autoconfig import apple, autodiscover, thunderbird
from mssante.wire.autoconfig.model import MailService, domain_of

_LABELS: Final = ("autoconfig.", "autodiscover.")
"""Names that a domain gives to the host of its files."""
_MAX_ADDRESS: Final = 320
_ANY_CASE: Final = "/autodiscover/"
V1: Final = "AutodiscoverV1"


class Autoconfiguration:
    """The pages of the mail clients."""

    def __init__(
        self,
        service: MailService,
        directory: Listing,
        clock: Clock,
        *,
        web_host: str,
        web_port: int,
        main_domain: str,
        patients_allowed: bool,
        sign: Callable[[bytes], bytes],
    ) -> None:
        """Args:
        service: the ways in.
        directory: the domains that are served.
        clock: the one clock.
        web_host: our own public name, which stands for the main domain.
        web_port: the public port of this listener.
        main_domain: the operator's first domain.
        patients_allowed: whether patients use mail clients at all.
        sign: signs a profile by the server.
        """
        self._service = service
        self._directory = directory
        self._clock = clock
        self._web_host = web_host
        self._web_port = web_port
        self._main_domain = main_domain
        self._patients_allowed = patients_allowed
        self._sign = sign

    def routes(self) -> Sequence[BaseRoute]:
        """Where the clients look; paths of Autodiscover in lower case."""
        return [
            *Resource("autoconfig", get=self.client_config).at(
                "/mail/config-v1.1.xml", "/.well-known/autoconfig/mail/config-v1.1.xml"
            ),
            *Resource("autodiscover", post=self.autodiscover).at("/autodiscover/autodiscover.xml"),
            *Resource("autodiscover-json", get=self.autodiscover_json).at(
                "/autodiscover/autodiscover.json", "/autodiscover/autodiscover.json/v1.0/{email}"
            ),
            *Resource("mobileconfig", get=self.mobileconfig).at("/mail/apple.mobileconfig"),
        ]

    async def client_config(self, request: Request) -> Response:
        """Thunderbird's file."""
        domain = await self._domain(request, self._address(request))
        return Response(
            thunderbird.client_config(self._service, domain), media_type=thunderbird.MEDIA_TYPE
        )

    async def autodiscover(self, request: Request) -> Response:
        """Outlook's request and answer."""
        try:
            address = autodiscover.requested_address(await request.body())
        except autodiscover.RequestRefused as refused:
            return self._outlook_error(400, refused.code, refused.text)
        if not await self._serves(domain_of(address)):
            return self._outlook_error(404, autodiscover.NO_SUCH_ADDRESS, "Unknown domain")
        answer = autodiscover.settings_answer(self._service, address)
        return Response(answer, media_type=autodiscover.MEDIA_TYPE)

    async def autodiscover_json(self, request: Request) -> Response:
        """The second version tells where the first one is: it knows nothing of IMAP."""
        asked = request.query_params.get("Protocol") or request.query_params.get("protocol") or ""
        if asked.lower() != V1.lower():
            return JSONResponse(
                {"ErrorCode": "InvalidProtocol", "ErrorMessage": f"Only {V1} is answered"}, 400
            )
        port = "" if self._web_port == 443 else f":{self._web_port}"
        url = f"https://{self._web_host}{port}/autodiscover/autodiscover.xml"
        return JSONResponse({"Protocol": V1, "Url": url})

    async def mobileconfig(self, request: Request) -> Response:
        """Apple's profile."""
        address = self._address(request)
        domain = await self._domain(request, address)
        try:
            profile = apple.mail_profile(self._service, domain, address)
        except ValueError:
            raise HTTPException(404) from None
        return Response(
            self._sign(profile),
            media_type=apple.MEDIA_TYPE,
            headers={"content-disposition": 'attachment; filename="mail.mobileconfig"'},
        )

    def _outlook_error(self, status: int, code: int, text: str) -> Response:
        content = autodiscover.error_answer(code, text, self._clock.now())
        return Response(content, status, media_type=autodiscover.MEDIA_TYPE)

    @staticmethod
    def _address(request: Request) -> str:
        """The address asked about; empty where none is, or what is there cannot be one."""
        given = request.query_params.get("emailaddress", "").strip()
        if given in ("", "%EMAILADDRESS%"):
            return ""
        if len(given) > _MAX_ADDRESS or not (given.isascii() and given.isprintable()):
            raise HTTPException(404)
        return given

    async def _domain(self, request: Request, address: str) -> str:
        """The domain of ours that a request is about.

        Raises:
            HTTPException: 404, it is none.
        """
        if address:
            domain = domain_of(address)
        else:
            host = _host_of(request)
            named = [host.removeprefix(label) for label in _LABELS if host.startswith(label)]
            domain = named[0] if named else host
            if host == self._web_host and not await self._serves(domain):
                domain = self._main_domain
        if not await self._serves(domain):
            raise HTTPException(404)
        return domain

    async def _serves(self, domain: str) -> bool:
        """Whether members with addresses in a domain use mail clients here."""
        return any(
            each.name == domain and (self._patients_allowed or not each.patients)
            for each in await self._directory.list_domains()
        )


def _host_of(request: Request) -> str:
    """The host name asked at, without port, in lower case; empty where it cannot be read."""
    with suppress(ValueError):
        return (request.url.hostname or "").lower().rstrip(".")
    return ""


def in_one_case(path: str) -> str:
    """Outlook writes the paths of Autodiscover as it likes; ours are in lower case."""
    lower = path.lower()
    return lower if lower.startswith(_ANY_CASE) else path
