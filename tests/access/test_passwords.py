import asyncio
import time

import pytest

from mssante.access.passwords import Argon2Cost, Passwords, PasswordUnusable, draw_password
from mssante.kernel.reasons import Reason, Refusal

CHEAP = Argon2Cost(memory_kib=64, passes=1, lanes=1)


@pytest.fixture
def passwords():
    pool = Passwords(CHEAP, threads=1, max_waiting=1)
    yield pool
    pool.close()


async def test_a_password_matches_its_hash_and_no_other(passwords):
    stored = await passwords.hash("correct horse")

    assert stored.startswith("$argon2id$")
    assert await passwords.verify(stored, "correct horse")
    assert not await passwords.verify(stored, "correct horsf")


async def test_composed_and_decomposed_accents_are_one_password(passwords):
    stored = await passwords.hash("caf\u00e9")

    assert await passwords.verify(stored, "cafe\u0301")


async def test_an_unknown_login_and_a_broken_hash_never_match(passwords):
    assert not await passwords.verify(None, "x")
    assert not await passwords.verify("not a hash", "x")
    assert not await passwords.verify(None, "\x07")


async def test_an_unknown_login_costs_the_same_work():
    pool = Passwords(Argon2Cost(memory_kib=8192, passes=2, lanes=1), threads=1)
    stored = pool.hash_now("right")

    def seconds(hash_or_none):
        begin = time.thread_time()
        pool._verify_now(hash_or_none or pool._decoy, "wrong")
        return time.thread_time() - begin

    seconds(stored)
    known = min(seconds(stored) for _ in range(5))
    unknown = min(seconds(None) for _ in range(5))
    pool.close()

    assert 0.5 < unknown / known < 2


@pytest.mark.parametrize("password", ["", "\x00", "a\nb", "x" * 1025])
def test_unusable_passwords_are_said_so(passwords, password):
    with pytest.raises(PasswordUnusable):
        passwords.hash_now(password)


async def test_too_many_waiting_checks_are_sent_away_and_leave_no_trace(passwords):
    stored = passwords.hash_now("right")
    outcomes = await asyncio.gather(
        *(passwords.verify(stored, "right") for _ in range(10)), return_exceptions=True
    )

    refused = [each for each in outcomes if isinstance(each, Refusal)]
    assert outcomes.count(True) + len(refused) == 10
    assert outcomes.count(True) >= 2
    assert refused and all(each.reason is Reason.TRY_LATER for each in refused)
    assert await passwords.verify(stored, "right")


async def test_a_waiter_that_goes_away_frees_its_place(passwords):
    stored = passwords.hash_now("right")
    for _ in range(20):
        task = asyncio.create_task(passwords.verify(stored, "right"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.005)

    assert await passwords.verify(stored, "right")


def test_the_default_cost_is_the_low_memory_profile_of_rfc_9106():
    pool = Passwords()
    try:
        assert pool.hash_now("x").startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    finally:
        pool.close()


def test_drawn_passwords_differ_and_no_tool_takes_one_for_an_option():
    drawn = {draw_password() for _ in range(2000)}

    assert len(drawn) == 2000
    assert all(each.isascii() and each.isalnum() and len(each) == 20 for each in drawn)
