"""What a worker believes and shows is replaced while it serves; here, whom mail is believed."""

import logging
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from mssante.composition.certificates import Certificates
from mssante.kernel.clock import SystemClock
from mssante.renewal import FileWatch
from mssante.servers.metrics import Meters
from mssante.settings import load
from mssante.storage import files
from mssante.trust.mailbox_keys import MailboxKeys
from tests.support.mail_pki import MailPki
from tests.support.operator_pki import OperatorPki


@pytest.fixture(scope="module")
def operators(tmp_path_factory):
    made = OperatorPki(tmp_path_factory.mktemp("tls"), datetime.now(UTC))
    made.operator("own", "localhost")
    return made


@pytest.fixture(scope="module")
def mail():
    return MailPki()


@pytest.fixture
def anchor(tmp_path, mail):
    file = tmp_path / "anchor.pem"
    file.write_bytes(mail.root.certificate.public_bytes(Encoding.PEM))
    return file


@pytest.fixture
def revoked(tmp_path):
    """Where the revocation list will be; there is none yet."""
    return tmp_path / "list.crl"


@pytest.fixture
def started(tmp_path, operators, anchor, revoked):
    """Starts a worker's certificates; gives them and what watches their files."""
    (tmp_path / "mssante.toml").write_text(
        f"""
        [operator]
        domain = "a.example"
        [tls]
        certificate = "{operators.folder}/own.pem"
        key = "{operators.folder}/own.key"
        operator_certificate = "{operators.folder}/own.pem"
        operator_key = "{operators.folder}/own.key"
        peer_ca = "{operators.folder}/ca.pem"
        [smime]
        anchors = ["{anchor}"]
        revocation_lists = ["{revoked}"]
        """
    )

    def start():
        settings = load(tmp_path / "mssante.toml")
        keys = MailboxKeys(None, None, SystemClock())
        certificates = Certificates(settings, keys, Meters())
        return certificates, FileWatch(certificates.renewables(lambda _own: None))

    return start


def errors(caplog):
    return [record for record in caplog.records if record.levelno == logging.ERROR]


async def test_a_revocation_list_counts_from_when_it_is_there(started, mail, revoked, caplog):
    certificates, watch = started()
    await watch.look()
    before = certificates.mail
    assert before.anchors == (mail.root.certificate,)
    assert before.revocation_lists == ()

    await watch.look()
    assert certificates.mail is before  # what was found for it is still known
    revoked.write_bytes(mail.lists[0].public_bytes(Encoding.DER))
    await watch.look()

    assert certificates.mail.revocation_lists == (mail.lists[0],)
    assert errors(caplog) == []


@pytest.mark.parametrize("how", ["broken", "gone", "too large"])
async def test_an_anchor_that_cannot_be_used_leaves_the_former_one_in_force(
    started, anchor, caplog, monkeypatch, how
):
    certificates, watch = started()
    await watch.look()
    before = certificates.mail

    if how == "gone":
        anchor.unlink()
    elif how == "broken":
        anchor.write_bytes(b"no certificate")
    else:
        anchor.write_bytes(anchor.read_bytes() + b"\n" * files.MAX_FILE)
    await watch.look()

    assert certificates.mail is before
    [told] = errors(caplog)
    assert (told.message, told.what) == (
        "new files cannot be used, the former ones stay in force",
        "authorities and revocation lists for mail",
    )
    assert str(anchor) in told.why


async def test_a_worker_that_starts_with_a_broken_anchor_believes_nobody_until_it_is_right(
    started, mail, anchor, caplog
):
    good = anchor.read_bytes()
    anchor.write_bytes(b"no certificate")
    certificates, watch = started()
    assert certificates.mail.anchors == ()
    assert [told.message for told in errors(caplog)] == [
        "the authorities for mail cannot be read, nobody's signature is believed"
    ]

    anchor.write_bytes(good)
    await watch.look()

    assert certificates.mail.anchors == (mail.root.certificate,)
