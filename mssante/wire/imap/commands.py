"""The commands of IMAP4rev1 as values (RFC 3501 section 6, and the extensions that we offer)."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, unique

from mssante.wire.imap.fetch import FetchItem
from mssante.wire.imap.search import SearchKey
from mssante.wire.imap.sequence_set import SequenceSet


@dataclass(frozen=True, slots=True)
class Capability:
    """CAPABILITY."""


@dataclass(frozen=True, slots=True)
class Noop:
    """NOOP."""


@dataclass(frozen=True, slots=True)
class Logout:
    """LOGOUT."""


@dataclass(frozen=True, slots=True)
class Id:
    """ID (RFC 2971); what the client says of itself is not kept."""


@dataclass(frozen=True, slots=True)
class Enable:
    """ENABLE (RFC 5161)."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StartTls:
    """STARTTLS."""


@dataclass(frozen=True, slots=True)
class Authenticate:
    """AUTHENTICATE, with the initial response of RFC 4959 as it was written (``=`` is empty)."""

    mechanism: str
    initial: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Login:
    """LOGIN."""

    user: bytes = field(repr=False)
    password: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Select:
    """SELECT, or EXAMINE."""

    mailbox: str
    read_only: bool
    condstore: bool = False
    """Whether the parameter CONDSTORE is there (RFC 7162 section 3.1.8)."""


@dataclass(frozen=True, slots=True)
class Create:
    """CREATE."""

    mailbox: str
    uses: tuple[str, ...] = ()
    """Special uses as the client wrote them: ``\\Sent`` (RFC 6154 section 3)."""


@dataclass(frozen=True, slots=True)
class Delete:
    """DELETE."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class Rename:
    """RENAME."""

    mailbox: str
    new_name: str


@dataclass(frozen=True, slots=True)
class Subscribe:
    """SUBSCRIBE, or UNSUBSCRIBE."""

    mailbox: str
    subscribed: bool


@dataclass(frozen=True, slots=True)
class ListSubscribed:
    """LSUB."""

    reference: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Namespace:
    """NAMESPACE (RFC 2342)."""


@unique
class StatusItem(Enum):
    """What STATUS can tell."""

    MESSAGES = "MESSAGES"
    RECENT = "RECENT"
    UIDNEXT = "UIDNEXT"
    UIDVALIDITY = "UIDVALIDITY"
    UNSEEN = "UNSEEN"
    APPENDLIMIT = "APPENDLIMIT"
    """RFC 7889."""
    HIGHESTMODSEQ = "HIGHESTMODSEQ"
    """RFC 7162 section 3.1.7."""
    SIZE = "SIZE"
    """RFC 8438."""
    MAILBOXID = "MAILBOXID"
    """RFC 8474 section 4.3."""


@unique
class ListSelection(Enum):
    """Which mailboxes an extended LIST selects (RFC 5258 section 3.1, RFC 6154 section 2)."""

    SUBSCRIBED = "SUBSCRIBED"
    SPECIAL_USE = "SPECIAL-USE"
    REMOTE = "REMOTE"
    RECURSIVEMATCH = "RECURSIVEMATCH"


@unique
class ListReturn(Enum):
    """What an extended LIST tells of each mailbox (RFC 5258 section 3.2, RFC 6154 section 2)."""

    SUBSCRIBED = "SUBSCRIBED"
    CHILDREN = "CHILDREN"
    SPECIAL_USE = "SPECIAL-USE"


@dataclass(frozen=True, slots=True)
class ListMailboxes:
    """LIST, plain or extended."""

    reference: str
    patterns: tuple[str, ...]
    extended: bool = False
    selection: frozenset[ListSelection] = frozenset()
    returned: frozenset[ListReturn] = frozenset()
    status: tuple[StatusItem, ...] = ()
    """What is told besides, as STATUS does (RFC 5819)."""


@dataclass(frozen=True, slots=True)
class Status:
    """STATUS."""

    mailbox: str
    items: tuple[StatusItem, ...]


@dataclass(frozen=True, slots=True)
class Append:
    """APPEND."""

    mailbox: str
    flags: tuple[str, ...]
    internal_date: datetime | None
    message: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Idle:
    """IDLE (RFC 2177)."""


@dataclass(frozen=True, slots=True)
class Check:
    """CHECK."""


@dataclass(frozen=True, slots=True)
class Close:
    """CLOSE."""


@dataclass(frozen=True, slots=True)
class Unselect:
    """UNSELECT (RFC 3691)."""


@dataclass(frozen=True, slots=True)
class Expunge:
    """EXPUNGE, or UID EXPUNGE (RFC 4315)."""

    uids: SequenceSet | None


@unique
class SearchResult(Enum):
    """What an extended SEARCH can tell (RFC 4731 section 3.1)."""

    MIN = "MIN"
    MAX = "MAX"
    ALL = "ALL"
    COUNT = "COUNT"


@dataclass(frozen=True, slots=True)
class Search:
    """SEARCH, or UID SEARCH."""

    key: SearchKey
    uid: bool
    results: frozenset[SearchResult] | None = None
    """What an extended SEARCH asks for, never empty; None is a plain SEARCH."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """FETCH, or UID FETCH (which answers the UID, asked or not)."""

    numbers: SequenceSet
    items: tuple[FetchItem, ...]
    uid: bool
    changed_since: int | None = None
    """Only messages whose modseq is greater; MODSEQ is then among the items (RFC 7162)."""


@unique
class StoreOperation(Enum):
    """How STORE changes flags."""

    REPLACE = "FLAGS"
    ADD = "+FLAGS"
    REMOVE = "-FLAGS"


@dataclass(frozen=True, slots=True)
class Store:
    """STORE, or UID STORE."""

    numbers: SequenceSet
    operation: StoreOperation
    silent: bool
    flags: tuple[str, ...]
    uid: bool
    unchanged_since: int | None = None
    """Only messages whose modseq is not greater (RFC 7162 section 3.1.3)."""


@dataclass(frozen=True, slots=True)
class Copy:
    """COPY, or UID COPY."""

    numbers: SequenceSet
    mailbox: str
    uid: bool


@dataclass(frozen=True, slots=True)
class Move:
    """MOVE, or UID MOVE (RFC 6851)."""

    numbers: SequenceSet
    mailbox: str
    uid: bool


Command = (
    Capability
    | Noop
    | Logout
    | Id
    | Enable
    | StartTls
    | Authenticate
    | Login
    | Select
    | Create
    | Delete
    | Rename
    | Subscribe
    | ListMailboxes
    | ListSubscribed
    | Namespace
    | Status
    | Append
    | Idle
    | Check
    | Close
    | Unselect
    | Expunge
    | Search
    | Fetch
    | Store
    | Copy
    | Move
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tagged:
    """A command with its tag."""

    tag: str
    name: str
    """The verb as the standard writes it: ``UID FETCH``."""
    command: Command
