"""What the document room needs of the disk; ``storage.documents`` provides it."""

from typing import Protocol

from mssante.dmp.model import Deposit, Entry, HeldDocument, Hold, Recorded
from mssante.kernel.opaque import OpaqueId


class DocumentStore(Protocol):
    """Filed documents, held documents, and the effects that made them.

    `deposit` and `hold` are keyed: where the effect is recorded already, they change nothing and
    return what was recorded. They return when the change is durable.
    """

    async def deposit(self, deposit: Deposit) -> Recorded:
        """File a document by :func:`mssante.dmp.deposit.decide`, or hold it when that refuses.

        Submission set, entry, associations, changed statuses, effect and audit are one transaction;
        deposits of one patient happen one after the other.
        """
        ...

    async def hold(self, hold: Hold) -> Recorded:
        """Keep a document for a person, with the reason."""
        ...

    async def entries_of(self, patient_id: OpaqueId) -> list[Entry]:
        """All documents of a patient, all versions, newest first (by creation time in UTC)."""
        ...

    async def content(self, entry_id: OpaqueId) -> bytes | None:
        """The exact bytes of a filed document; `None` for an unknown id."""
        ...

    async def held(self, limit: int) -> list[HeldDocument]:
        """Held documents, newest first."""
        ...

    async def held_document(self, held_id: OpaqueId) -> HeldDocument | None:
        """One held document."""
        ...

    async def held_content(self, held_id: OpaqueId) -> bytes | None:
        """The exact bytes of a held document; `None` for an unknown id."""
        ...
