"""What one connection may cost."""

from dataclasses import dataclass

from mssante.wire.imap.reader import DEFAULT_MAX_MESSAGE


@dataclass(frozen=True, slots=True)
class ImapLimits:
    """Budgets of a connection; seconds are real time."""

    max_message: int = DEFAULT_MAX_MESSAGE
    """Octets of a message given by APPEND."""
    max_connections: int = 5_000
    """Of this process."""
    max_connections_per_account: int = 100
    """In this process; clients open up to five each, and a shared mailbox has several."""
    max_bad_commands: int = 20
    """Commands that break the grammar, over the life of a connection."""
    max_failed_logins: int = 5
    seconds_before_login: float = 60.0
    seconds_of_silence: float = 30 * 60.0
    """RFC 3501 section 5.4: at least 30 minutes."""
    seconds_stalled: float = 5 * 60.0
    """How long a client may leave unread what it asked for."""
    seconds_of_handshake: float = 20.0
    idle_heartbeat: float = 120.0
    """Some clients drop an IDLE that stays silent for longer."""
