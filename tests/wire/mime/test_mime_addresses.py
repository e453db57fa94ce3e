"""The strict gate of SMTP addresses."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mssante.kernel.address import Address
from mssante.wire.mime.addresses import parse_address


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("anne.martin@hopital.example", "anne.martin", "hopital.example"),
        ("Anne@Hopital.TEST", "Anne", "hopital.test"),
        ("255069910012345@patient.mssante.invalid", "255069910012345", "patient.mssante.invalid"),
        ("a+b_c-d'e@x.localhost", "a+b_c-d'e", "x.localhost"),
        ("postmaster@host", "postmaster", "host"),
        ("a@xn--caf-dma.example", "a", "xn--caf-dma.example"),
        ("a" * 64 + "@b.example", "a" * 64, "b.example"),
    ],
)
def test_a_good_address_is_taken_apart(text, local, domain):
    assert parse_address(text) == Address(local, domain)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "a",
        "a@",
        "@b.example",
        "a@b@c.example",
        ".a@b.example",
        "a.@b.example",
        "a..b@c.example",
        "a b@c.example",
        " a@c.example",
        "a@c.example ",
        '"a"@b.example',
        "a@[192.0.2.1]",
        "a@-b.example",
        "a@b_c.example",
        "a@b..example",
        "a@b.example.",
        "a@b.example\r\nRCPT TO:<c@d.example>",
        "a\0@b.example",
        "<a@b.example>",
        "Anne <a@b.example>",
        "é@b.example",
        "a@é.example",
        "a(comment)@b.example",
        "a" * 65 + "@b.example",
        "a@" + "b" * 64 + ".example",
        "a@" + "b." * 130 + "example",
    ],
)
def test_a_bad_address_is_refused_without_repeating_it(text):
    with pytest.raises(ValueError, match=r"^the (address|part)") as caught:
        parse_address(text)

    assert "example" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_refusal_says_which_side_is_wrong():
    with pytest.raises(ValueError, match="before the @"):
        parse_address("a..b@c.example")
    with pytest.raises(ValueError, match="after the @"):
        parse_address("a@c..example")


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_an_address_or_refused(text):
    try:
        address = parse_address(text)
    except ValueError:
        return
    assert str(address).lower() == text.lower()
