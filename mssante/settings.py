"""The typed settings of an instance: one TOML file, one frozen dataclass per ``[section]``.

An unknown key, a wrong type or a value out of range is an error that names the key's path; all
errors of a file are told at once. Relative paths are relative to the file. Secrets never stand in
the file: it names other files, and a database URL with a password comes by the environment variable
``MSSANTE_DATABASE_URL``. ``config/mssante.toml`` documents every key with its default.
"""

import dataclasses
import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from mssante.kernel.oid import is_oid

DATABASE_URL_VARIABLE: Final = "MSSANTE_DATABASE_URL"
MAX_FILE: Final = 1 << 20
"""A settings file is small; a larger one is a mistake."""

Role = Literal["submission", "reception", "imap", "web"]
"""What a worker can do; the other roles of the design come with their listeners."""
ROLES: Final[tuple[Role, ...]] = get_args(Role)


class SettingsError(Exception):
    """The settings cannot be used; `problems` holds one sentence each, without any secret."""

    def __init__(self, path: Path, problems: list[str]) -> None:
        super().__init__(f"{path}: " + "; ".join(problems))
        self.path = path
        self.problems = tuple(problems)


def _bounded(default: int, low: int, high: int) -> Any:
    """A whole number with its inclusive bounds, which the reader enforces."""
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True, slots=True)
class Operator:
    """Who operates this instance: ``[operator]``."""

    domain: str
    """The first domain of professionals, also the name in greetings and trace headers."""
    patient_domains: tuple[str, ...] = ()
    """Domains whose addresses are ``<INS>@domain``; the first one is given to new patients."""
    remote_patient_domains: tuple[str, ...] = ()
    """Domains of patients at other operators: INS key and size are checked before sending there."""
    postmaster: str = ""
    """Address of the mailbox here that serves postmaster@ and abuse@ of every domain; empty: none."""
    name: str = ""
    """Human name, shown in reports; the domain when empty."""
    oid_arc: str = ""
    """OID under which this instance numbers its repositories and sources (at most 48 characters)."""
    public_host: str = ""
    """The name under which clients and other operators reach this server; the domain when empty."""
    sandbox: bool = False
    """Synthetic data only: test INS are accepted and no reason is asked for reading documents."""
    private_fields: tuple[str, ...] = (
        "X-Originating-IP",
        "X-Originating-Client",
        "X-Authenticated-Sender",
        "X-Sender-IP",
        "X-PHP-Originating-Script",
    )
    """Header fields that tell of a member's inner network: taken out of what members submit."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Where one service listens."""

    port: int = field(metadata={"low": 1, "high": 65535})
    host: str = "*"
    """An address, a host name, or ``*`` for every interface."""
    enabled: bool = True
    public_host: str = ""
    """What clients are told to connect to; ``operator.public_host`` when empty."""
    public_port: int = _bounded(0, 0, 65_535)
    """The same; 0: `port`. For where a packet filter forwards another port."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """``[listeners.NAME]``, by IANA service name; each section may change what it needs."""

    submission: Listener = Listener(587)
    """SMTP for members, STARTTLS before authentication (RFC 6409)."""
    submissions: Listener = Listener(465)
    """SMTP for members, implicit TLS (RFC 8314)."""
    smtp: Listener = Listener(25)
    """SMTP from other operators: STARTTLS with client certificates (RFC 3207)."""
    imap: Listener = Listener(143)
    """IMAP, STARTTLS before authentication."""
    imaps: Listener = Listener(993)
    """IMAP, implicit TLS (RFC 8314)."""
    https: Listener = Listener(443)
    """HTTPS: how mail clients set themselves up, health and metrics."""


@dataclass(frozen=True, slots=True)
class Tls:
    """The server's certificate: ``[tls]``."""

    certificate: Path = Path("tls/server.pem")
    """PEM: the server's certificate, then its intermediates."""
    key: Path = Path("tls/server.key")
    """PEM, readable by the service account alone."""
    operator_certificate: Path = Path("tls/operator.pem")
    """PEM: the certificate that other operators see, whose name is in the white list, then its
    intermediates."""
    operator_key: Path = Path("tls/operator.key")
    """PEM, readable by the service account alone."""
    peer_ca: Path = Path("tls/ca.pem")
    """PEM: the authorities that issue other operators' certificates; no others are believed."""


@dataclass(frozen=True, slots=True)
class Trust:
    """Who is let into the exchange with other operators: ``[trust]``."""

    white_list_url: str = ""
    """``https://…`` from where the list is fetched; empty: it is imported by hand."""
    white_list_ca: tuple[Path, ...] = ()
    """PEM: the authorities of that server's certificate; no others are believed."""
    white_list_anchors: tuple[Path, ...] = ()
    """PEM: the authorities of the certificate that signs the list."""
    white_list_signer: str = "O=ANS"
    """Attributes (RFC 4514) that the subject of that certificate must have."""
    require_signature: bool = False
    """Whether a list without signature is refused; one that is there is verified in any case."""
    refresh_minutes: int = _bounded(60, 5, 1_440)
    """How often the list is fetched, more or less a tenth."""
    warn_hours: int = _bounded(48, 1, 8_760)
    """Age of the list from which each refresh warns."""
    max_age_hours: int = _bounded(0, 0, 8_760)
    """Age of the list from which nothing is exchanged with other operators; 0: never."""
    peer_intermediates: tuple[Path, ...] = ()
    """PEM: authorities below those of ``tls.peer_ca``, for peers that leave them out."""
    peer_usages: tuple[Literal["clientAuth", "serverAuth"], ...] = ("clientAuth",)
    """Of a certificate that limits its usages: one of these lets it send to us."""
    revocation_lists: tuple[Path, ...] = ()
    """PEM or DER: lists of the authorities of other operators."""
    revocation_urls: tuple[str, ...] = ()
    """``http://…`` or ``https://…`` of lists that are fetched; no other address is ever asked."""
    revocation: Literal["soft", "hard"] = "soft"
    """Where no list in force covers a certificate: let it pass, or refuse it."""


@dataclass(frozen=True, slots=True)
class Relay:
    """Mail to other operators: ``[relay]``."""

    routes: tuple[str, ...] = ()
    """``domain=host:port``: where DNS is not asked for the MX of a domain."""
    per_domain: int = _bounded(4, 1, 100)
    """Messages that one worker sends to one domain at a time."""
    first_retry_seconds: int = _bounded(30, 1, 3_600)
    """Before the second attempt; each further pause is twice as long."""
    longest_retry_seconds: int = _bounded(3_600, 1, 86_400)
    """The longest pause."""
    warn_hours: int = _bounded(4, 1, 168)
    """After so long the sender is told that its message is late."""
    expire_hours: int = _bounded(72, 1, 240)
    """After so long it is given up; RFC 5321 section 4.5.4.1 asks for four to five days at most."""
    dkim_selector: str = "mss"
    """Name of the DKIM key in DNS (RFC 6376 section 3.1)."""
    dkim_key: Path = Path("keys/dkim.key")
    """PEM, Ed25519 or RSA. Where the file is missing, nothing is signed with DKIM."""


@dataclass(frozen=True, slots=True)
class Smime:
    """Signatures and encryption of mail: ``[smime]``."""

    seal: Literal["always", "off"] = "always"
    """Whether mail that a member submits without a signature is sealed with the mailbox's key."""
    anchors: tuple[Path, ...] = (Path("tls/ca.pem"),)
    """PEM: the authorities whose certificates are believed for mail, and no others."""
    revocation_lists: tuple[Path, ...] = (Path("tls/ca.crl"), Path("tls/mailbox-ca.crl"))
    """PEM or DER; a file that does not exist revokes nothing."""
    authority_certificate: Path = Path("tls/mailbox-ca.pem")
    """PEM: the authority that issues the mailboxes' certificates."""
    authority_key: Path = Path("tls/mailbox-ca.key")
    """PEM. Where the file is missing, only mailboxes with an imported certificate are sealed."""
    authority_revocation_list: Path = Path("tls/mailbox-ca.crl")
    """PEM: written by ``mssante smime revoke``."""


@dataclass(frozen=True, slots=True)
class Screening:
    """What is not carried: ``[screening]``."""

    refused_endings: tuple[str, ...] = (
        "bat", "cmd", "com", "cpl", "dll", "exe", "hta", "jar", "js", "jse", "lnk", "msi", "pif",
        "ps1", "reg", "scr", "vb", "vbe", "vbs", "wsf", "wsh",
    )  # fmt: skip
    """Endings of attachments' names, also inside ZIP archives."""
    encrypted_archives: bool = True
    """Whether archives are taken that cannot be looked into."""
    clamd: str = ""
    """``unix:/path`` or ``host:port`` of ClamAV's daemon; empty: nothing is scanned for malware."""
    clamd_seconds: int = _bounded(60, 1, 600)
    """How long the daemon may take for one message."""


@dataclass(frozen=True, slots=True)
class Storage:
    """Where mail and documents live: ``[storage]``."""

    directory: Path = Path("data")
    """Databases, message segments and spools."""
    database_url: str = field(default="", repr=False)
    """``postgresql://user@host/name`` keeps the tables in PostgreSQL; empty: SQLite in `directory`."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The key that seals what is at rest: ``[keys]``."""

    master_key: Path = Path("keys/master.key")
    """32 random bytes. Whoever loses this file loses all contents; keep a copy elsewhere."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one peer may ask of us: ``[limits]``."""

    message_bytes: int = _bounded(26_214_400, 65_536, 268_435_456)
    """Largest message that is accepted or appended (25 MiB)."""
    recipients: int = _bounded(100, 1, 10_000)
    """Recipients of one message; RFC 5321 section 4.5.3.1.8 asks for at least 100."""
    connections: int = _bounded(10_000, 1, 1_000_000)
    """Open connections of SMTP and of the web, all workers together; and of IMAP, at each worker."""
    connections_per_peer: int = _bounded(1_000, 0, 1_000_000)
    """Those that one network (IPv4 address, IPv6 /64) may have of the former; 0: no limit of its own."""
    account_messages_per_hour: int = _bounded(5_000, 0, 10**9)
    """Messages that one account submits in an hour, all workers together; 0: no limit, as below."""
    account_recipients_per_hour: int = _bounded(20_000, 0, 10**9)
    account_bytes_per_hour: int = _bounded(10_737_418_240, 0, 10**15)
    account_connections_per_hour: int = _bounded(20_000, 0, 10**9)
    """Sign-ins by SMTP."""
    account_unknown_per_hour: int = _bounded(200, 0, 10**9)
    """Refused recipients in an hour: beyond that, all are put off, whether they exist or not."""
    operator_messages_per_hour: int = _bounded(200_000, 0, 10**9)
    """The same for another operator, by the name in its certificate."""
    operator_recipients_per_hour: int = _bounded(1_000_000, 0, 10**9)
    operator_bytes_per_hour: int = _bounded(1_099_511_627_776, 0, 10**15)
    operator_unknown_per_hour: int = _bounded(5_000, 0, 10**9)
    network_connections_per_hour: int = _bounded(100_000, 0, 10**9)
    """New SMTP connections of one IPv4 address or IPv6 /64 network."""
    network_unknown_per_hour: int = _bounded(5_000, 0, 10**9)
    smtp_idle_seconds: int = _bounded(300, 10, 86_400)
    """Silence that ends an SMTP session; RFC 5321 section 4.5.3.2.7 asks for five minutes."""
    imap_idle_seconds: int = _bounded(1_800, 60, 86_400)
    """Silence that ends an IMAP session; RFC 9051 section 5.4 asks for thirty minutes."""


@dataclass(frozen=True, slots=True)
class Access:
    """How members sign in: ``[access]``."""

    argon2_memory_kib: int = _bounded(65_536, 1_024, 4_194_304)
    """Memory of one password check; RFC 9106 section 4, second recommended option."""
    argon2_passes: int = _bounded(3, 1, 100)
    argon2_lanes: int = _bounded(4, 1, 64)
    argon2_threads: int = _bounded(2, 1, 64)
    """Password checks that one worker runs at a time; the others wait."""
    cache_seconds: int = _bounded(300, 0, 3_600)
    """How long a successful check is remembered; a changed password ends it at once."""
    patients_allowed: bool = False
    """Whether patients may use IMAP and SMTP themselves."""


@dataclass(frozen=True, slots=True)
class Filing:
    """What goes into the patient's record: ``[filing]``."""

    report: Literal["problems", "always"] = "problems"
    """When the sender gets a filing report: only when something was not filed as sent, or always."""


@dataclass(frozen=True, slots=True)
class Indicators:
    """The monthly activity file: ``[indicators]``."""

    columns: tuple[str, ...] = ("month", "domain", "indicator", "detail", "value")
    """Of the CSV, in order; ``name=Heading`` gives a column another heading."""


@dataclass(frozen=True, slots=True)
class Web:
    """What the web listener tells and takes: ``[web]``."""

    user_name: Literal["address", "local-part"] = "address"
    """What mail clients are told to sign in with; a login is the local part unless it was chosen."""
    request_bytes: int = _bounded(65_536, 4_096, 268_435_456)
    """Largest body of a request."""
    request_seconds: int = _bounded(30, 1, 3_600)
    """How long a client may take to send a request, and to be answered."""
    idle_seconds: int = _bounded(15, 1, 3_600)
    """Silence between two requests that ends a connection."""


@dataclass(frozen=True, slots=True)
class Monitoring:
    """Who may ask how the instance is, and when it calls itself not ready: ``[monitoring]``."""

    networks: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    """Networks that may ask without a token."""
    token_file: Path = Path("keys/monitoring.token")
    """Holds a token of 20 characters or more that lets anybody ask; no such file: nobody else."""
    least_free_megabytes: int = _bounded(512, 1, 1_000_000)
    """Not ready when the disk of the data has less."""
    late_minutes: int = _bounded(15, 1, 1_440)
    """Not ready when an accepted message waits here, not held, for longer."""
    certificate_days: int = _bounded(0, 0, 90)
    """Not ready so many days before a certificate of ours expires."""


@dataclass(frozen=True, slots=True)
class Logging:
    """``[logging]``: JSON lines on standard error, never contents, secrets or INS."""

    level: Literal["debug", "info", "warning", "error"] = "info"


@dataclass(frozen=True, slots=True)
class Workers:
    """Processes: ``[workers]``."""

    count: int = _bounded(0, 0, 1_024)
    """0: one per core."""
    roles: tuple[Role, ...] = ROLES
    run_directory: Path = Path("run")
    """Process id and wake-up sockets; emptied by a reboot without harm."""
    stop_seconds: int = _bounded(20, 1, 600)
    """How long a stop waits for sessions and deliveries before it cuts them."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything an instance is told; `file` is where it was read."""

    file: Path
    operator: Operator
    listeners: Listeners = Listeners()
    tls: Tls = Tls()
    trust: Trust = Trust()
    relay: Relay = Relay()
    screening: Screening = Screening()
    smime: Smime = Smime()
    storage: Storage = Storage()
    keys: Keys = Keys()
    limits: Limits = Limits()
    access: Access = Access()
    filing: Filing = Filing()
    indicators: Indicators = Indicators()
    web: Web = Web()
    monitoring: Monitoring = Monitoring()
    logging: Logging = Logging()
    workers: Workers = Workers()

    @property
    def directory(self) -> Path:
        """The instance's own directory: where the settings file stands."""
        return self.file.parent


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read and check a settings file.

    Raises:
        SettingsError: the file cannot be read, or something in it is wrong.
    """
    file = path.absolute()
    return _Reader(file, environment).settings(_read_toml(file))


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            text = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise SettingsError(file, [f"cannot be read: {error.strerror}"]) from None
    if len(text) > MAX_FILE:
        raise SettingsError(file, ["is larger than 1 MiB: this is not a settings file"])
    try:
        return tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(file, [f"is not TOML: {error}"]) from None


_Section = TypeVar("_Section")
_MISSING: Final = object()


class _Reader:
    """Turns parsed TOML into dataclasses and collects what is wrong."""

    def __init__(self, file: Path, environment: Mapping[str, str]) -> None:
        self._file = file
        self._environment = environment
        self._problems: list[str] = []

    def settings(self, table: dict[str, Any]) -> Settings:
        sections = {f.name: f for f in dataclasses.fields(Settings) if f.name != "file"}
        self._refuse_unknown(table, list(sections), "", "section")
        self._take_database_url(table)
        types = get_type_hints(Settings)
        values: dict[str, Any] = {"file": self._file}
        for name in sections:
            given = table.get(name, {})
            if not isinstance(given, dict):
                self._problems.append(f"{name}: must be a section, written [{name}]")
                continue
            values[name] = self._section(types[name], given, name)
        if not self._problems:
            settings = Settings(**values)
            self._problems += _contradictions(settings)
            if not self._problems:
                return settings
        raise SettingsError(self._file, self._problems)

    def _take_database_url(self, table: dict[str, Any]) -> None:
        """Prefer the environment's; a password in the file would end in backups and tickets."""
        storage = table.setdefault("storage", {})
        if not isinstance(storage, dict):
            return
        written = storage.get("database_url")
        if isinstance(written, str) and _password_of(written):
            self._problems.append(
                "storage.database_url: holds a password; put it into a file named by PGPASSFILE, "
                f"or give the whole URL in the environment variable {DATABASE_URL_VARIABLE}"
            )
        if DATABASE_URL_VARIABLE in self._environment:
            storage["database_url"] = self._environment[DATABASE_URL_VARIABLE]

    def _section(
        self, kind: type[_Section], table: dict[str, Any], where: str, given: Any = _MISSING
    ) -> _Section | None:
        """A dataclass from a table; `given` holds the defaults where they are those of an instance."""
        fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
        self._refuse_unknown(table, list(fields), where, "key")
        types = get_type_hints(kind)
        values: dict[str, Any] = {}
        for name, described in fields.items():
            path = f"{where}.{name}"
            default = described.default if given is _MISSING else getattr(given, name)
            if dataclasses.is_dataclass(types[name]):
                values[name] = self._nested(types[name], table.get(name, {}), path, default)
            elif name in table:
                values[name] = self._value(types[name], table[name], path, described.metadata)
            elif default is dataclasses.MISSING:
                self._problems.append(f"{path}: is required")
            else:
                values[name] = self._located(default)
        return kind(**values) if len(values) == len(fields) else None

    def _nested(self, kind: Any, table: Any, path: str, default: Any) -> Any:
        if not isinstance(table, dict):
            self._problems.append(f"{path}: must be a section, written [{path}]")
            return default
        return self._section(kind, table, path, default)

    def _refuse_unknown(
        self, table: dict[str, Any], known: list[str], where: str, noun: str
    ) -> None:
        for name in table:
            if name in known:
                continue
            path = f"{where}.{name}" if where else name
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f", did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"
            self._problems.append(f"{path}: no such {noun}{hint}")

    def _value(self, kind: Any, value: Any, path: str, bounds: Mapping[str, int]) -> Any:
        origin = get_origin(kind)
        if origin is Literal:
            return self._choice(kind, value, path)
        if origin is tuple:
            return self._list(get_args(kind)[0], value, path)
        if kind is Path:
            return self._located(Path(value)) if self._is(str, value, path) else value
        if self._is(kind, value, path) and kind is int and bounds:
            self._in_range(value, bounds["low"], bounds["high"], path)
        return value

    def _choice(self, kind: Any, value: Any, path: str) -> Any:
        choices = get_args(kind)
        if value not in choices:
            self._problems.append(f"{path}: must be one of {', '.join(choices)}")
        return value

    def _list(self, kind: Any, value: Any, path: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            self._problems.append(f"{path}: must be a list, written [...]")
            return ()
        return tuple(self._value(kind, item, path, {}) for item in value)

    def _is(self, kind: type, value: Any, path: str) -> bool:
        """Whether the type is exactly `kind`; in Python a bool is an int, in TOML it is not."""
        if type(value) is kind:
            return True
        names = {str: "a text in quotes", int: "a whole number", bool: "true or false"}
        self._problems.append(f"{path}: must be {names[kind]}")
        return False

    def _in_range(self, value: int, low: int, high: int, path: str) -> None:
        if not low <= value <= high:
            self._problems.append(f"{path}: must be between {low} and {high}, not {value}")

    def _located(self, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(self._located, value))
        return self._file.parent / value if isinstance(value, Path) else value


def _contradictions(settings: Settings) -> list[str]:
    """What is wrong although each key by itself is right."""
    problems = []
    operator = settings.operator
    for path, domain in [
        ("operator.domain", operator.domain),
        *(("operator.patient_domains", domain) for domain in operator.patient_domains),
        *(
            ("operator.remote_patient_domains", domain)
            for domain in operator.remote_patient_domains
        ),
    ]:
        if not _is_domain(domain):
            problems.append(f"{path}: {domain!r} is not a domain in lower case")
    if operator.domain in operator.patient_domains:
        problems.append("operator.patient_domains: may not contain the domain of professionals")
    both = set(operator.patient_domains) & set(operator.remote_patient_domains)
    if both or operator.domain in operator.remote_patient_domains:
        problems.append("operator.remote_patient_domains: may not contain a domain of ours")
    if operator.postmaster and not _is_domain(operator.postmaster.rpartition("@")[2]):
        problems.append("operator.postmaster: must be an address of a mailbox here")
    if operator.postmaster.startswith("@") or (
        operator.postmaster and "@" not in operator.postmaster
    ):
        problems.append("operator.postmaster: must be local-part@domain")
    if operator.oid_arc and not (is_oid(operator.oid_arc) and len(operator.oid_arc) <= 48):
        problems.append("operator.oid_arc: must be an OID of at most 48 characters")
    if not settings.workers.roles:
        problems.append("workers.roles: names no role")
    problems += _trust_problems(settings.trust)
    problems += [
        f"relay.routes: {text!r} is not domain=host:port"
        for text in settings.relay.routes
        if route_of(text) is None
    ]
    if settings.screening.clamd and not _CLAMD.match(settings.screening.clamd):
        problems.append("screening.clamd: must be unix:/path or host:port")
    problems += _public_name_problems(settings)
    problems += _network_problems(settings.monitoring)
    problems += _ports_taken_twice(settings.listeners)
    problems += _database_problems(settings.storage.database_url)
    return problems


def _trust_problems(trust: Trust) -> list[str]:
    problems = []
    if trust.white_list_url:
        if not _is_url(trust.white_list_url, ("https",)):
            problems.append("trust.white_list_url: must be an https:// URL")
        if not trust.white_list_ca:
            problems.append("trust.white_list_ca: is required beside white_list_url")
    problems += [
        f"trust.revocation_urls: {url!r} is not an http:// or https:// URL"
        for url in trust.revocation_urls
        if not _is_url(url, ("http", "https"))
    ]
    if not trust.peer_usages:
        problems.append("trust.peer_usages: names no usage")
    return problems


def _is_url(text: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname) and parts.username is None
    except ValueError:
        return False


def _public_name_problems(settings: Settings) -> list[str]:
    """RFC 9525 identifies a server by name: what clients are told must be one (or an address)."""
    named = {"operator.public_host": settings.operator.public_host}
    for each in dataclasses.fields(Listeners):
        listener: Listener = getattr(settings.listeners, each.name)
        named[f"listeners.{each.name}.public_host"] = listener.public_host
    return [
        f"{path}: {name!r} is not a host name in lower case"
        for path, name in named.items()
        if name and not _is_domain(name)
    ]


def _network_problems(monitoring: Monitoring) -> list[str]:
    problems = []
    for text in monitoring.networks:
        try:
            ip_network(text)
        except ValueError as error:
            problems.append(f"monitoring.networks: {error}")
    return problems


_CLAMD: Final = re.compile(r"unix:/.+|(?:\[[0-9A-Fa-f:.]+\]|[^\[\]:]+):[0-9]{1,5}\Z")
_ROUTE: Final = re.compile(
    r"(?P<domain>[^=]+)=(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:=]+):(?P<port>[0-9]+)\Z"
)


def route_of(text: str) -> tuple[str, str, int] | None:
    """Domain, host and port of a route ``domain=host:port``; None where it is none.

    An IPv6 address stands in brackets.
    """
    found = _ROUTE.match(text)
    if found is None or not _is_domain(found["domain"]) or not 0 < int(found["port"]) <= 65535:
        return None
    return found["domain"], found["host"].strip("[]"), int(found["port"])


def _is_domain(text: str) -> bool:
    """RFC 1035 section 2.3.1 as relaxed by RFC 1123 section 2.1, ASCII, lower case."""
    labels = text.split(".")
    return len(text) <= 253 and all(
        0 < len(label) <= 63
        and label.isascii()
        and label.replace("-", "").isalnum()
        and label == label.lower()
        and not label.startswith("-")
        and not label.endswith("-")
        for label in labels
    )


def _ports_taken_twice(listeners: Listeners) -> list[str]:
    taken: dict[tuple[str, int], str] = {}
    problems = []
    for name in (f.name for f in dataclasses.fields(Listeners)):
        listener: Listener = getattr(listeners, name)
        if not listener.enabled:
            continue
        other = taken.setdefault((listener.host, listener.port), name)
        if other != name:
            problems.append(f"listeners.{name}.port: {listener.port} is taken by listeners.{other}")
    return problems


def _database_problems(url: str) -> list[str]:
    if url and not url.startswith("postgresql://"):
        return ["storage.database_url: must begin with postgresql://"]
    return []


def _password_of(url: str) -> str | None:
    try:
        return urlsplit(url).password
    except ValueError:
        return None
