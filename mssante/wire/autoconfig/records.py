"""The DNS records that let others find an operator: RFC 6186, RFC 8314, RFC 5321 section 5.

Hosts find each other by them and believe nothing of them: who answers must show the certificate that
the white list names (operators), or the host's own name (members' clients).
"""

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final

from mssante.wire.autoconfig.model import Endpoint, MailService

NOT_OFFERED: Final = "."
"""RFC 2782: the service is decidedly not available."""
_STRING: Final = 255
"""Octets of one of the strings of a text (RFC 1035 section 3.3)."""


@unique
class Need(StrEnum):
    """How much hangs on a record."""

    REQUIRED = "required"
    CLIENTS = "clients"
    """Mail clients set themselves up by it."""
    OPTIONAL = "optional"


@dataclass(frozen=True, slots=True)
class Record:
    """One record to publish; names without the last dot, values as zone files write them."""

    name: str
    type: str
    value: str
    need: Need
    note: str = ""

    def line(self) -> str:
        """As a line of a zone file."""
        return f"{self.name}. IN {self.type} {self.value}"


def records_of(
    domain: str,
    service: MailService,
    *,
    exchanger: Endpoint | None,
    web: Endpoint | None,
    for_clients: bool = True,
) -> list[Record]:
    """What to publish for one domain.

    Args:
        domain: in lower case.
        service: the ways in of its members.
        exchanger: where other operators bring mail; None: nowhere (RFC 7505).
        web: the web listener.
        for_clients: whether its members use mail clients at all.
    """
    records = [_mail_exchanger(domain, exchanger)]
    if not for_clients:
        return records + _policies(domain)
    for label, endpoint, note in (
        ("_submissions", service.submissions, "RFC 8314 section 5.1"),
        ("_submission", service.submission, "RFC 6186 section 3.1"),
        ("_imaps", service.imaps, "RFC 6186 section 3.2"),
        ("_imap", service.imap, "RFC 6186 section 3.2"),
    ):
        # Implicit TLS is preferred: the lower priority number is tried first.
        priority = 0 if label.endswith("s") else 10
        records.append(_service(domain, label, endpoint, priority, note))
    if web is not None:
        host = f"{web.host}."
        records.append(Record(f"autoconfig.{domain}", "CNAME", host, Need.CLIENTS, "Thunderbird"))
        records.append(Record(f"autodiscover.{domain}", "CNAME", host, Need.CLIENTS, "Outlook"))
        records.append(
            Record(f"_autodiscover._tcp.{domain}", "SRV", _target(0, web), Need.CLIENTS, "Outlook")
        )
    return records + _policies(domain)


def signing_key(domain: str, selector: str, key: str) -> Record:
    """The key with which what goes to other operators is signed (RFC 6376 section 3.6.2.1).

    Args:
        domain: in lower case.
        selector: the key's name.
        key: the text of the record.
    """
    strings = [key[start : start + _STRING] for start in range(0, len(key), _STRING)]
    value = " ".join(f'"{string}"' for string in strings)
    note = "DKIM: signs mail to other operators"
    return Record(f"{selector}._domainkey.{domain}", "TXT", value, Need.OPTIONAL, note)


def _mail_exchanger(domain: str, exchanger: Endpoint | None) -> Record:
    if exchanger is None:
        return Record(domain, "MX", "0 .", Need.REQUIRED, "RFC 7505: takes no mail from others")
    note = "mail from other operators"
    if exchanger.port != 25:
        note += f"; others come to port 25, this listener is at {exchanger.port}"
    return Record(domain, "MX", f"10 {exchanger.host}.", Need.REQUIRED, note)


def _service(
    domain: str, label: str, endpoint: Endpoint | None, priority: int, note: str
) -> Record:
    name = f"{label}._tcp.{domain}"
    if endpoint is None:
        return Record(name, "SRV", "0 0 0 .", Need.CLIENTS, "not offered")
    return Record(name, "SRV", _target(priority, endpoint), Need.CLIENTS, note)


def _target(priority: int, endpoint: Endpoint) -> str:
    return f"{priority} 1 {endpoint.port} {endpoint.host}."


def _policies(domain: str) -> list[Record]:
    """Nothing of this domain goes over the open Internet's mail: whoever gets some may refuse it."""
    closed = "nothing of this domain leaves the trust space"
    return [
        Record(domain, "TXT", '"v=spf1 -all"', Need.OPTIONAL, f"SPF: {closed}"),
        Record(
            f"_dmarc.{domain}", "TXT", '"v=DMARC1; p=reject; adkim=s; aspf=s"', Need.OPTIONAL,
            f"DMARC: {closed}",
        ),
    ]  # fmt: skip
