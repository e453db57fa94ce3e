"""``mssante queue``: messages that are accepted and not wholly done."""

from typing import Final

import typer

from mssante.cli.instance import Instance, config_path, open_instance
from mssante.cli.output import CommandFailed, JsonOption, note, show_all
from mssante.kernel.opaque import id_text, parse_id
from mssante.storage.queue import QueueLine, StoredQueue

app: Final = typer.Typer(name="queue", help="Accepted messages on their way.", no_args_is_help=True)


@app.command(name="list")
def list_queue(ctx: typer.Context, json: JsonOption = False) -> None:
    """List what waits, oldest first; patients appear under their pseudonym."""
    with open_instance(config_path(ctx)) as instance:
        lines = [described(line, instance) for line in instance.run(_queue(instance).lines())]
    show_all(lines, ("id", "state", "acceptedAt", "size", "recipients", "why"), as_json=json)


@app.command(name="retry")
def retry(ctx: typer.Context, message: str) -> None:
    """Try a message again now that was deferred or set aside; MESSAGE is its id in the list."""
    try:
        entry_id = parse_id(message)
    except ValueError as error:
        raise CommandFailed(str(error)) from None
    with open_instance(config_path(ctx)) as instance:
        found = instance.run(_queue(instance).retry(entry_id))
    if not found:
        raise CommandFailed("no deferred message has this id: see mssante queue list")
    note("the message is tried again within a second where the server runs")


def described(line: QueueLine, instance: Instance) -> dict[str, object]:
    """One line of the list."""
    envelope = line.entry.envelope
    pseudonym = instance.pseudonyms.of_address
    return {
        "id": id_text(line.entry.id),
        "state": line.state,
        "slot": line.slot,
        "acceptedAt": line.entry.accepted_at.isoformat(timespec="milliseconds"),
        "sender": pseudonym(envelope.sender) if envelope.sender else None,
        "recipients": [pseudonym(recipient) for recipient in envelope.recipients],
        "size": line.entry.blob.length,
        "attempts": line.entry.attempts,
        "dueAt": line.due_at.isoformat(timespec="milliseconds") if line.due_at else None,
        "why": line.why,
    }


def _queue(instance: Instance) -> StoredQueue:
    stores = instance.stores
    return StoredQueue(stores.layout, stores.keyring, stores.clock)
