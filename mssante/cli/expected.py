"""What a command may run into: each message is written for the person who typed it."""

from typing import Final

from mssante.cli.output import CommandFailed
from mssante.directory.ports import Duplicate, Unknown
from mssante.directory.registration import RegistrationError
from mssante.kernel.ins import InsError
from mssante.kernel.professionals import IdentifierError
from mssante.kernel.reasons import Refusal
from mssante.settings import SettingsError
from mssante.storage.encryption import KeyUnavailable
from mssante.storage.versions import WrongVersion
from mssante.trust.anchors import Unreadable
from mssante.wire.whitelist.reader import WhiteListRefused

_EXPECTED: Final = (
    CommandFailed,
    Duplicate,
    Unknown,
    RegistrationError,
    InsError,
    IdentifierError,
    Refusal,
    KeyUnavailable,
    Unreadable,
    WhiteListRefused,
    WrongVersion,
)


def explained(error: Exception) -> list[str]:
    """What to tell of an error, line by line; nothing where it is a fault of this program."""
    if isinstance(error, SettingsError):
        return [f"{error.path}: {problem}" for problem in error.problems]
    return [str(error)] if isinstance(error, _EXPECTED) else []
