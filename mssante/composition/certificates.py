"""What a worker shows to others and whom it believes: loaded again when the files change."""

from collections.abc import Callable
from functools import partial

from mssante.renewal import Renewable
from mssante.servers.metrics import Meters
from mssante.servers.tls import server_context
from mssante.settings import Settings
from mssante.storage import trust_files
from mssante.trust.peer_tls import PeerTls
from mssante.trust.peers import PeerJudge, PeerPolicy
from mssante.trust.tls import OnHandshake


class Certificates:
    """The certificates of one worker."""

    def __init__(self, settings: Settings, meters: Meters) -> None:
        """Args:
        settings: name the files.
        meters: where handshakes are counted.

        Raises:
            Unreadable, OSError: a file cannot be used.
        """
        self._settings = settings
        tls = settings.tls
        self.members = server_context(
            tls.certificate, tls.key, on_handshake=partial(meters.handshake, "members")
        )
        # A context of its own: it says by ALPN which protocol is spoken there.
        self.web = server_context(
            tls.certificate, tls.key, on_handshake=partial(meters.handshake, "web")
        )
        self._count_operators: OnHandshake = partial(meters.handshake, "operators")
        self.operators = trust_files.peer_tls(settings, self._count_operators)
        """Another object after each renewal."""
        self.peers = PeerJudge(
            trust_files.peer_trust(settings),
            PeerPolicy(
                client_usages=settings.trust.peer_usages,
                revocation_must_be_known=settings.trust.revocation == "hard",
            ),
        )

    def renewables(self, on_operators: Callable[[PeerTls], None]) -> list[Renewable]:
        """What is loaded again when its files change.

        Args:
            on_operators: told of our new certificate for other operators.
        """
        settings, tls = self._settings, self._settings.tls

        def members() -> Callable[[], None]:
            server_context(tls.certificate, tls.key)  # a pair that is broken changes nothing
            return self._renew_members

        def operators() -> Callable[[], None]:
            own = trust_files.peer_tls(settings, self._count_operators)
            return partial(self._renew_operators, own, on_operators)

        def peers() -> Callable[[], None]:
            return partial(self.peers.renew, trust_files.peer_trust(settings))

        return [
            Renewable("certificate for members", lambda: (tls.certificate, tls.key), members),
            Renewable(
                "certificate for operators",
                lambda: (tls.operator_certificate, tls.operator_key),
                operators,
            ),
            Renewable(
                "authorities and revocation lists",
                lambda: trust_files.peer_files(settings),
                peers,
            ),
        ]

    def _renew_members(self) -> None:
        for context in (self.members, self.web):
            context.load_cert_chain(self._settings.tls.certificate, self._settings.tls.key)

    def _renew_operators(self, own: PeerTls, on_operators: Callable[[PeerTls], None]) -> None:
        self.operators = own
        on_operators(own)
