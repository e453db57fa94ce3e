from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssante.wire.sasl.credentials import PasswordCredentials, SaslError
from mssante.wire.sasl.exchange import MAX_LINE_OCTETS, MECHANISMS, decode_line, mechanism_named
from mssante.wire.sasl.plain import parse_plain
from mssante.wire.sasl.saslprep import saslprep

PART = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=60
)


@given(st.one_of(st.just(""), PART), PART, PART)
def test_what_a_client_packs_is_what_we_read(authzid, authcid, password):
    packed = f"{authzid}\0{authcid}\0{password}".encode()

    assert parse_plain(packed) == PasswordCredentials(authzid, authcid, password)


@given(st.binary(max_size=2000))
def test_any_bytes_are_credentials_or_a_sasl_error(message):
    try:
        parse_plain(message)
    except SaslError:
        pass


@pytest.mark.parametrize(
    "message",
    [b"", b"a\0b", b"a\0b\0c\0d", b"\0\0password", b"\0login\0", b"\0lo\xffgin\0p", b"\0" + b"l" * 256 + b"\0p",
     b"\0l\0" + b"p" * 1025, b"z" * 256 + b"\0l\0p"],
)  # fmt: skip
def test_a_malformed_plain_message_is_refused(message):
    with pytest.raises(SaslError):
        parse_plain(message)


def test_the_password_does_not_show():
    assert "secret" not in repr(parse_plain(b"\0login\0secret"))


def test_login_prompts_are_those_that_outlook_knows():
    exchange = mechanism_named("login")

    assert b64encode(exchange.step(None)) == b"VXNlcm5hbWU6"
    assert b64encode(exchange.step(b"alice")) == b"UGFzc3dvcmQ6"
    assert exchange.step(b"secret") == PasswordCredentials("", "alice", "secret")


def test_login_takes_the_login_as_initial_response():
    exchange = mechanism_named("LOGIN")

    assert exchange.step(b"alice") == b"Password:"


def test_plain_without_initial_response_asks_for_it():
    exchange = mechanism_named("PLAIN")

    assert exchange.step(None) == b""
    assert exchange.step(b"\0a\0b") == PasswordCredentials("", "a", "b")


def test_unknown_mechanisms_are_not_spoken():
    assert mechanism_named("CRAM-MD5") is None
    assert list(MECHANISMS) == ["PLAIN", "LOGIN"]


@pytest.mark.parametrize(
    "line", [b"*", b"a", b"####", b"AAA=\r", b"A" * (MAX_LINE_OCTETS + 4), b"=", "é".encode()]
)
def test_a_line_that_is_not_base64_is_refused(line):
    with pytest.raises(SaslError):
        decode_line(line)


def test_a_lone_equals_sign_is_an_empty_initial_response():
    assert decode_line(b"=", initial=True) == b""


def test_the_longest_credentials_fit_a_line():
    longest = b"z" * 255 + b"\0" + b"l" * 255 + b"\0" + b"p" * 1024

    assert parse_plain(decode_line(b64encode(longest))).password == "p" * 1024


# RFC 4013 section 3
@pytest.mark.parametrize(
    ("typed", "prepared"),
    [
        ("I­X", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("ª", "a"),
        ("Ⅸ", "IX"),
        ("é", "é"),
        ("a b", "a b"),
    ],
)
def test_saslprep_gives_one_form(typed, prepared):
    assert saslprep(typed) == prepared


@pytest.mark.parametrize("typed", ["", "­", "\x07", "ا1", "�"])
def test_saslprep_refuses_what_rfc_4013_forbids(typed):
    with pytest.raises(SaslError):
        saslprep(typed)
