"""S/MIME parts beside others: what they are is told, and a heap of them costs no more than a few."""

from base64 import encodebytes

import pytest

from mssante.wire.mime.scanner import scan
from mssante.wire.smime import recognition
from mssante.wire.smime.limits import SmimeLimits
from mssante.wire.smime.recognition import Beside, beside

SIGNATURE = b"signature"


def an_entity(types):
    parts = [b"Content-Type: text/plain\r\n\r\nhello\r\n"]
    for kind in types:
        parts.append(
            b"Content-Type: application/pkcs7-"
            + (SIGNATURE if kind is SIGNATURE else b"mime")
            + (b"; smime-type=" + kind if kind not in (b"", SIGNATURE) else b"")
            + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            + encodebytes(b"no object at all").replace(b"\n", b"\r\n")
        )
    body = b"".join(b"--x\r\n" + part + b"\r\n" for part in parts) + b"--x--\r\n"
    return b'Content-Type: multipart/mixed; boundary="x"\r\n\r\n' + body


def what_is_beside(*types, most=2):
    entity = an_entity(types)
    return beside(entity, scan(entity), SmimeLimits(max_beside=most))


@pytest.mark.parametrize(
    ("types", "found"),
    [
        ([], Beside(signed=False, encrypted=False)),
        # What cannot be read is what its label says.
        ([b"signed-data"], Beside(signed=True, encrypted=False)),
        ([b"enveloped-data"], Beside(signed=False, encrypted=True)),
        ([b""], Beside(signed=False, encrypted=False)),
        # The third is not read.
        ([b"", b"", b"signed-data"], Beside(signed=True, encrypted=True)),
        ([b"", b"", SIGNATURE], Beside(signed=True, encrypted=False)),
        ([b"", b"", b"enveloped-data"], Beside(signed=False, encrypted=True)),
        ([b"", b"", b""], Beside(signed=False, encrypted=True)),
    ],
)
def test_what_stands_beside_other_parts(types, found):
    assert what_is_beside(*types) == found


def test_of_a_heap_of_objects_a_few_are_read(monkeypatch):
    asked = []
    real = recognition.read_cms
    monkeypatch.setattr(recognition, "read_cms", lambda *given: asked.append(given) or real(*given))

    what_is_beside(*[b"signed-data"] * 50)

    assert len(asked) == 2
