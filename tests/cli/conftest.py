"""Commands under test run in this process, on a real demo instance."""

import json as json_module
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from mssante import cli


@dataclass
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json_module.loads(self.out)


@pytest.fixture
def run(capsys, monkeypatch) -> Callable[..., Outcome]:
    """Run ``mssante ARGUMENTS`` with a given standard input."""
    monkeypatch.delenv("MSSANTE_CONFIG", raising=False)

    def run_it(*arguments: object, stdin: str = "") -> Outcome:
        monkeypatch.setattr(sys, "stdin", StringIO(stdin))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), out, err)

    return run_it


@pytest.fixture(scope="session")
def _made_once(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("instance") / "demo"
    with pytest.raises(SystemExit) as ended:
        cli.main(["init", str(directory), "--demo", "--domain", "tests.example"])
    assert ended.value.code == 0
    return directory


@pytest.fixture
def demo(_made_once, tmp_path) -> Path:
    """A demo instance of one's own (a copy: it lives by relative paths)."""
    return Path(shutil.copytree(_made_once, tmp_path / "demo"))


@pytest.fixture
def mssante(run, demo):
    """Run a command on the demo instance."""
    return lambda *arguments, stdin="": run("-c", demo / "mssante.toml", *arguments, stdin=stdin)
