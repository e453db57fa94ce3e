"""``mssante queue``: messages that are accepted and not wholly done."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Final

import typer

from mssante.cli.arguments import config_path
from mssante.cli.instance import Instance, act, open_instance
from mssante.cli.output import CommandFailed, JsonOption, note, progress, show, show_all
from mssante.directory.ports import Act
from mssante.kernel.address import Address
from mssante.kernel.opaque import OpaqueId, id_text, parse_id
from mssante.mail.model import SpoolEntry
from mssante.mail.relay import RelayRecipient
from mssante.storage.queue import QueueLine, StoredQueue

app: Final = typer.Typer(name="queue", help="Accepted messages on their way.", no_args_is_help=True)

_HERE: Final = "here"
"""Shown as the way of what has no other operator."""

_Messages = Annotated[
    list[str] | None,
    typer.Argument(metavar="MESSAGE", help="Ids from the list, or from the 250 of a message."),
]
_DomainOption = Annotated[
    str | None, typer.Option("--domain", help="All that waits for this domain.")
]
_All = Annotated[bool, typer.Option("--all", help="All that waits.")]


@app.command(name="list")
def list_queue(ctx: typer.Context, domain: _DomainOption = None, json: JsonOption = False) -> None:
    """List what waits, oldest first; patients appear under their pseudonym."""
    with open_instance(config_path(ctx)) as instance:
        lines = instance.run(_queue(instance).lines())
        shown = [_described(line, instance) for line in lines if _goes_to(line, domain)]
    columns = ("id", "to", "state", "acceptedAt", "size", "attempts", "dueAt", "recipients", "why")
    show_all(shown, columns, as_json=json)


@app.command(name="show")
def show_one(ctx: typer.Context, message: str, json: JsonOption = False) -> None:
    """Show all that waits of one message, with the last answer for each recipient."""
    wanted = _id(message)
    with open_instance(config_path(ctx)) as instance:
        lines = instance.run(_queue(instance).lines())
        found = [line for line in lines if wanted in (line.item.id, line.message_id)]
        if not found:
            raise CommandFailed("nothing waits under this id: see mssante queue list")
        shown = [_detailed(line, instance) for line in found]
    if json:
        show_all(shown, (), as_json=True)
        return
    for one in shown:
        show(one, as_json=False)


@app.command(name="retry")
def retry(
    ctx: typer.Context,
    messages: _Messages = None,
    domain: _DomainOption = None,
    everything: _All = False,
) -> None:
    """Try again now what was deferred, held or set aside."""
    count = _each(ctx, "queue retry", messages, domain, everything, StoredQueue.retry)
    note(f"{count} tried again within a second where the server runs")


@app.command(name="hold")
def hold(
    ctx: typer.Context,
    messages: _Messages = None,
    domain: _DomainOption = None,
    everything: _All = False,
) -> None:
    """Try no more until `queue retry`."""
    count = _each(ctx, "queue hold", messages, domain, everything, StoredQueue.hold)
    note(f"{count} held")


@app.command(name="drop")
def drop(
    ctx: typer.Context,
    messages: _Messages = None,
    domain: _DomainOption = None,
    everything: _All = False,
    silent: Annotated[bool, typer.Option("--silent", help="Without a word to the sender.")] = False,
) -> None:
    """Give up: the sender is told, what was delivered stays delivered."""

    def dropped(queue: StoredQueue, line: QueueLine, by: Act) -> Awaitable[bool]:
        return queue.drop(line, by, silent=silent)

    count = _each(ctx, "queue drop", messages, domain, everything, dropped)
    note(f"{count} given up within a second where the server runs, else at its next start")


def _each(
    ctx: typer.Context,
    command: str,
    messages: list[str] | None,
    domain: str | None,
    everything: bool,
    change: Callable[[StoredQueue, QueueLine, Act], Awaitable[bool]],
) -> int:
    if bool(messages) + bool(domain) + everything != 1:
        raise typer.BadParameter("name messages, or --domain, or --all")
    wanted = {_id(message) for message in messages or ()}
    by = act(command)
    with open_instance(config_path(ctx)) as instance:
        queue = _queue(instance)
        lines = [
            line
            for line in instance.run(queue.lines())
            if not wanted or wanted & {line.item.id, line.message_id}
            if _goes_to(line, domain)
        ]
        changed = 0
        with progress() as bar:
            for line in bar.track(lines, description=command):
                changed += instance.run(_awaited(change(queue, line, by)))
    if wanted and not changed:
        raise CommandFailed(
            "nothing that can be changed has this id (a message in the journal is under way): "
            "see mssante queue list"
        )
    return changed


async def _awaited(change: Awaitable[bool]) -> bool:
    return await change


def _id(text: str) -> OpaqueId:
    try:
        return parse_id(text)
    except ValueError as error:
        raise CommandFailed(str(error)) from None


def _goes_to(line: QueueLine, domain: str | None) -> bool:
    return domain is None or _way(line) == domain.lower()


def _way(line: QueueLine) -> str:
    return _HERE if isinstance(line.item, SpoolEntry) else line.item.domain


def _described(line: QueueLine, instance: Instance) -> dict[str, object]:
    """One line of the list."""
    item = line.item
    pseudonym = instance.pseudonyms.of_address
    if isinstance(item, SpoolEntry):
        sender, size = item.envelope.sender, item.blob.length
        recipients: tuple[Address, ...] = item.envelope.recipients
    else:
        sender, size = item.sender, len(item.prefix) + item.blob.length
        recipients = tuple(one.address for one in item.recipients)
    return {
        "id": id_text(item.id),
        "message": id_text(line.message_id),
        "to": _way(line),
        "state": line.state,
        "slot": line.slot,
        "acceptedAt": item.accepted_at.isoformat(timespec="milliseconds"),
        "sender": pseudonym(sender) if sender else None,
        "recipients": [pseudonym(recipient) for recipient in recipients],
        "size": size,
        "attempts": item.attempts,
        "dueAt": line.due_at.isoformat(timespec="milliseconds") if line.due_at else None,
        "why": line.why,
    }


def _detailed(line: QueueLine, instance: Instance) -> dict[str, object]:
    shown = _described(line, instance)
    if isinstance(line.item, SpoolEntry):
        return shown
    return {**shown, "recipients": [_outcome(one, instance) for one in line.item.recipients]}


def _outcome(one: RelayRecipient, instance: Instance) -> dict[str, object]:
    """How far a recipient has come. The other server's words may repeat an address: only its code
    is shown.
    """
    return {
        "recipient": instance.pseudonyms.of_address(one.address),
        "stage": one.stage.value,
        "status": one.status or None,
        "answer": one.diagnostic[:3] if one.diagnostic[:3].isdigit() else None,
        "host": one.remote or None,
        "at": one.at.isoformat(timespec="milliseconds") if one.at else None,
    }


def _queue(instance: Instance) -> StoredQueue:
    stores = instance.stores
    return StoredQueue(stores.layout, stores.keyring, stores.clock)
