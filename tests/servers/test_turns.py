"""The turns that a worker takes, seen in a process of its own."""

import errno
import subprocess
import sys

import pytest

SCRIPT = """
import asyncio, os, sys, threading, time
from mssante.servers.turns import take_turns

chosen = os.sched_getscheduler(0)
asleep = threading.Event()
other = threading.Thread(target=asleep.wait, daemon=True)
other.start()

def policies():
    return {os.sched_getscheduler(each) for each in (os.getpid(), other.native_id)}

async def until(policy, work):
    end = time.monotonic() + 60
    while policies() != {policy}:
        if time.monotonic() > end:
            return False
        if work:
            until = time.process_time() + 0.05
            while time.process_time() < until:
                pass
        await asyncio.sleep(0 if work else 0.05)
    return True

async def main():
    task = asyncio.create_task(take_turns())
    await asyncio.sleep(0)
    if sys.argv[1] == "ordinary":
        print(await until(os.SCHED_BATCH, work=True), await until(os.SCHED_OTHER, work=False), task.done())
    else:
        print(task.done(), policies() == {chosen})

async def refused():
    task = asyncio.create_task(take_turns())
    end = time.monotonic() + 60
    while not task.done() and time.monotonic() < end:
        until = time.process_time() + 0.05
        while time.process_time() < until:
            pass
        await asyncio.sleep(0)
    print(task.done() and task.exception())

if sys.argv[1].isdigit():
    def refuse(*_):
        raise OSError(int(sys.argv[1]), "no")
    os.sched_setscheduler = refuse
    asyncio.run(refused())
    sys.exit()
if sys.argv[1] == "forked":
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        print("parent", os.sched_getscheduler(0) == chosen)
        sys.exit()
    other = threading.Thread(target=asleep.wait, daemon=True)
    other.start()
    sys.argv[1] = "ordinary"
asyncio.run(main())
"""


def _said(case: str, *before: str) -> str:
    done = subprocess.run(
        [*before, sys.executable, "-c", SCRIPT, case], capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_all_threads_take_long_turns_while_there_is_much_to_do() -> None:
    assert _said("ordinary") == "True True False"


def test_a_worker_changes_itself_and_not_the_process_that_forked_it() -> None:
    assert _said("forked") == "True True False\nparent True"


def test_what_an_administrator_chose_stays() -> None:
    assert _said("chosen", "chrt", "--idle", "0") == "True True"


@pytest.mark.parametrize("error", [errno.EPERM, errno.EINVAL, errno.ENOSYS])
def test_where_the_choice_is_refused_nothing_fails(error: int) -> None:
    assert _said(str(error)) == "None"
