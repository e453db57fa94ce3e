"""What a worker shows to others and whom it believes: loaded again when the files change."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from mssante.composition.smime import mail_trust
from mssante.renewal import Renewable
from mssante.servers.metrics import Meters
from mssante.servers.tls import server_context
from mssante.settings import Settings
from mssante.storage import trust_files
from mssante.trust.anchors import Trust, Unreadable
from mssante.trust.mailbox_keys import MailboxKeys
from mssante.trust.peer_tls import PeerTls
from mssante.trust.peers import PeerJudge, PeerPolicy
from mssante.trust.tls import OnHandshake

_LOG: Final = logging.getLogger(__name__)


class Certificates:
    """The certificates of one worker."""

    def __init__(self, settings: Settings, keys: MailboxKeys, meters: Meters) -> None:
        """Args:
        settings: name the files.
        keys: of the mailboxes, with the authority that certifies them.
        meters: where handshakes are counted.

        Raises:
            Unreadable, OSError: a file cannot be used, of those for TLS.
        """
        self._settings = settings
        self._keys = keys
        tls = settings.tls
        self.members = server_context(
            tls.certificate, tls.key, on_handshake=partial(meters.handshake, "members")
        )
        # A context of its own: it says by ALPN which protocol is spoken there.
        self.web = server_context(
            tls.certificate,
            tls.key,
            returning=True,
            on_handshake=partial(meters.handshake, "web"),
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
        self.mail = self._first_mail_trust()
        """Another object after each renewal."""

    def _first_mail_trust(self) -> Trust:
        try:
            return mail_trust(self._settings, self._keys)
        except (Unreadable, OSError) as error:
            # Mail is carried all the same; what is signed is found unknown until they are right.
            _LOG.error(
                "the authorities for mail cannot be read, nobody's signature is believed",
                extra={"why": str(error)},
            )
            return Trust(())

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

        def mail() -> Callable[[], None]:
            return partial(self._renew_mail, mail_trust(settings, self._keys))

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
            Renewable(
                "authorities and revocation lists for mail",
                lambda: trust_files.mail_files(settings),
                mail,
            ),
        ]

    def _renew_members(self) -> None:
        for context in (self.members, self.web):
            context.load_cert_chain(self._settings.tls.certificate, self._settings.tls.key)

    def _renew_mail(self, trust: Trust) -> None:
        self.mail = trust

    def _renew_operators(self, own: PeerTls, on_operators: Callable[[PeerTls], None]) -> None:
        self.operators = own
        on_operators(own)
