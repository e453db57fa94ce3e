"""The documentation keeps up with the code."""

import re
import stat
from pathlib import Path

import pytest

from mssante.cli.commands import NOUNS, VERBS

ROOT = Path(__file__).parents[2]


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def cited_rfcs() -> set[str]:
    files = (ROOT / "mssante").rglob("*.py")
    return {rfc for file in files for rfc in re.findall(r"RFC (\d{4,5})", file.read_text("utf-8"))}


def test_every_rfc_that_the_code_cites_has_a_row_in_the_table_of_standards():
    rows = set(re.findall(r"^\| RFC (\d+) \|", text_of("docs/standards.md"), re.MULTILINE))

    assert cited_rfcs() - rows == set()


def test_every_row_of_the_table_of_standards_has_a_known_status():
    rows = re.findall(r"^\| (.+) \|$", text_of("docs/standards.md"), re.MULTILINE)
    statuses = {
        row.split(" | ")[2].strip(" |") for row in rows if not row.startswith(("Document", "---"))
    }

    assert statuses == {"yes", "partial", "planned"}


def test_the_first_screen_of_the_readme_says_that_this_is_not_the_national_service():
    beginning = "\n".join(text_of("README.md").splitlines()[:20])

    assert "Independent software, not affiliated with or approved by ANS or Cnam" in beginning


def test_the_readme_fits_on_two_screens():
    assert len(text_of("README.md").splitlines()) <= 90


@pytest.mark.parametrize("noun", sorted((*VERBS, *NOUNS)))
def test_every_noun_of_the_commands_is_in_the_manual(noun):
    manual = "".join(file.read_text("utf-8") for file in (ROOT / "docs" / "manual").glob("*.md"))

    assert f"mssante {noun}" in manual


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/manual/administrator.md"]
)
def test_links_inside_the_repository_lead_somewhere(name):
    base = (ROOT / name).parent
    for target in re.findall(r"\]\(([^)#]+)\)", text_of(name)):
        if "://" not in target:
            assert (base / target).exists(), f"{name}: {target}"


def test_scripts_can_be_run():
    for name in ("scripts/demo", "scripts/test", ".ci/run"):
        assert (ROOT / name).stat().st_mode & stat.S_IXUSR, name


def test_hidden_alone_is_not_a_word_for_a_document_of_the_record():
    for folder in ("dmp", "filing", "wire/cda", "wire/xds"):
        for file in (ROOT / "mssante" / folder).rglob("*.py"):
            assert not re.search(r"\bhidden\b", file.read_text("utf-8"), re.IGNORECASE), file


def test_the_manual_shows_the_table_of_who_may_write_to_whom():
    from mssante.mail.rules.who_may_write import TABLE, Party

    rows = [
        f"| {sender} | {' | '.join(row[to] for to in Party)} |" for sender, row in TABLE.items()
    ]

    assert "\n".join(rows) in text_of("docs/manual/administrator.md")
