"""``mssante mailbox``: mailboxes and who may open them."""

from typing import Annotated, Final

import typer

from mssante.cli.arguments import config_path, read_secret_argument
from mssante.cli.instance import Instance, act, open_instance
from mssante.cli.output import CommandFailed, JsonOption, show, show_all
from mssante.directory.model import Mailbox, MailboxState, MailboxType, OpenTo
from mssante.kernel.address import Address

app: Final = typer.Typer(name="mailbox", help="Mailboxes.", no_args_is_help=True)
_PAGE: Final = 1000


@app.command(name="list")
def list_mailboxes(ctx: typer.Context, json: JsonOption = False) -> None:
    """List mailboxes by address; patients appear under their pseudonym."""
    with open_instance(config_path(ctx)) as instance:
        lines = []
        page = instance.run(instance.directory.list_mailboxes(limit=_PAGE))
        while page:
            lines += [described(each, instance) for each in page]
            after = page[-1].address.key
            page = instance.run(instance.directory.list_mailboxes(after=after, limit=_PAGE))
    show_all(lines, ("id", "type", "state", "address", "name"), as_json=json)


@app.command(name="show")
def show_mailbox(ctx: typer.Context, address: str, json: JsonOption = False) -> None:
    """Show a mailbox and who may open it; ADDRESS may be - (standard input) or @FILE."""
    with open_instance(config_path(ctx)) as instance:
        mailbox = by_address(instance, read_secret_argument(address))
        grants = instance.run(instance.directory.grants_on(mailbox.id))
        line = described(mailbox, instance)
        line["access"] = [
            {"login": account.login, "maySend": grant.may_send, "owner": grant.is_owner}
            for account, grant in grants
        ]
    show(line, as_json=json)


@app.command(name="set")
def set_mailbox(
    ctx: typer.Context,
    address: str,
    open_to_patients: Annotated[
        bool | None,
        typer.Option(
            "--open-to-patients/--no-open-to-patients",
            help="Whether patients may write first (a pharmacy's mailbox).",
        ),
    ] = None,
    patients: Annotated[
        OpenTo,
        typer.Option(
            help="With --open-to-patients: any patient of this operator, or those to whom the mailbox "
            "has written within twelve months."
        ),
    ] = OpenTo.ANY_PATIENT,
    state: Annotated[
        MailboxState | None, typer.Option(help="active, suspended or closed (members only).")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Change what a member's mailbox takes; ADDRESS may be - (standard input) or @FILE."""
    by = act("mailbox set")
    with open_instance(config_path(ctx)) as instance:
        mailbox = by_address(instance, read_secret_argument(address))
        if mailbox.patient_id is not None:
            raise CommandFailed("a patient's mailbox is changed by mssante patient")
        if open_to_patients is not None:
            check_may_open(mailbox)
            open_to = patients if open_to_patients else None
            instance.run(instance.registry.set_open_to_patients(mailbox.id, open_to, by))
        if state in (MailboxState.NOT_ACTIVATED, MailboxState.OBJECTED):
            raise CommandFailed("a member's mailbox is active, suspended or closed")
        if state is not None:
            instance.run(instance.registry.set_mailbox_state(mailbox.id, state, by))
        line = described(by_address(instance, str(mailbox.address)), instance)
    show(line, as_json=json)


def check_may_open(mailbox: Mailbox) -> None:
    """Refuse to open to patients what is no structure's.

    Raises:
        CommandFailed: it is not an organisation's mailbox.
    """
    if mailbox.type is not MailboxType.ORGANISATION or mailbox.organisation_id is None:
        raise CommandFailed("only an organisation's mailbox can be open to patients")


def by_address(instance: Instance, text: str) -> Mailbox:
    """The mailbox at an address that was typed.

    Raises:
        CommandFailed: there is none.
    """
    try:
        mailbox = instance.run(instance.directory.mailbox_by_address(Address.split(text)))
    except ValueError as error:
        raise CommandFailed(str(error)) from None
    if mailbox is None:
        raise CommandFailed("there is no mailbox with this address: see mssante mailbox list")
    return mailbox


def described(mailbox: Mailbox, instance: Instance) -> dict[str, object]:
    """A mailbox for a listing: a patient's address and name stay unsaid."""
    is_patient = mailbox.patient_id is not None
    return {
        "id": mailbox.id.hex(),
        "type": mailbox.type.value,
        "state": mailbox.state.value,
        "address": instance.pseudonyms.of_address(mailbox.address),
        "name": None if is_patient else mailbox.display_name,
        "patient": mailbox.patient_id.hex() if mailbox.patient_id else None,
        "organisation": mailbox.organisation_id.hex() if mailbox.organisation_id else None,
        "feedsDmp": mailbox.feeds_dmp,
        "openToPatients": mailbox.open_to_patients.value if mailbox.open_to_patients else None,
    }
