"""How a command is told which patient: by the INS."""

from typing import Annotated

import typer

from mssante.cli.arguments import checked_ins
from mssante.cli.instance import Instance
from mssante.cli.output import CommandFailed
from mssante.directory.model import Patient
from mssante.directory.registration import default_ins_oid, number_space

InsOption = Annotated[
    str, typer.Option("--ins", help="15 characters; - reads standard input, @FILE a file.")
]
OidOption = Annotated[
    str | None,
    typer.Option(
        "--ins-oid", help="Authority of the INS; by default the NIR's (test in a sandbox)."
    ),
]


def by_ins(instance: Instance, ins: str, ins_oid: str | None) -> Patient:
    """The patient who has or had this INS; see `checked_ins` for its forms.

    Raises:
        InsError: it is not an INS.
        CommandFailed: no such patient.
    """
    asked = checked_ins(ins, ins_oid or default_ins_oid(sandbox=instance.sandbox))
    space = number_space(asked.oid, sandbox=instance.sandbox)
    for patient in instance.run(instance.directory.patients_by_ins(asked.matricule)):
        if patient.ins is None or number_space(patient.ins.oid, sandbox=instance.sandbox) == space:
            return patient
    raise CommandFailed("no patient has this INS: see mssante patient create")
