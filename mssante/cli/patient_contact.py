"""``mssante patient contact``: to whom a patient may write, and from whom the patient takes nothing.

Until the portal has it, an administrator does here what the patient asks for. Contacts are opened and
closed by professionals' messages, never here.
"""

from datetime import datetime
from typing import Annotated, Final

import typer

from mssante.cli.arguments import config_path, read_secret_argument
from mssante.cli.instance import Instance, act, open_instance
from mssante.cli.output import CommandFailed, JsonOption, note, show_all
from mssante.cli.patient_choice import InsOption, OidOption, by_ins
from mssante.kernel.address import Address
from mssante.kernel.opaque import OpaqueId
from mssante.mail.contacts import ContactLine
from mssante.wire.mime.addresses import parse_address

app: Final = typer.Typer(name="contact", help="A patient's contacts.", no_args_is_help=True)

_Address = Annotated[str, typer.Argument(help="The sender's; @FILE reads it from a file.")]


@app.command(name="list")
def list_contacts(
    ctx: typer.Context, ins: InsOption, ins_oid: OidOption = None, json: JsonOption = False
) -> None:
    """List whom the patient may answer, who has closed, and who is blocked; the latest first."""
    with open_instance(config_path(ctx)) as instance:
        mailbox_id = mailbox_of(instance, ins, ins_oid)
        lines = instance.run(instance.contacts.contacts_of(mailbox_id))
    columns = ("address", "open", "openedAt", "closedAt", "cause", "blockedAt")
    show_all([_described(line) for line in lines], columns, as_json=json)


@app.command()
def block(ctx: typer.Context, address: _Address, ins: InsOption, ins_oid: OidOption = None) -> None:
    """Take nothing more from a sender; the sender hears what a closed mailbox says."""
    with open_instance(config_path(ctx)) as instance:
        mailbox_id = mailbox_of(instance, ins, ins_oid)
        done = instance.run(
            instance.contacts.block(mailbox_id, _address(address), act("patient contact block"))
        )
    note("the sender is blocked" if done else "the sender was blocked already")


@app.command()
def unblock(
    ctx: typer.Context, address: _Address, ins: InsOption, ins_oid: OidOption = None
) -> None:
    """Take messages of a sender again."""
    with open_instance(config_path(ctx)) as instance:
        mailbox_id = mailbox_of(instance, ins, ins_oid)
        done = instance.run(
            instance.contacts.unblock(mailbox_id, _address(address), act("patient contact unblock"))
        )
    if not done:
        raise CommandFailed("this sender is not blocked: see mssante patient contact list")
    note("the sender is not blocked any more")


def mailbox_of(instance: Instance, ins: str, ins_oid: str | None) -> OpaqueId:
    """The mailbox of the patient who has this INS.

    Raises:
        CommandFailed: there is none.
    """
    patient = by_ins(instance, ins, ins_oid)
    if patient.mailbox_id is None:
        raise CommandFailed("this patient has no mailbox")
    return patient.mailbox_id


def _address(text: str) -> Address:
    try:
        return parse_address(read_secret_argument(text))
    except ValueError as error:
        raise CommandFailed(str(error)) from None


def _described(line: ContactLine) -> dict[str, object]:
    def text(at: datetime | None) -> str | None:
        return at.isoformat(timespec="milliseconds") if at is not None else None

    return {
        "address": str(line.address),
        "open": line.is_open,
        "openedAt": text(line.opened_at),
        "closedAt": text(line.closed_at),
        "cause": line.cause or None,
        "blockedAt": text(line.blocked_at),
    }
