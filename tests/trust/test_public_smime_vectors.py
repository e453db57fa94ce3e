"""The public collection of S/MIME messages that may lie beside a checkout, each with its verdict."""

import hashlib
import json
from datetime import datetime

import pytest

from mssante.trust.anchors import Trust, read_certificates, read_revocation_lists
from mssante.trust.judgement import Policy, judge
from mssante.trust.key_files import read_keys

COUNT = 50


@pytest.fixture(scope="module")
def vectors(shared_data):
    folder = shared_data / "smime" if shared_data else None
    if folder is None or not (folder / "manifest.json").exists():
        pytest.skip("NO PUBLIC S/MIME VECTORS beside this checkout: they are not checked")
    return folder, json.loads((folder / "manifest.json").read_text("utf-8"))


def look(folder, manifest, vector, content=None, policy=Policy(), known=()):
    pki = folder / "pki"
    trust = Trust(
        read_certificates((pki / "anchors.pem").read_bytes()),
        tuple(
            one
            for name in known
            for one in read_certificates((pki / f"{name}.crt.pem").read_bytes())
        ),
        read_revocation_lists((pki / "crls.pem").read_bytes()),
    )
    recipient = vector.get("recipient")
    names = (f"{recipient}.crt.pem", f"{recipient}.key.pem") if recipient else ()
    keys = read_keys([(pki / name).read_bytes() for name in names])
    at = datetime.fromisoformat(manifest["validation_time"])
    octets = (folder / vector["file"]).read_bytes() if content is None else content
    return judge(octets, trust, keys, at=at, policy=policy)


def differences(judged, expected):
    found = {
        "verdict": judged.verdict.value,
        "reason": judged.reason,
        "decrypt": judged.decryption.value if judged.decryption else None,
        "protected_headers": judged.protected_headers,
        "warnings": set(expected.get("warnings", ())) <= set(judged.warnings),
    }
    wanted = {name: expected.get(name) for name in found} | {"warnings": True}
    if "plaintext_sha256" in expected:
        found["plaintext_sha256"] = hashlib.sha256(judged.plaintext or b"").hexdigest()
        wanted["plaintext_sha256"] = expected["plaintext_sha256"]
    return {name: (found[name], wanted[name]) for name in found if found[name] != wanted[name]}


def test_every_vector_gets_the_verdict_and_the_content_of_the_manifest(vectors):
    folder, manifest = vectors
    assert len(manifest["vectors"]) == COUNT

    wrong = {
        vector["file"]: differences(look(folder, manifest, vector), vector["expect"])
        for vector in manifest["vectors"]
    }

    assert {name: found for name, found in wrong.items() if found} == {}


def test_every_vector_gets_its_other_verdict_under_the_changed_setting(vectors):
    folder, manifest = vectors
    settings = {
        "intermediate_known": {"known": ["ica"]},
        "signer_and_intermediate_known": {"known": ["ica", "alice"]},
        "sender_accepted": {"policy": Policy(sender_may_differ=True)},
        "domain_bound_certs_accepted": {
            "policy": Policy(sealed_domains=frozenset({"chu-nord.mssante.example"}))
        },
    }
    seen = set()
    for vector in manifest["vectors"]:
        for setting, verdict in vector["expect"].get("verdict_if", {}).items():
            judged = look(folder, manifest, vector, **settings[setting])
            assert (vector["file"], judged.verdict.value) == (vector["file"], verdict)
            seen.add(setting)

    assert seen == set(settings)


def test_every_vector_gets_the_same_verdict_with_bare_line_feeds(vectors):
    folder, manifest = vectors
    for vector in manifest["vectors"]:
        content = (folder / vector["file"]).read_bytes().replace(b"\r\n", b"\n")
        judged = look(folder, manifest, vector, content)
        expected = vector["expect"]["verdict"]
        assert (vector["file"], judged.verdict.value) == (vector["file"], expected)
