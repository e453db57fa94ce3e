"""What is not carried, by names, archives, and a scanner's word."""

import zipfile
from email.message import EmailMessage
from io import BytesIO

import pytest

from mssante.mail.screening import AttachmentPolicy, Objection, ScannerUnavailable, Screening
from mssante.wire.mime.scanner import scan

POLICY = AttachmentPolicy(frozenset({"exe", "js"}), encrypted_archives=True)
STRICT = AttachmentPolicy(frozenset({"exe"}), encrypted_archives=False)


class Finder:
    """A scanner that finds one text."""

    async def scan(self, content):
        if b"unavailable" in content:
            raise ScannerUnavailable("no answer")
        return "Test.Found" if b"malicious" in content else None


def a_message(name=None, content=b"x", text="Bonjour"):
    message = EmailMessage()
    message["From"] = "a@b.fr"
    message.set_content(text)
    if name is not None:
        message.add_attachment(
            content, maintype="application", subtype="octet-stream", filename=name
        )
    return message.as_bytes(policy=message.policy.clone(linesep="\r\n"))


def a_zip(*names, encrypted=False):
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, "content")
    content = bytearray(stream.getvalue())
    if encrypted:  # the flag in the directory and in the member's header
        content[content.find(b"PK\x01\x02") + 8] |= 1
        content[6] |= 1
    return bytes(content)


async def judged(content, policy=POLICY, scanner=None, opened=()):
    return await Screening(policy, scanner).objection(content, scan(content), opened)


@pytest.mark.parametrize(
    "name",
    ["setup.exe", "SETUP.EXE", "compte rendu.pdf.exe", "setup.exe.", "setup.exe  ", "éàü.js"],
)
async def test_a_name_that_a_system_would_run_is_refused(name):
    objection = await judged(a_message(name))

    assert objection.cause == "attachment-type"
    assert objection.found in ("exe", "js")


@pytest.mark.parametrize("name", [None, "lettre.pdf", "exe", "setup.exe.pdf", "IHE_XDM.ZIP"])
async def test_other_names_pass(name):
    assert await judged(a_message(name)) is None


async def test_names_inside_an_archive_count_and_nothing_is_inflated():
    bad = a_message("docs.zip", a_zip("a.pdf", "dir/run.exe"))

    assert await judged(bad) == Objection("attachment-type", "exe")
    assert await judged(a_message("docs.zip", a_zip("a.pdf", "INDEX.HTM"))) is None
    assert await judged(a_message("docs.bin", a_zip("run.exe"))) == Objection(
        "attachment-type", "exe"
    )


async def test_an_archive_that_cannot_be_looked_into_is_a_matter_of_policy():
    secret = a_message("docs.zip", a_zip("a.pdf", encrypted=True))

    assert await judged(secret) is None
    assert await judged(secret, STRICT) == Objection("encrypted-archive", "zip")


async def test_what_is_no_archive_after_all_passes():
    assert await judged(a_message("docs.zip", b"PK\x03\x04 nothing more")) is None


async def test_what_the_scanner_finds_is_refused_also_inside_what_was_opened():
    assert await judged(a_message(text="malicious"), scanner=Finder()) == Objection(
        "malware", "Test.Found"
    )
    opened = [a_message(text="malicious")]
    assert (await judged(a_message(), scanner=Finder(), opened=opened)).cause == "malware"
    assert await judged(a_message(), scanner=Finder()) is None
    assert (await judged(a_message(), opened=[a_message("a.exe")])).cause == "attachment-type"


async def test_what_cannot_be_scanned_is_not_passed():
    with pytest.raises(ScannerUnavailable):
        await judged(a_message(text="unavailable"), scanner=Finder())
