from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssante.directory.registration import (
    RegistrationError,
    check_traits,
    default_ins_oid,
    default_status,
    number_space,
)
from mssante.kernel.ins import InsOid
from mssante.kernel.traits import IdentityStatus, Traits

COMPLETE = Traits("DURAND", "ANNE MARIE", "ANNE", "F", "19780102", "75101")


def test_the_first_given_name_is_completed_from_the_list_unless_given():
    assert check_traits(replace(COMPLETE, first_given=None)).first_given == "ANNE"
    assert check_traits(replace(COMPLETE, first_given="MARIE")).first_given == "MARIE"
    assert check_traits(replace(COMPLETE, given_names=None, first_given=None)).first_given is None


def test_names_lose_doubled_and_outer_blanks_only():
    checked = check_traits(replace(COMPLETE, birth_name="  D'ÉTÉ   LE-GALL "))

    assert checked.birth_name == "D'ÉTÉ LE-GALL"


@pytest.mark.parametrize(
    "wrong",
    [
        {"sex": "X"},
        {"birth_date": "19780230"},
        {"birth_date": "1978-01-02"},
        {"birth_date": "١٩٧٨٠١٠٢"},
        {"birth_place": "7510"},
        {"birth_place": "2C001"},
        {"birth_name": "A" * 201},
        {"birth_name": "A\nB"},
        {"given_names": "A\x00B"},
    ],
)
def test_a_malformed_trait_is_refused(wrong):
    with pytest.raises(RegistrationError):
        check_traits(replace(COMPLETE, **wrong))


@given(st.sampled_from(["birth_name", "first_given", "sex", "birth_date", "birth_place"]))
def test_a_sandbox_qualifies_only_with_all_five_traits(missing):
    assert default_status(COMPLETE, sandbox=True) is IdentityStatus.QUAL
    lacking = replace(COMPLETE, **{missing: None})
    assert default_status(lacking, sandbox=True) is IdentityStatus.PROV


def test_an_undetermined_sex_is_not_a_strict_trait():
    assert default_status(replace(COMPLETE, sex="U"), sandbox=True) is IdentityStatus.PROV


def test_a_command_never_qualifies_real_people():
    assert default_status(COMPLETE, sandbox=False) is IdentityStatus.PROV


def test_the_default_authority_follows_the_instance():
    assert default_ins_oid(sandbox=True) is InsOid.NIR_TEST
    assert default_ins_oid(sandbox=False) is InsOid.NIR


@pytest.mark.parametrize("one", list(InsOid))
@pytest.mark.parametrize("two", list(InsOid))
def test_outside_a_sandbox_each_authority_has_its_own_space(one, two):
    assert (number_space(one, sandbox=False) == number_space(two, sandbox=False)) == (one == two)


def test_the_nia_is_apart_in_a_sandbox_too():
    spaces = {oid: number_space(oid, sandbox=True) for oid in InsOid}

    assert len(set(spaces.values())) == 2
    assert spaces[InsOid.NIA] != spaces[InsOid.NIR]
