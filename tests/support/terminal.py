"""A program at a terminal of its own."""

import asyncio
import os
import pty
from collections.abc import Mapping


async def run_at_a_terminal(
    program: str, *options: str, env: Mapping[str, str], seconds: float = 40
) -> None:
    """Run it until it leaves, which it must in time and with success; else what it showed is said."""
    main, terminal = pty.openpty()
    shown = bytearray()
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            shown.extend(os.read(main, 65_536))
        except OSError:
            loop.remove_reader(main)

    loop.add_reader(main, read)
    running = await asyncio.create_subprocess_exec(
        program, *options, stdin=terminal, stdout=terminal, stderr=terminal, env=env
    )
    try:
        await asyncio.wait_for(running.wait(), seconds)
    except TimeoutError:
        running.kill()
        await running.wait()
        raise AssertionError(bytes(shown[-3_000:])) from None
    finally:
        loop.remove_reader(main)
        os.close(terminal)
        os.close(main)
    assert running.returncode == 0, bytes(shown[-3_000:])
