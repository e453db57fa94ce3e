"""Tells systemd how the service is: the datagrams of sd_notify(3), which any process can send.

Without a manager that listens every word falls on the floor.
"""

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final

_SOCKET: Final = "NOTIFY_SOCKET"
_WATCHDOG: Final = ("WATCHDOG_USEC", "WATCHDOG_PID")


class ServiceManager:
    """The other end of ``NOTIFY_SOCKET``."""

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        """Takes its variables out of the environment: processes that we start are not the service."""
        self._address = environment.pop(_SOCKET, "")
        period, owner = (environment.pop(name, "") for name in _WATCHDOG)
        is_ours = owner in ("", str(os.getpid()))
        self._period = int(period) / 1_000_000 if period.isdecimal() and is_ours else 0.0
        self._last_sign = float("-inf")

    @property
    def watchdog_seconds(self) -> float | None:
        """A sign of life is due so often, half of what systemd bears; None: none is wanted."""
        return self._period / 2 if self._period else None

    def ready(self, status: str) -> None:
        """The service serves, again after a reload; the status is for people."""
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """The service reads its settings or certificates again; `ready` ends that."""
        # With the time, for units of Type=notify-reload.
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The service ends in order."""
        self._tell("STOPPING=1", "STATUS=stopping")

    def alive(self) -> None:
        """A sign of life, where the watchdog wants one by now."""
        period = self.watchdog_seconds
        now = time.monotonic()
        if period is not None and now - self._last_sign >= period / 2:
            self._last_sign = now
            self._tell("WATCHDOG=1")

    def _tell(self, *words: str) -> None:
        if not self._address.startswith(("/", "@")):
            return
        # "@" stands for the zero octet of an abstract address.
        address = self._address.replace("@", "\0", 1) if self._address[0] == "@" else self._address
        with (
            contextlib.suppress(OSError),  # a manager that went away is no reason to end
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
        ):
            sender.sendto("\n".join(words).encode(), address)
