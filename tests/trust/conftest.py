import pytest

from tests.support.mail_pki import MailPki


@pytest.fixture(scope="session")
def pki() -> MailPki:
    return MailPki()
