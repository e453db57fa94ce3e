"""Password hashes: Argon2id (RFC 9106), computed in a few threads and never in the event loop.

One check costs 64 MiB and about 160 ms of a core, so the number of checks under way and waiting
is bounded: above it a sign-in is asked to come back later instead of piling up memory.
"""

import asyncio
import secrets
import threading
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from mssante.kernel.reasons import Reason, Refusal
from mssante.wire.sasl.credentials import MAX_PASSWORD_OCTETS, SaslError
from mssante.wire.sasl.saslprep import saslprep

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Argon2Cost:
    """Parameters of Argon2id; the default is the low-memory profile of RFC 9106 section 4."""

    memory_kib: int = 64 * 1024
    passes: int = 3
    lanes: int = 4


_DRAWN_FROM = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_DRAWN_LENGTH = 20


def draw_password() -> str:
    """A new password of 116 random bits.

    Letters and digits that are not taken for one another: people copy it from a screen, and a
    command of theirs would take a ``-`` at its start for an option.
    """
    return "".join(secrets.choice(_DRAWN_FROM) for _ in range(_DRAWN_LENGTH))


class PasswordUnusable(ValueError):
    """The text cannot serve as a password; the message says why and does not repeat it."""


class Passwords:
    """Makes and checks password hashes in PHC form."""

    def __init__(
        self,
        cost: Argon2Cost = Argon2Cost(),
        *,
        threads: int = 2,
        max_waiting: int = 32,
    ) -> None:
        self._cost = cost
        self._hasher = PasswordHasher(
            time_cost=cost.passes, memory_cost=cost.memory_kib, parallelism=cost.lanes
        )
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._places = threading.BoundedSemaphore(threads + max_waiting)
        self._decoy = self._unmatchable_hash()

    def hash_now(self, password: str) -> str:
        """Hash a new password in this thread (commands; not for the event loop).

        Raises:
            PasswordUnusable: empty, longer than 1024 octets, or with forbidden characters.
        """
        return self._hasher.hash(_prepared(password))

    async def hash(self, password: str) -> str:
        """Hash a new password.

        Raises:
            PasswordUnusable: see :meth:`hash_now`.
            Refusal: TRY_LATER, too many are waiting.
        """
        return await self._run(lambda: self.hash_now(password))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Check a password against a stored hash.

        Without a stored hash (unknown login) the same work is done in vain, so that the time does
        not tell which logins exist.

        Raises:
            Refusal: TRY_LATER, too many are waiting.
        """
        return await self._run(lambda: self._verify_now(stored or self._decoy, password))

    def close(self) -> None:
        """Stop the threads; checks still waiting are dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _verify_now(self, stored: str, password: str) -> bool:
        try:
            prepared = _prepared(password)
        except PasswordUnusable:
            # Never the password of an account; the work is done nevertheless, for its time.
            prepared, stored = "x", self._decoy
        try:
            return self._hasher.verify(stored, prepared)
        except (VerifyMismatchError, VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if not self._places.acquire(blocking=False):
            raise Refusal(Reason.TRY_LATER, "too many password checks are waiting")
        future = self._pool.submit(work)
        # The place is free when the work is done or dropped, not when its waiter goes away.
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)

    def _unmatchable_hash(self) -> str:
        """A PHC string with our parameters whose tag was drawn, not computed."""

        def field(octets: int) -> str:
            return b64encode(secrets.token_bytes(octets)).decode().rstrip("=")

        cost = self._cost
        return (
            f"$argon2id$v=19$m={cost.memory_kib},t={cost.passes},p={cost.lanes}"
            f"${field(16)}${field(32)}"
        )


def _prepared(password: str) -> str:
    if len(password.encode(errors="surrogatepass")) > MAX_PASSWORD_OCTETS:
        raise PasswordUnusable(f"a password has at most {MAX_PASSWORD_OCTETS} octets")
    try:
        return saslprep(password)
    except SaslError as error:
        raise PasswordUnusable(str(error)) from None
