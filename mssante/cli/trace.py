"""``mssante trace``: the way of a message, from its acceptance to filing and reading.

One timeline for each message, made of what the audit chains of all databases and the confirmations of
others say. Patients appear under their pseudonym.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

import typer

from mssante.access.audit import AuditKind
from mssante.cli.arguments import config_path, read_secret_argument
from mssante.cli.audit import chains
from mssante.cli.instance import Instance, open_instance
from mssante.cli.output import CommandFailed, JsonOption, note, show_all
from mssante.kernel.address import Address
from mssante.kernel.clock import from_milliseconds
from mssante.kernel.opaque import OpaqueId, id_text, parse_id
from mssante.mail.tracing import Step, Wanted, standing_of
from mssante.mail.uid_ranges import contains_uid
from mssante.storage import audit
from mssante.storage.audit import AuditLine
from mssante.storage.traces import FoundTrace, Place, StoredTraces, consultations

_WORDS: Final = {
    AuditKind.ADMISSION: "accepted",
    AuditKind.DELIVERY: "delivered",
    AuditKind.FILING: "filed",
    AuditKind.HELD: "held",
    AuditKind.RELAY: "relayed",
    AuditKind.REPORT: "told",
    AuditKind.REFUSAL: "refused",
    AuditKind.ADMINISTRATION: "administered",
}
_SHOWN_FACTS: Final = frozenset(
    {
        "size",
        "recipients",
        "way",
        "domain",
        "sent",
        "failed",
        "attempts",
        "status",
        "smime",
        "operator",
    }
)
_DEFAULT: Final = timedelta(days=7)


def trace(
    ctx: typer.Context,
    message: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The id that the 250 told.")
    ] = None,
    message_id: Annotated[str | None, typer.Option("--message-id", help="<...@...>")] = None,
    sender: Annotated[
        str | None,
        typer.Option("--from", help="Sender's address; - reads standard input, @FILE a file."),
    ] = None,
    recipient: Annotated[
        str | None,
        typer.Option("--to", help="Recipient's address; - reads standard input, @FILE a file."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d"], help="By default a week."),
    ] = None,
    unconfirmed: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="HOURS",
            help="Only messages whose sender asked to be told, and was not within so many hours.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 100,
    json: JsonOption = False,
) -> None:
    """Follow messages: one timeline for each, the newest first."""
    with open_instance(config_path(ctx)) as instance:
        now = instance.stores.clock.now()
        wanted = Wanted(
            spool_id=_id(message),
            message_id=_bracketed(message_id),
            sender=_address(sender),
            recipient=_address(recipient),
            since=_since(since, now, one_message=bool(message or message_id)),
            before=now - timedelta(hours=unconfirmed) if unconfirmed is not None else None,
            unconfirmed=unconfirmed is not None,
        )
        traces = StoredTraces(instance.stores.databases["mail"], instance.stores.keyring)
        shown = [
            _followed(instance, traces, one) for one in instance.run(traces.find(wanted, limit))
        ]
    if json:
        show_all(shown, (), as_json=True)
        return
    if not shown:
        raise CommandFailed("no message matches: older ones need --since")
    for one in shown:
        _print(one)


def _followed(instance: Instance, traces: StoredTraces, one: FoundTrace) -> dict[str, object]:
    steps = sorted(
        [*_audited(instance, one.spool_id), *_read(instance, traces, one)], key=lambda step: step.at
    )
    return {
        "id": id_text(one.spool_id),
        "acceptedAt": _time(from_milliseconds(one.at)),
        "standing": standing_of(steps),
        "asked": sorted(asked.value for asked in one.asked),
        "confirmed": [confirmed.value for confirmed in one.confirmed],
        "unconfirmed": bool(one.asked) and not set(one.confirmed) - {"relayed", "delayed"},
        "steps": [
            {
                "at": _time(step.at),
                "what": step.what,
                "outcome": step.outcome,
                "who": step.who or None,
                **step.facts,
            }
            for step in steps
        ],
    }


def _audited(instance: Instance, spool_id: OpaqueId) -> Iterator[Step]:
    """What the chains say of a message."""
    lines: list[AuditLine] = []
    for name, schema, database in chains(instance):

        def work(conn: Any, tables: Any = schema.audit, name: str = name) -> list[AuditLine]:
            return audit.show(conn, tables, name, limit=10_000, correlation=spool_id)

        lines += instance.run(database.read(work))
    names = _names(instance, lines)
    for line in lines:
        kind = AuditKind(str(line.leaf["kind"]))
        what = str(line.leaf["outcome"]) if kind is AuditKind.RECEIPT else _WORDS.get(kind)
        if what is None:
            continue
        facts = line.leaf.get("facts")
        assert isinstance(facts, dict)
        subject = line.leaf.get("subject")
        yield Step(
            from_milliseconds(line.at),
            what,
            str(line.leaf["outcome"]),
            # A receipt is the word of somebody else than the mailbox that it came to.
            ""
            if kind is AuditKind.RECEIPT
            else str(facts.get("domain") or names.get(str(subject), "")),
            {name: value for name, value in facts.items() if name in _SHOWN_FACTS},
        )


def _read(instance: Instance, traces: StoredTraces, one: FoundTrace) -> Iterator[Step]:
    """Who was sent the message's content here."""
    places = instance.run(traces.places(one.spool_id))
    tables = next(schema.audit for name, schema, _ in chains(instance) if name == "mail")
    mailboxes = instance.run(instance.directory.mailboxes({place.mailbox_id for place in places}))
    for mailbox_id, mailbox in mailboxes.items():
        theirs = [place for place in places if place.mailbox_id == mailbox_id]
        database = instance.stores.databases["mail"]
        for line in instance.run(consultations(database, tables, mailbox_id, one.at)):
            if any(_is_about(line, place) for place in theirs):
                who = instance.pseudonyms.of_address(mailbox.address)
                yield Step(from_milliseconds(line.at), "read", "done", who, {})


def _is_about(line: AuditLine, place: Place) -> bool:
    facts = line.leaf.get("facts")
    assert isinstance(facts, dict)
    return facts.get("folder") == id_text(place.folder) and contains_uid(
        str(facts.get("uids", "")), place.uid
    )


def _names(instance: Instance, lines: Sequence[AuditLine]) -> dict[str, str]:
    """Mailboxes by their id, hexadecimal, as they may be shown."""
    subjects = {str(line.leaf["subject"]) for line in lines if line.leaf.get("subject")}
    ids = [OpaqueId(bytes.fromhex(text)) for text in subjects]
    found = instance.run(instance.directory.mailboxes(ids))
    return {
        mailbox_id.hex(): instance.pseudonyms.of_address(mailbox.address)
        for mailbox_id, mailbox in found.items()
    }


def _print(one: dict[str, object]) -> None:
    steps = one["steps"]
    assert isinstance(steps, list)
    asked, confirmed = one["asked"], one["confirmed"]
    note(
        f"{one['id']}  {one['standing']}  asked {asked or 'nothing'}, confirmed {confirmed or 'nothing'}"
    )
    show_all(
        steps,
        ("at", "what", "outcome", "who", "domain", "status", "attempts", "size"),
        as_json=False,
    )


def _since(since: datetime | None, now: datetime, *, one_message: bool) -> datetime | None:
    if since is not None:
        return since.astimezone()
    return None if one_message else now - _DEFAULT


def _time(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")


def _id(text: str | None) -> OpaqueId | None:
    try:
        return None if text is None else parse_id(text)
    except ValueError as error:
        raise CommandFailed(str(error)) from None


def _bracketed(text: str | None) -> str | None:
    return None if text is None else f"<{text.strip().strip('<>')}>"


def _address(text: str | None) -> Address | None:
    if text is None:
        return None
    try:
        return Address.split(read_secret_argument(text).strip())
    except ValueError as error:
        raise CommandFailed(str(error)) from None
