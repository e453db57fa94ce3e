"""The list of commands, and what is loaded for one."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from mssante import cli
from mssante.cli.commands import NOUNS, VERBS, loaded

FOLDER = Path(cli.__file__).parent


def loaded_modules(code: str) -> set[str]:
    """What a new process has loaded after some code, as first words of two."""
    told = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules, file=sys.stderr)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {".".join(name.split(".")[:2]) for name in told.stderr.split()}


@pytest.mark.parametrize(("name", "sentence"), [*VERBS.items(), *NOUNS.items()])
def test_the_list_says_of_a_command_what_the_command_says_of_itself(name, sentence):
    command = loaded(name)

    assert command.name == name
    assert inspect.cleandoc(command.help).split("\n\n")[0].replace("\n", " ") == sentence


def test_every_file_with_commands_is_in_the_list():
    files = {file.stem for file in FOLDER.glob("*.py") if "\napp: Final" in file.read_text("utf-8")}

    assert files - {"__init__", "patient_contact"} == set(NOUNS)
    assert loaded("patient").commands["contact"].commands  # it stands below another


def test_to_list_the_commands_loads_none_of_them():
    modules = loaded_modules(
        "from mssante.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass"
    )

    assert "mssante.cli" in modules
    assert modules.isdisjoint({"sqlalchemy", "cryptography", "mssante.storage", "mssante.trust"})


def test_no_command_but_serve_loads_a_server():
    names = [name for name in (*VERBS, *NOUNS) if name != "serve"]
    modules = loaded_modules(
        f"from mssante.cli.commands import loaded\nfor name in {names}: loaded(name)"
    )

    assert "mssante.storage" in modules
    assert modules.isdisjoint(
        {"mssante.servers", "mssante.courier", "aiosmtpd", "uvicorn", "starlette", "uvloop"}
    )
    assert "alembic" not in modules  # slow, and only for another version of the databases


def test_a_name_that_is_nearly_a_command_is_corrected(run):
    outcome = run("trsut", "show")

    assert outcome.code == 2
    assert "trust" in outcome.err


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("mssante tru", ["trust"]),
        ("mssante trust sh", ["show"]),
        ("mssante patient contact unb", ["unblock"]),
        ("mssante trust show --js", ["--json"]),
        ("mssante reload --he", ["--help"]),
    ],
)
def test_a_shell_completes_commands_verbs_and_options(run, monkeypatch, typed, completed):
    monkeypatch.setenv("_MSSANTE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(typed.count(" ")))

    assert run().out.split() == completed
