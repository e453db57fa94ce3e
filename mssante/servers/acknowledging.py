"""Telling a client's system at once that its octets have arrived."""

import asyncio
import contextlib
import socket
from typing import Final

_OPTION: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)
"""Linux only; elsewhere nothing is done."""


def acknowledge(transport: asyncio.BaseTransport) -> None:
    """Have the octets that came acknowledged now.

    For the middle of something: many clients write a message and its end apart, and their systems hold
    the small rest back until the former is acknowledged (Nagle, RFC 9293 section 3.7.4), while ours waits
    up to 40 ms for an answer that the acknowledgement could go with. The option holds for a moment only.
    """
    if _OPTION is None:
        return
    found: socket.socket | None = transport.get_extra_info("socket")
    if found is not None and found.family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):  # the connection is ending
            found.setsockopt(socket.IPPROTO_TCP, _OPTION, 1)
