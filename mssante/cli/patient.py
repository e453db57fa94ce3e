"""``mssante patient``: registered patients, their mailbox and their DMP.

Every option that takes an INS also takes ``-`` (standard input) or ``@FILE``, so that it need not
stand in the process list. Listings show the pseudonym.
"""

from datetime import datetime
from typing import Annotated, Final

import typer

from mssante.cli import patient_contact
from mssante.cli.arguments import checked_ins, config_path
from mssante.cli.instance import Instance, act, open_instance
from mssante.cli.output import JsonOption, note, show, show_all
from mssante.cli.patient_choice import InsOption, OidOption, by_ins
from mssante.directory.model import Mailbox, MailboxState, Patient
from mssante.directory.registration import default_ins_oid
from mssante.kernel.opaque import OpaqueId
from mssante.kernel.traits import IdentityStatus, Sex, Traits

app: Final = typer.Typer(name="patient", help="Registered patients.", no_args_is_help=True)
app.add_typer(patient_contact.app)
_PAGE: Final = 1000


@app.command()
def create(
    ctx: typer.Context,
    ins: InsOption,
    birth_name: Annotated[str, typer.Option(help="As on the birth certificate.")],
    given: Annotated[str, typer.Option(help='All given names of the birth certificate: "A B".')],
    sex: Annotated[Sex, typer.Option(help="Administrative gender.")],
    birth_date: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="YYYY-MM-DD.")],
    ins_oid: OidOption = None,
    first_given: Annotated[
        str | None, typer.Option(help="First given name, when it is not the first of the list.")
    ] = None,
    birth_place: Annotated[str | None, typer.Option(help="INSEE code, 5 characters.")] = None,
    identity_status: Annotated[
        IdentityStatus | None,
        typer.Option(
            help="By default QUAL in a sandbox when all five traits are given, else PROV."
        ),
    ] = None,
    not_activated: Annotated[
        bool, typer.Option("--not-activated", help="The mailbox receives, but nobody reads it yet.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Register a patient; opens the mailbox (activated) and the DMP."""
    traits = Traits(birth_name, given, first_given, sex.value, f"{birth_date:%Y%m%d}", birth_place)
    with open_instance(config_path(ctx)) as instance:
        oid = ins_oid or default_ins_oid(sandbox=instance.sandbox)
        patient, mailbox, _ = instance.run(
            instance.registration.patient(
                checked_ins(ins, oid),
                traits,
                act("patient create"),
                status=identity_status,
                activated=not not_activated,
            )
        )
        line = described(patient, instance) | {"address": str(mailbox.address)}
    show(line, as_json=json)


@app.command(name="show")
def show_patient(
    ctx: typer.Context, ins: InsOption, ins_oid: OidOption = None, json: JsonOption = False
) -> None:
    """Show a patient's registered identity."""
    with open_instance(config_path(ctx)) as instance:
        patient = by_ins(instance, ins, ins_oid)
        traits = patient.traits
        line = described(patient, instance) | {
            "birthName": traits.birth_name,
            "given": traits.given_names,
            "firstGiven": traits.first_given,
            "sex": traits.sex,
            "birthDate": traits.birth_date,
            "birthPlace": traits.birth_place,
        }
    show(line, as_json=json)


@app.command(name="list")
def list_patients(ctx: typer.Context, json: JsonOption = False) -> None:
    """List the patients, under their pseudonym."""
    with open_instance(config_path(ctx)) as instance:
        lines = []
        page = instance.run(instance.directory.list_patients(limit=_PAGE))
        while page:
            lines += [described(each, instance) for each in page]
            page = instance.run(instance.directory.list_patients(after=page[-1].id, limit=_PAGE))
    show_all(lines, ("id", "patient", "identityStatus", "dmpActive"), as_json=json)


@app.command()
def activate(ctx: typer.Context, ins: InsOption, ins_oid: OidOption = None) -> None:
    """Open the mailbox of a patient to its reader."""
    with open_instance(config_path(ctx)) as instance:
        patient = by_ins(instance, ins, ins_oid)
        instance.run(instance.registry.activate_patient(patient.id, act("patient activate")))
    note("the mailbox is activated")


@app.command()
def close(ctx: typer.Context, ins: InsOption, ins_oid: OidOption = None) -> None:
    """Close the space: messages are refused from now on; what is there stays. `activate` opens it."""
    _set_state(ctx, ins, ins_oid, MailboxState.CLOSED, "patient close")
    note("the mailbox is closed")


@app.command(name="object")
def note_objection(ctx: typer.Context, ins: InsOption, ins_oid: OidOption = None) -> None:
    """Note that the patient objects to the space; senders hear what a closed one says."""
    _set_state(ctx, ins, ins_oid, MailboxState.OBJECTED, "patient object")
    note("the objection is noted: messages are refused")


@app.command()
def invitations(
    ctx: typer.Context,
    take: Annotated[
        bool,
        typer.Option("--take", help="Mark those that are listed as taken over by who sends them."),
    ] = False,
    all_of_them: Annotated[
        bool, typer.Option("--all", help="Also those that were taken over already.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """List patients who are not activated and for whom messages wait: they are to be invited.

    The invitation itself goes by a way outside this closed network (letter, SMS, ordinary e-mail), to
    an address that is not kept here: export the list to who has it.
    """
    with open_instance(config_path(ctx)) as instance:
        waiting = instance.run(instance.contacts.invitations())
        ids = [one.mailbox_id for one in waiting]
        mailboxes: dict[OpaqueId, Mailbox] = {}
        for start in range(0, len(ids), _PAGE):
            mailboxes |= instance.run(instance.directory.mailboxes(ids[start : start + _PAGE]))
        lines = []
        for one in waiting:
            mailbox = mailboxes.get(one.mailbox_id)
            if mailbox is None or mailbox.state is not MailboxState.NOT_ACTIVATED:
                continue
            if one.sent_at is not None and not all_of_them:
                continue
            lines.append(
                {
                    "id": mailbox.patient_id.hex() if mailbox.patient_id else None,
                    "patient": instance.pseudonyms.of(mailbox.address.local),
                    "askedAt": one.asked_at.isoformat(timespec="milliseconds"),
                    "lastMessageAt": one.last_at.isoformat(timespec="milliseconds"),
                    "messages": one.messages,
                    "takenAt": one.sent_at.isoformat(timespec="milliseconds")
                    if one.sent_at
                    else None,
                }
            )
            if take and one.sent_at is None:
                instance.run(
                    instance.contacts.mark_invitation_sent(
                        one.mailbox_id, act("patient invitations")
                    )
                )
    show_all(lines, ("id", "patient", "askedAt", "messages", "takenAt"), as_json=json)


def _set_state(
    ctx: typer.Context, ins: str, ins_oid: str | None, state: MailboxState, command: str
) -> None:
    with open_instance(config_path(ctx)) as instance:
        patient = by_ins(instance, ins, ins_oid)
        instance.run(instance.registry.set_patient_state(patient.id, state, act(command)))


def described(patient: Patient, instance: Instance) -> dict[str, object]:
    """A patient for a listing."""
    return {
        "id": patient.id.hex(),
        "patient": instance.pseudonyms.of(patient.ins.matricule) if patient.ins else None,
        "identityStatus": patient.status.value,
        "dmpActive": patient.dmp_active,
        "mailbox": patient.mailbox_id.hex() if patient.mailbox_id else None,
    }
