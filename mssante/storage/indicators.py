"""Reads what the monthly indicators are counted from: mailboxes, and audit entries in pages."""

import json
from collections.abc import AsyncIterator, Collection
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select

from mssante.access.audit import AuditKind
from mssante.kernel.clock import from_milliseconds, to_milliseconds
from mssante.mail.indicators import CountedMailbox
from mssante.storage.database import Database
from mssante.storage.schema.audit import AuditTables
from mssante.storage.schema.directory import MAILBOX

_PAGE: Final = 5_000
"""Entries looked at in one read: a month of a large operator must not hold a snapshot for minutes."""


async def counted_mailboxes(directory: Database) -> dict[str, CountedMailbox]:
    """Every mailbox by its id, hexadecimal."""
    columns = (
        MAILBOX.c.id,
        MAILBOX.c.type,
        MAILBOX.c.domain,
        MAILBOX.c.created_at,
        MAILBOX.c.closed_at,
    )
    rows = await directory.read(lambda conn: conn.execute(select(*columns)).all())
    return {
        bytes(row.id).hex(): CountedMailbox(
            row.type,
            row.domain,
            from_milliseconds(row.created_at),
            from_milliseconds(row.closed_at) if row.closed_at is not None else None,
        )
        for row in rows
    }


async def leaves(
    database: Database,
    tables: AuditTables,
    kinds: Collection[AuditKind],
    begin: datetime,
    end: datetime,
) -> AsyncIterator[dict[str, Any]]:
    """The leaves of one chain from `begin` to `end`. The whole chain is looked through: an entry can be
    written long after what it tells of.
    """
    entries = tables.entries
    last = await database.read(
        lambda conn: conn.execute(
            select(entries.c.sequence).order_by(entries.c.sequence.desc()).limit(1)
        ).scalar()
    )
    wanted = select(entries.c.leaf).where(
        entries.c.at >= to_milliseconds(begin),
        entries.c.at < to_milliseconds(end),
        entries.c.kind.in_([kind.value for kind in kinds]),
    )
    for after in range(0, last or 0, _PAGE):
        page = wanted.where(entries.c.sequence.between(after + 1, after + _PAGE))
        found = await database.read(lambda conn, page=page: conn.execute(page).all())  # type: ignore[misc]
        for row in found:
            yield json.loads(bytes(row.leaf))
