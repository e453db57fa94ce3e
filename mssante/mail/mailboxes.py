"""What IMAP and the portal ask of mailboxes: folders, views kept current, messages.

One `MailboxService` per process. Folders that sessions have open are views shared between them;
what other processes change is heard through `on_folder_changed`, and should a wake-up be lost,
noticed by comparing modseqs every few seconds.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Collection, Sequence
from datetime import datetime
from typing import Final

from mssante.access.identity import Identity
from mssante.kernel.clock import Clock
from mssante.kernel.opaque import OpaqueId, new_id
from mssante.kernel.reasons import Reason, Refusal
from mssante.mail.consultations import Consultations
from mssante.mail.model import (
    FIRST_KEYWORD_BIT,
    FlagOperation,
    Folder,
    FolderChanges,
    FolderRow,
    FolderStatus,
    SpecialUse,
    StoredMessage,
)
from mssante.mail.ports import Blobs, Mailboxes
from mssante.mail.view import FolderView
from mssante.wire.mime.limits import MimeError
from mssante.wire.mime.summary import MessageSummary, summarise

INBOX: Final = "INBOX"
SWEEP_SECONDS: Final = 5.0
"""How late a change is seen whose wake-up was lost."""
_KEPT_ROWS: Final = 500_000
"""Rows of views that nobody has open any more and that are kept for the next SELECT (52 B each)."""
_ROWS_OF_A_VIEW: Final = 100
"""What a view costs beside its rows, counted in rows."""
_LARGE: Final = 1 << 20
"""Messages from this size on are scanned outside the event loop."""
_LOG: Final = logging.getLogger(__name__)


class MailboxService:
    """Folders and messages of all mailboxes of this instance."""

    def __init__(
        self, store: Mailboxes, blobs: Blobs, clock: Clock, consultations: Consultations
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self.consultations: Final = consultations
        self._views: dict[int, dict[OpaqueId | None, _OpenView]] = {}
        """By folder, the open ones, by reader."""
        self._kept: OrderedDict[tuple[int, OpaqueId | None], _OpenView] = OrderedDict()
        self._kept_rows = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweep: asyncio.Task[None] | None = None

    # --- life ----------------------------------------------------------------

    def start(self) -> None:
        """Begin to look for changes whose wake-up was lost."""
        self._sweep = asyncio.create_task(self._sweep_forever())

    async def close(self) -> None:
        """Stop the background work and record what is gathered for the audit."""
        running = [*self._tasks, *([self._sweep] if self._sweep else [])]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self.consultations.close()

    def on_folder_changed(self, number: int, highestmodseq: int) -> None:
        """A folder changed, here or in another process: bring its open views up to date.

        To be given to the wake-ups as their listener. Returns at once; the sessions are told
        through the views' listeners.
        """
        for opened in self._views.get(number, {}).values():
            if opened.view.highestmodseq < highestmodseq:
                # Not at once: a change of our own is on its way into the view already.
                asyncio.get_running_loop().call_soon(self._catch_up, opened, highestmodseq)

    def _catch_up(self, opened: "_OpenView", wanted: int) -> None:
        if opened.view.highestmodseq < wanted:
            task = asyncio.create_task(self._refresh_quietly(opened))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _refresh_quietly(self, opened: "_OpenView") -> None:
        try:
            await opened.refresh()
        except Exception:  # noqa: BLE001 - background work goes on
            _LOG.exception("a folder could not be read again; the next sweep tries it")

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            numbers = sorted(self._views)
            if not numbers:
                continue
            try:
                found = await self._store.modseqs(numbers)
            except Exception:  # noqa: BLE001 - background work goes on
                _LOG.exception("the folders' modseqs could not be read")
                continue
            for number in numbers:
                # A folder that is not there any more must be read, too: it shows as gone.
                self.on_folder_changed(number, found.get(number, 1 << 63))

    # --- folders -------------------------------------------------------------

    async def open_mailbox(self, identity: Identity) -> None:
        """Make sure that the mailbox has its folders; without a write where it has."""
        if await self._store.folder(identity.mailbox.id, INBOX) is None:
            await self._store.open_mailbox(identity.mailbox.id)

    async def folders(self, identity: Identity) -> list[Folder]:
        """All folders, INBOX first, then by name."""
        return await self._store.folders(identity.mailbox.id)

    async def folder(self, identity: Identity, name: str) -> Folder:
        """One folder by name.

        Raises:
            Refusal: MAILBOX_NONEXISTENT.
        """
        folder = await self._store.folder(identity.mailbox.id, name)
        if folder is None:
            raise Refusal(Reason.MAILBOX_NONEXISTENT)
        return folder

    async def create_folder(
        self, identity: Identity, name: str, special_use: SpecialUse | None = None
    ) -> Folder:
        """Create a folder.

        Raises:
            Refusal: MAILBOX_EXISTS, LIMIT_REACHED.
        """
        return await self._store.create_folder(identity.mailbox.id, name, special_use)

    async def delete_folder(self, identity: Identity, name: str) -> None:
        """Delete a folder with its messages; those below it stay.

        Raises:
            Refusal: MAILBOX_NONEXISTENT, or NOT_PERMITTED for INBOX.
        """
        folder = await self.folder(identity, name)
        await self._store.delete_folder(folder.number, identity.account_id)

    async def rename_folder(self, identity: Identity, name: str, new_name: str) -> None:
        """Rename a folder and those below it, or those below a name that is no folder itself; INBOX
        is emptied into the new folder instead (RFC 3501 section 6.3.5).

        Raises:
            Refusal: MAILBOX_NONEXISTENT, MAILBOX_EXISTS, LIMIT_REACHED, or NOT_PERMITTED for a name
                below the old one.
        """
        if name != INBOX:
            await self._store.rename_folder(
                identity.mailbox.id, name, new_name, identity.account_id
            )
            return
        folder = await self.folder(identity, name)
        target = await self._store.create_folder(identity.mailbox.id, new_name)
        reader = identity.reader_id
        rows = (await self._store.changes(folder.number, reader)).rows
        await self._store.move(
            folder.number,
            reader,
            [row.uid for row in rows],
            target.number,
            identity.account_id,
        )
        await self._refresh_open(folder, reader)

    async def set_subscribed(self, identity: Identity, name: str, *, subscribed: bool) -> None:
        """Subscribe or unsubscribe a name, whether or not a folder has it; without a write where it
        is so already.
        """
        folder = await self._store.folder(identity.mailbox.id, name)
        is_listed = name in await self.subscriptions(identity)
        is_shown = is_listed if folder is None else folder.subscribed
        if (is_listed, is_shown) != (subscribed, subscribed):
            await self._store.set_subscribed(identity.mailbox.id, name, subscribed=subscribed)

    async def subscriptions(self, identity: Identity) -> frozenset[str]:
        """The names that clients subscribed, whether or not a folder has them."""
        return frozenset(await self._store.subscriptions(identity.mailbox.id))

    async def status(self, identity: Identity, folder: Folder) -> FolderStatus:
        """Counts of a folder, from its view where there is a current one."""
        key = (folder.number, identity.reader_id)
        opened = self._opened(*key) or self._kept.get(key)
        if opened is not None and opened.view.highestmodseq >= folder.highestmodseq:
            return opened.view.status(folder.uidvalidity, folder.recent_from)
        return await self._store.status(folder.number, identity.reader_id)

    # --- views ---------------------------------------------------------------

    async def open_view(self, identity: Identity, folder: Folder) -> FolderView:
        """A current view of a folder; each `open_view` is paired with one `close_view`."""
        key = (folder.number, identity.reader_id)
        opened = self._opened(*key)
        if opened is None:
            opened = self._kept.pop(key, None)
            if opened is None:
                opened = _OpenView(self._store, FolderView(*key))
            else:
                self._kept_rows -= opened.cost
            self._views.setdefault(folder.number, {})[identity.reader_id] = opened
        opened.users += 1
        if opened.view.highestmodseq < folder.highestmodseq:
            try:
                await opened.refresh()
            except BaseException:
                self.close_view(opened.view)
                raise
            if not opened.view.highestmodseq:  # deleted meanwhile
                self.close_view(opened.view)
                raise Refusal(Reason.MAILBOX_NONEXISTENT)
        return opened.view

    async def claim_recent(self, folder: Folder, uidnext: int) -> int:
        """Note that a session is told of all messages below `uidnext`; a write only where none was
        told of some.

        Returns:
            The least UID of the messages that are recent to this session (RFC 3501 section 2.3.2).
        """
        if folder.recent_from >= uidnext:
            return uidnext
        return await self._store.claim_recent(folder.number, uidnext)

    def claim_recent_later(self, folder: Folder, uidnext: int) -> None:
        """Like `claim_recent`, for a session that has ended: should it not come to pass, messages
        are recent once more.
        """
        task = asyncio.create_task(self._claim_quietly(folder, uidnext))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _claim_quietly(self, folder: Folder, uidnext: int) -> None:
        try:
            await self.claim_recent(folder, uidnext)
        except Exception:  # noqa: BLE001 - background work goes on
            _LOG.exception("what a session was told of could not be noted")

    def _opened(self, number: int, reader: OpaqueId | None) -> "_OpenView | None":
        return self._views.get(number, {}).get(reader)

    def close_view(self, view: FolderView) -> None:
        """A session leaves a view; the rows are kept for a while."""
        key = (view.number, view.reader)
        readers = self._views[view.number]
        opened = readers[view.reader]
        opened.users -= 1
        if opened.users:
            return
        del readers[view.reader]
        if not readers:
            del self._views[view.number]
        if view.gone or not view.highestmodseq:
            return
        self._kept[key] = opened
        self._kept_rows += opened.cost
        while self._kept_rows > _KEPT_ROWS:
            _, oldest = self._kept.popitem(last=False)
            self._kept_rows -= oldest.cost

    # --- changes -------------------------------------------------------------

    async def flag_bits(self, folder: int, names: Collection[str], known: Sequence[str]) -> int:
        """Keywords as bits, creating those that the folder lacks.

        Args:
            folder: the folder's key.
            names: keywords.
            known: the folder's keywords as far as the caller knows them.

        Raises:
            Refusal: LIMIT_REACHED.
        """
        bits = keyword_bits(known)
        if any(name.lower() not in bits for name in names):
            created = await self._store.keyword_bits(folder, list(names))
            bits = {name.lower(): 1 << bit for name, bit in created.items()}
        mask = 0
        for name in names:
            mask |= bits[name.lower()]
        return mask

    async def store_flags(
        self,
        view: FolderView,
        uids: Sequence[int],
        operation: FlagOperation,
        flags: int,
        unchanged_since: int | None = None,
    ) -> FolderChanges:
        """Change flags of messages; the view shows it on return.

        Messages whose modseq is greater than `unchanged_since` are left alone: after the return
        they are those that still have such a modseq and are not among the changed rows.
        """
        changes = await self._store.store_flags(
            view.number, view.reader, uids, operation, flags, unchanged_since
        )
        await self._absorb(view, changes)
        return changes

    async def expunge(self, identity: Identity, view: FolderView, uids: Sequence[int]) -> None:
        r"""Remove those of `uids` that have \Deleted; the view shows it on return."""
        if uids:
            changes = await self._store.expunge(view.number, uids, identity.account_id)
            await self._absorb(view, changes)

    async def _absorb(self, view: FolderView, changes: FolderChanges) -> None:
        """Take in the answer of our own change, where nothing else happened in between."""
        if changes.highestmodseq <= view.highestmodseq:
            return
        # A change of nothing tells the modseq of whoever changed something last: its rows and
        # expunges are not in this answer, so it must not count as having seen them.
        is_ours = bool(changes.rows or changes.expunged)
        is_next = changes.highestmodseq == view.highestmodseq + 1
        if is_ours and is_next and changes.uidnext == view.uidnext:
            view.apply(changes)
        else:
            await self._views[view.number][view.reader].refresh()

    async def append(
        self,
        identity: Identity,
        folder: Folder,
        content: bytes,
        flags: int,
        internal_date: datetime | None,
    ) -> FolderRow:
        """Add a message that the client hands in; durable on return.

        Raises:
            Refusal: MESSAGE_TOO_COMPLEX, MESSAGE_MALFORMED, MAILBOX_FULL.
        """
        if not content:
            raise Refusal(Reason.MESSAGE_MALFORMED, "an empty message")
        summary = await _summary(content)
        blob = await self._blobs.put(content)
        message = StoredMessage(new_id(), b"", summary.encode(), blob)
        row = await self._store.append(
            folder.number,
            identity.reader_id,
            message,
            len(content),
            internal_date or self._clock.now(),
            flags,
        )
        opened = self._opened(folder.number, identity.reader_id)
        if opened is not None and opened.view.highestmodseq < row.modseq:
            await opened.refresh()
        return row

    async def copy(
        self, identity: Identity, view: FolderView, uids: Sequence[int], target: Folder
    ) -> list[tuple[int, int]]:
        """Copy messages, with flags, keywords and internal dates; all or none.

        Returns:
            (source UID, new UID), ascending; messages that are gone are left out.
        """
        pairs = await self._store.copy(view.number, identity.reader_id, uids, target.number)
        await self._refresh_open(target, identity.reader_id)
        return pairs

    async def move(
        self, identity: Identity, view: FolderView, uids: Sequence[int], target: Folder
    ) -> list[tuple[int, int]]:
        """Move messages, with flags, keywords and internal dates; all or none. The view shows it
        on return.

        Returns:
            As `copy`.
        """
        reader = identity.reader_id
        pairs, changes = await self._store.move(
            view.number, reader, uids, target.number, identity.account_id
        )
        await self._absorb(view, changes)
        await self._refresh_open(target, reader)
        return pairs

    async def _refresh_open(self, folder: Folder, reader: OpaqueId | None) -> None:
        """Let the sessions that have a folder open see what was put into it or taken out."""
        opened = self._opened(folder.number, reader)
        if opened is not None:
            await opened.refresh()

    # --- content -------------------------------------------------------------

    def messages(
        self, view: FolderView, rows: Sequence[FolderRow]
    ) -> AsyncGenerator[tuple[FolderRow, StoredMessage], None]:
        """The stored messages of rows, in order; those that are gone are left out."""
        return self._store.messages(view.number, rows)

    def content(self, message: StoredMessage, start: int, stop: int) -> bytes:
        """Octets [start, stop) of the original message (without our prefix).

        Raises:
            BlobUnreadable: the body cannot be read back.
        """
        return self._blobs.read(message.blob, start, stop)


class _OpenView:
    """A view and who reads it; reading again is coalesced."""

    def __init__(self, store: Mailboxes, view: FolderView) -> None:
        self._store = store
        self.view = view
        self.users = 0
        self._lock = asyncio.Lock()
        self._asked = 0
        self._served = 0

    @property
    def cost(self) -> int:
        """Memory in rows; does not change while nobody has the view open."""
        return len(self.view) + _ROWS_OF_A_VIEW

    async def refresh(self) -> None:
        """Bring the view to a state of the store not older than this call."""
        self._asked += 1
        asked = self._asked
        async with self._lock:
            if self._served >= asked:
                return
            serving = self._asked
            await self._read()
            self._served = serving

    async def _read(self) -> None:
        view = self.view
        while not view.gone:
            since = view.highestmodseq
            changes = await self._store.changes(view.number, view.reader, since, view.uidnext)
            # Our own changes are taken in without the lock: what was read before is then stale.
            if view.highestmodseq == since:
                if changes.highestmodseq > since or changes.uidnext != view.uidnext:
                    view.apply(changes)
                return


def keyword_bits(keywords: Sequence[str]) -> dict[str, int]:
    """The mask of each keyword of a folder, by its name in lower case."""
    return {name.lower(): 1 << (FIRST_KEYWORD_BIT + i) for i, name in enumerate(keywords)}


async def _summary(content: bytes) -> MessageSummary:
    try:
        if len(content) >= _LARGE:
            return await asyncio.to_thread(summarise, content)
        return summarise(content)
    except MimeError as error:
        raise Refusal(Reason.MESSAGE_TOO_COMPLEX, error.fault.value) from error
