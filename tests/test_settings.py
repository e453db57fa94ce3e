import dataclasses
import re
import tomllib
from pathlib import Path

import pytest

from mssante.settings import Listeners, Settings, SettingsError, load

SHIPPED = Path(__file__).parents[1] / "config" / "mssante.toml"


def written(directory: Path, text: str) -> Path:
    file = directory / "mssante.toml"
    file.write_text(text, encoding="utf-8")
    return file


def problems(directory: Path, text: str, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load(written(directory, text), environment or {})
    return "\n".join(caught.value.problems)


MINIMUM = '[operator]\ndomain = "hopital.example"\n'


def uncommented() -> str:
    """The shipped example with each `#key = default` line made real."""
    lines = SHIPPED.read_text(encoding="utf-8").splitlines()
    return "\n".join(
        line[1:] if line.startswith("#") and line[1:2].islower() else line for line in lines
    )


def test_the_smallest_file_gives_every_default_with_paths_beside_it(tmp_path):
    settings = load(written(tmp_path, MINIMUM), {})

    assert settings.operator.domain == "hopital.example"
    assert settings.storage.directory == tmp_path / "data"
    assert settings.keys.master_key == tmp_path / "keys/master.key"
    assert settings.listeners.imaps.port == 993
    assert settings.listeners.submission.port == 587
    assert settings.directory == tmp_path


def test_the_shipped_example_is_usable_as_it_stands():
    load(SHIPPED, {})


def test_the_shipped_example_documents_every_key_with_its_default():
    documented = tomllib.loads(uncommented())
    for section in dataclasses.fields(Settings):
        if section.name == "file":
            continue
        keys = documented.pop(section.name)
        if section.name == "listeners":
            expected = {
                f.name: dataclasses.asdict(getattr(Listeners(), f.name))
                for f in dataclasses.fields(Listeners)
            }
        else:
            expected = {f.name: f.default for f in dataclasses.fields(section.type)}
        for name, default in expected.items():
            value = keys.pop(name)
            if default is dataclasses.MISSING:
                continue
            if isinstance(default, Path):
                default = str(default)
            if isinstance(default, tuple):
                default = [str(each) for each in default]
            assert value == default, f"{section.name}.{name}"
        assert keys == {}
    assert documented == {}


def test_the_example_with_every_key_made_real_means_the_same_as_with_none(tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    full = load(written(tmp_path, uncommented()), {})
    bare = load(written(other, MINIMUM), {})

    assert dataclasses.asdict(full)["limits"] == dataclasses.asdict(bare)["limits"]
    assert full.listeners == bare.listeners
    assert full.workers.roles == bare.workers.roles


def test_an_unknown_key_names_the_nearest_known_one(tmp_path):
    told = problems(tmp_path, MINIMUM + "[limits]\nmesage_bytes = 1\n")

    assert told == "limits.mesage_bytes: no such key, did you mean message_bytes?"


def test_an_unknown_section_names_the_nearest_known_one(tmp_path):
    assert "listners: no such section, did you mean listeners?" in problems(
        tmp_path, MINIMUM + "[listners.imap]\nport = 1\n"
    )


def test_an_unknown_key_without_a_near_one_lists_those_that_exist(tmp_path):
    assert "known are level" in problems(tmp_path, MINIMUM + "[logging]\nzzz = 1\n")


def test_all_problems_are_told_at_once(tmp_path):
    told = problems(
        tmp_path,
        "[operator]\nsandbox = 1\n[limits]\nrecipients = true\nmessage_bytes = 5\n"
        '[filing]\nreport = "never"\n[workers]\nroles = "imap"\n[listeners.imap]\nport = 70000\n',
    )

    assert told.splitlines() == [
        "operator.domain: is required",
        "operator.sandbox: must be true or false",
        "listeners.imap.port: must be between 1 and 65535, not 70000",
        "limits.message_bytes: must be between 65536 and 268435456, not 5",
        "limits.recipients: must be a whole number",
        "filing.report: must be one of problems, always",
        "workers.roles: must be a list, written [...]",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("operator = 3\n", "operator: must be a section, written [operator]"),
        (MINIMUM + "[listeners]\nimap = 3\n", "listeners.imap: must be a section"),
        ('[operator]\ndomain = "Hopital.Example"\n', "is not a domain in lower case"),
        ('[operator]\ndomain = "-a.example"\n', "is not a domain in lower case"),
        (MINIMUM + 'patient_domains = ["hopital.example"]\n', "may not contain the domain"),
        (MINIMUM + 'oid_arc = "1.02"\n', "operator.oid_arc: must be an OID"),
        (MINIMUM + "[listeners.imap]\nport = 993\n", "993 is taken by listeners.imap"),
        (MINIMUM + "[workers]\nroles = []\n", "workers.roles: names no role"),
        (
            MINIMUM + '[workers]\nroles = ["ldap"]\n',
            "workers.roles: must be one of submission, reception, imap",
        ),
        (MINIMUM + "[storage]\ndirectory = 3\n", "storage.directory: must be a text in quotes"),
        (MINIMUM + '[storage]\ndatabase_url = "mysql://x/y"\n', "must begin with postgresql://"),
        ("not toml", "is not TOML"),
    ],
)
def test_what_is_wrong_is_said_with_the_path_of_its_key(tmp_path, text, problem):
    assert problem in problems(tmp_path, text)


def test_a_password_in_the_file_is_refused_and_not_repeated(tmp_path):
    told = problems(
        tmp_path, MINIMUM + '[storage]\ndatabase_url = "postgresql://u:verysecret@h/d"\n'
    )

    assert "MSSANTE_DATABASE_URL" in told
    assert "verysecret" not in told


def test_the_environment_gives_the_database_url_and_repr_hides_it(tmp_path):
    url = "postgresql://u:verysecret@h/d"

    settings = load(written(tmp_path, MINIMUM), {"MSSANTE_DATABASE_URL": url})

    assert settings.storage.database_url == url
    assert "verysecret" not in repr(settings)


def test_a_file_that_cannot_be_read_says_why(tmp_path):
    with pytest.raises(SettingsError, match="No such file"):
        load(tmp_path / "absent.toml")


def test_a_huge_file_is_not_read_whole(tmp_path):
    file = tmp_path / "mssante.toml"
    file.write_bytes(b"#" * (2 << 20))

    with pytest.raises(SettingsError, match="larger than 1 MiB"):
        load(file)


def test_a_disabled_listener_may_share_a_port(tmp_path):
    text = MINIMUM + "[listeners.imap]\nport = 993\nenabled = false\n"

    assert load(written(tmp_path, text), {}).listeners.imap.enabled is False


def test_every_setting_is_read_somewhere():
    """A setting that nothing reads is a promise that nobody keeps."""
    package = SHIPPED.parents[1] / "mssante"
    code = "".join(
        file.read_text(encoding="utf-8")
        for file in package.rglob("*.py")
        if file != package / "settings.py"
    )
    for section in dataclasses.fields(Settings):
        if section.name in {"file", "listeners"}:
            continue
        for key in dataclasses.fields(section.type):
            spoken = rf"\b(?:settings\.{section.name}|{section.name})\.{key.name}\b"
            assert re.search(spoken, code), f"{section.name}.{key.name}"
