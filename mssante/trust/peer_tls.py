"""TLS in which we judge the peer's certificate ourselves: octets in, octets out, no I/O.

Python's ``ssl`` judges a client's certificate inside the handshake and by its own measure: it
refuses a certificate that is made for servers only, and of the cause it tells the peer an alert and
us a line. Here OpenSSL proves that the peer holds the key of the certificate that it shows (TLS 1.3:
CertificateVerify, RFC 8446 section 4.4.3) and takes every chain; whom to believe is then the
question of `mssante.trust.peers`. See docs/decisions/0002-tls-of-other-operators.md.
"""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from OpenSSL import SSL, crypto

from mssante.trust.anchors import Unreadable, read_certificates
from mssante.trust.tls import CIPHERS, OnHandshake

_MAX_DEPTH: Final = 8
"""Authorities that OpenSSL looks at for its own opinion, which we do not ask for."""
_RECORD: Final = 16_384
"""Octets of one record (RFC 8446 section 5.1)."""
_GATHERED: Final = 262_144


class TlsFailed(Exception):
    """The peer broke TLS, or does not share a version or cipher with us.

    Attributes:
        reason: in OpenSSL's fixed words; nothing that the peer wrote.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PeerTls:
    """Our certificate and key, for TLS with other operators on either end."""

    def __init__(
        self, certificate: bytes, key: bytes, on_handshake: OnHandshake | None = None
    ) -> None:
        """Args:
            certificate: PEM, ours first, then its intermediates.
            key: PEM, unencrypted.
            on_handshake: told of each handshake, on either end, how it ended.

        Raises:
            Unreadable: one of the two cannot be read, or they do not belong together.
        """
        chain = read_certificates(certificate)
        private = _private_key(key)
        check_pair(chain[0], private)
        self._on_handshake = on_handshake
        try:
            self._server = _context(SSL.TLS_SERVER_METHOD, chain, private)
            self._client = _context(SSL.TLS_CLIENT_METHOD, chain, private)
        except (SSL.Error, crypto.Error):
            raise Unreadable("the certificate cannot be used for TLS") from None

    def accept(self) -> "TlsEngine":
        """The server's end of a new connection."""
        connection = SSL.Connection(self._server, None)
        connection.set_accept_state()
        return TlsEngine(connection, self._on_handshake)

    def connect(self, host: str) -> "TlsEngine":
        """The client's end of a new connection; `host` is the name that is asked for (SNI), unless it
        is an address.
        """
        connection = SSL.Connection(self._client, None)
        connection.set_connect_state()
        try:
            ip_address(host)
        except ValueError:  # RFC 6066 section 3: names only
            connection.set_tlsext_host_name(host.encode("ascii"))
        return TlsEngine(connection, self._on_handshake)


def check_pair(
    certificate: x509.Certificate, key: RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey
) -> None:
    """Check that a private key is that of a certificate.

    Raises:
        Unreadable: it is not.
    """
    try:
        is_its_key = certificate.public_key() == key.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise Unreadable("the certificate's public key cannot be read") from None
    if not is_its_key:
        raise Unreadable("the private key is not that of the certificate")


def check_pair_in(certificate: bytes, key: bytes) -> x509.Certificate:
    """Check a pair of PEM files; gives the certificate.

    Raises:
        Unreadable: one of the two cannot be read, or they do not belong together.
    """
    own = read_certificates(certificate)[0]
    check_pair(own, _private_key(key))
    return own


def _private_key(pem: bytes) -> RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey:
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Unreadable("no unencrypted private key in PEM can be read there") from None
    if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey):
        raise Unreadable("the private key is of a kind that TLS does not use")
    return key


def _context(
    method: int,
    chain: tuple[x509.Certificate, ...],
    key: RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey,
) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(CIPHERS.encode())
    context.set_options(
        SSL.OP_NO_COMPRESSION
        | SSL.OP_NO_RENEGOTIATION
        | SSL.OP_CIPHER_SERVER_PREFERENCE
        # A resumed session would bring the certificate of an earlier day.
        | SSL.OP_NO_TICKET
    )
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.use_certificate(chain[0])
    for above in chain[1:]:
        context.add_extra_chain_cert(above)
    context.use_privatekey(key)
    # The store is empty and every opinion of OpenSSL's is overruled: see the module's text.
    context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    context.set_verify_depth(_MAX_DEPTH)
    return context


class TlsEngine:
    """One connection's TLS. What comes from the network goes into `receive`; what `outgoing` gives
    goes to the network, after each call.
    """

    def __init__(self, connection: SSL.Connection, on_handshake: OnHandshake | None = None) -> None:
        self._tls = connection
        self._on_handshake = on_handshake or (lambda _version: None)
        self.established = False
        """The handshake is done; nothing can be read or written before."""
        self.ended = False
        """The peer has closed its side in order."""

    def receive(self, octets: bytes) -> None:
        """Take what came from the network."""
        self._tls.bio_write(octets)

    def handshake(self) -> bool:
        """Go on with the handshake; whether it is done now.

        Raises:
            TlsFailed: it cannot be.
        """
        try:
            self._tls.do_handshake()
        except SSL.WantReadError:
            return False
        except SSL.Error as error:
            self._on_handshake(None)
            raise TlsFailed(_reason(error)) from None
        self.established = True
        self._on_handshake(self._tls.get_protocol_version_name())
        return True

    def plaintext(self) -> Iterator[bytes]:
        """What can be decrypted now.

        Raises:
            TlsFailed: the peer broke the protocol.
        """
        while not self.ended:
            try:
                octets = self._tls.recv(_RECORD)
            except SSL.WantReadError:
                return
            except SSL.ZeroReturnError:
                self.ended = True
                return
            except SSL.Error as error:
                raise TlsFailed(_reason(error)) from None
            yield octets

    def encrypt(self, octets: bytes | bytearray | memoryview) -> None:
        """Encrypt what is to be sent.

        Raises:
            TlsFailed: the connection cannot send any more.
        """
        view = memoryview(octets)
        try:
            while view:
                view = view[self._tls.send(bytes(view[:_GATHERED])) :]
        except SSL.Error as error:
            raise TlsFailed(_reason(error)) from None

    def outgoing(self) -> bytes:
        """What is to be sent to the network now."""
        gathered = []
        try:
            while True:
                gathered.append(self._tls.bio_read(_GATHERED))
        except SSL.WantReadError:
            return b"".join(gathered)

    def close(self) -> None:
        """Say that nothing more will be sent (close_notify)."""
        try:
            self._tls.shutdown()
        except SSL.Error:  # the peer has gone, or broke the protocol: nobody to say it to
            self.ended = True

    def peer_chain(self) -> tuple[bytes, ...]:
        """The certificates that the peer showed, in DER, its own first; empty without any.

        The key of the first is proven; nothing else is.
        """
        own = self._tls.get_peer_certificate(as_cryptography=True)
        if own is None:
            return ()
        others = self._tls.get_peer_cert_chain(as_cryptography=True) or []
        return tuple(
            each.public_bytes(Encoding.DER)
            for each in dict.fromkeys((own, *others))  # a client sees its server's own twice
        )

    def cipher(self) -> tuple[str, str, int] | None:
        """Cipher suite, protocol version and bits, as ``ssl.SSLObject.cipher`` gives them."""
        name = self._tls.get_cipher_name()
        if name is None:
            return None
        return name, self._tls.get_protocol_version_name(), self._tls.get_cipher_bits() or 0


def _reason(error: SSL.Error) -> str:
    """The first sentence of OpenSSL's queue."""
    queue = error.args[0] if error.args else None
    if isinstance(queue, list) and queue:
        return str(queue[0][-1]) or "protocol error"
    # SysCallError and its like: the octets ended in the middle.
    return "connection ended"
