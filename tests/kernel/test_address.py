import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mssante.kernel.address import Address, matricule_of, patient_address
from mssante.kernel.ins import InsError, matricule_key

locals_ = st.text(string.ascii_letters + string.digits + "._-+@", min_size=1, max_size=40)
domains = st.from_regex(r"[A-Za-z0-9]{1,10}(\.[A-Za-z0-9]{1,10}){0,3}", fullmatch=True)
bodies = st.from_regex(r"[12][0-9]{2}(0[1-9]|1[0-2])([0-9]{2}|2[AB])[0-9]{6}", fullmatch=True)


@given(locals_, domains)
def test_an_address_is_cut_at_its_last_at_sign(local, domain):
    address = Address.split(f"{local}@{domain}")

    assert (address.local, address.domain) == (local, domain.lower())


@given(locals_, domains)
def test_two_spellings_have_one_key(local, domain):
    assert (
        Address.split(f"{local.upper()}@{domain}").key
        == Address.split(f"{local.lower()}@{domain.upper()}").key
    )


@pytest.mark.parametrize("text", ["", "@", "a@", "@b", "ab"])
def test_what_lacks_a_side_is_no_address(text):
    with pytest.raises(ValueError, match="local-part@domain"):
        Address.split(text)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_a_value_error(text):
    try:
        address = Address.split(text)
    except ValueError:
        return
    assert address.local
    assert address.domain


@given(bodies, domains)
def test_a_patients_address_leads_back_to_the_ins_whatever_its_case(body, domain):
    matricule = f"{body}{matricule_key(body):02d}"
    address = patient_address(matricule, domain)

    assert matricule_of(address) == matricule
    assert matricule_of(Address(address.local.lower(), domain)) == matricule
    assert Address.split(str(address)).key == address.key


@given(bodies, st.integers(0, 99))
def test_a_wrong_key_in_the_address_is_told_without_the_number(body, key):
    assume(key != matricule_key(body))

    with pytest.raises(InsError) as caught:
        matricule_of(Address(f"{body}{key:02d}", "p.example"))

    assert body not in str(caught.value)


@given(locals_)
def test_another_local_part_is_refused(local):
    assume(len(local) != 15)

    with pytest.raises(InsError, match="15 characters"):
        matricule_of(Address(local, "p.example"))


@given(bodies)
def test_the_repr_hides_the_local_part(body):
    assert body not in repr(Address(body, "p.example"))


def test_a_letter_whose_upper_case_is_longer_does_not_pass_for_an_ins():
    with pytest.raises(InsError):
        matricule_of(Address("ß" * 7 + "1", "p.example"))
