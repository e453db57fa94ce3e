"""From stranger to member: STARTTLS, AUTHENTICATE, LOGIN (RFC 3501 section 6.2)."""

from base64 import b64encode

from mssante.kernel.reasons import Reason, Refusal
from mssante.servers.imap.commands.capability import capabilities
from mssante.servers.imap.replies import Rejected, Reply
from mssante.servers.imap.session import Session
from mssante.wire.imap.commands import Authenticate, Login, StartTls
from mssante.wire.imap.responses import continuation
from mssante.wire.sasl.credentials import PasswordCredentials, SaslError, credentials_from
from mssante.wire.sasl.exchange import decode_line, mechanism_named


async def start_tls(session: Session, _command: StartTls) -> None:
    """STARTTLS is possible; the session says OK and does the handshake."""
    if not session.wire.may_start_tls:
        raise Rejected("BAD", "TLS is active already")
    if session.wire.buffered:
        # What came in the clear behind STARTTLS may be someone else's: never run it inside TLS.
        session.write("* BYE Nothing may follow STARTTLS before the handshake\r\n")
        raise ConnectionAbortedError


async def authenticate(session: Session, command: Authenticate) -> Reply:
    """AUTHENTICATE, with or without initial response (RFC 4959)."""
    _demand_tls(session)
    mechanism = mechanism_named(command.mechanism)
    if mechanism is None:
        raise Rejected("NO", "Unknown mechanism", "CANNOT")
    try:
        response = None if command.initial is None else decode_line(command.initial, initial=True)
        while not isinstance(outcome := mechanism.step(response), PasswordCredentials):
            session.wire.write(continuation(b64encode(outcome).decode("ascii")))
            response = decode_line(await session.wire.read_line())
    except SaslError as error:
        raise Rejected("BAD", str(error)) from error
    return await _sign_in(session, outcome)


async def login(session: Session, command: Login) -> Reply:
    """LOGIN."""
    _demand_tls(session)
    try:
        credentials = credentials_from(b"", command.user, command.password)
    except SaslError as error:
        raise Refusal(Reason.CREDENTIALS_INVALID) from error
    return await _sign_in(session, credentials)


def _demand_tls(session: Session) -> None:
    if not session.wire.is_tls:
        raise Refusal(Reason.ENCRYPTION_REQUIRED)


async def _sign_in(session: Session, credentials: PasswordCredentials) -> Reply:
    try:
        identity = await session.sign_in.authenticate(
            credentials.authcid,
            credentials.password,
            authzid=credentials.authzid,
            service="imap",
            peer=session.wire.peer,
        )
    except Refusal:
        session.failed_logins += 1
        raise
    await session.service.open_mailbox(identity)
    session.sign_in_as(identity)
    return Reply("OK", "Logged in", f"CAPABILITY {capabilities(session)}")
