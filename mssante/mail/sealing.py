"""The door's spool: seals what a member submits, then keeps it.

Before the 250 rather than on the way, because the seal is then made once and stored with the
message: nothing is written twice, and every recipient, here or elsewhere, gets the same bytes
however often a journey is repeated.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from mssante.directory.ports import Directory
from mssante.kernel.clock import Clock
from mssante.kernel.opaque import OpaqueId
from mssante.mail.model import Envelope, Seal, SpoolEntry
from mssante.mail.ports import RelayQueue, Spool
from mssante.mail.rules.authorship import author_of
from mssante.mail.rules.header import Header
from mssante.mail.smime import holder_of
from mssante.trust.mailbox_keys import MailboxKeys
from mssante.trust.sealing import SealingKey, is_for_sealing, seal
from mssante.wire.mime.limits import DEFAULT_LIMITS
from mssante.wire.mime.scanner import Part

LIMITS: Final = replace(
    DEFAULT_LIMITS,
    max_depth=DEFAULT_LIMITS.max_depth - 1,
    max_parts=DEFAULT_LIMITS.max_parts - 2,
    max_boundary_lines=DEFAULT_LIMITS.max_boundary_lines - 3,
    max_header_bytes=DEFAULT_LIMITS.max_header_bytes - 4096,
    max_total_header_bytes=DEFAULT_LIMITS.max_total_header_bytes - 65_536,
    max_fields=DEFAULT_LIMITS.max_fields - 2,
)
"""What may be submitted: the seal adds a level, two parts and some fields, and what was accepted must
not pass a limit by it."""
_ON_A_THREAD: Final = 512 * 1024
"""Messages larger than this are sealed off the event loop."""


@dataclass(frozen=True, slots=True)
class SealingSpool:
    """The `Spool` port of submission."""

    spool: Spool
    keys: MailboxKeys
    directory: Directory
    clock: Clock

    async def accept(
        self, envelope: Envelope, content: bytes, root: Part | None = None
    ) -> SpoolEntry:
        """Seal where that is due, and keep; durable on return."""
        key = await self._key(envelope, content)
        if key is None:
            return await self.spool.accept(envelope, content, root)
        at = self.clock.now()
        if len(content) > _ON_A_THREAD:
            sealed = await asyncio.to_thread(seal, content, key, at)
        else:
            sealed = seal(content, key, at)
        mark = Seal(key.address, key.serial, key.issuer)
        return await self.spool.accept(replace(envelope, seal=mark), sealed)

    @property
    def relays(self) -> RelayQueue:
        """See the port."""
        return self.spool.relays

    async def due(self, limit: int) -> list[SpoolEntry]:
        """See the port."""
        return await self.spool.due(limit)

    async def finish(self, entry_id: OpaqueId) -> None:
        """See the port."""
        await self.spool.finish(entry_id)

    async def defer(self, entry_id: OpaqueId, delay: timedelta, why: str) -> None:
        """See the port."""
        await self.spool.defer(entry_id, delay, why)

    async def set_aside(self, entry_id: OpaqueId, why: str) -> None:
        """See the port."""
        await self.spool.set_aside(entry_id, why)

    async def _key(self, envelope: Envelope, content: bytes) -> SealingKey | None:
        """The key of the author's mailbox; None for what is not sealed."""
        # The null reverse-path is that of reports and receipts.
        if envelope.account_id is None or envelope.sender is None or not is_for_sealing(content):
            return None
        # Judged to be the member's; a seal vouches for one author.
        author = author_of(Header.cut(content[: content.find(b"\r\n\r\n") + 4]))
        mailbox = await self.directory.mailbox_by_address(author) if author else None
        return None if mailbox is None else await self.keys.sealing(holder_of(mailbox))
