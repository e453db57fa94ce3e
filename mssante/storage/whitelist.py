"""The white list on disk: the last good one, whole, and its replacement in one transaction."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from mssante.access.audit import AuditEntry, AuditKind
from mssante.directory.ports import Act
from mssante.kernel.clock import Clock, from_milliseconds, to_milliseconds
from mssante.storage import audit
from mssante.storage.database import Database
from mssante.storage.schema.directory import WHITE_LIST, WHITE_LIST_ENTRY
from mssante.trust.list_signature import ListPolicy, checked_white_list
from mssante.trust.whitelist import Difference, Standing, check_replacement
from mssante.wire.whitelist.model import Listing, WhiteList
from mssante.wire.whitelist.reader import WhiteListRefused
from mssante.wire.x500 import DistinguishedName

_IN_FORCE: Final = 1

_LISTINGS: Final = select(WHITE_LIST_ENTRY).order_by(WHITE_LIST_ENTRY.c.position)
_OPERATORS: Final = select(WHITE_LIST_ENTRY.c.operator).where(
    WHITE_LIST_ENTRY.c.domain == bindparam("name")
)
_DOMAINS: Final = select(WHITE_LIST_ENTRY.c.domain).where(
    WHITE_LIST_ENTRY.c.operator == bindparam("name")
)
_KNOWN: Final = select(
    WHITE_LIST.c.generated_at, WHITE_LIST.c.imported_at, WHITE_LIST.c.confirmed_at
)


@dataclass(frozen=True, slots=True)
class Origin:
    """From where a list was fetched, with what the next conditional request needs."""

    url: str
    etag: str = ""
    last_modified: str = ""


class StoredWhiteList:
    """The `TrustedSpace` port, and what administrators do with the list."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """`database` is the directory's."""
        self._database = database
        self._clock = clock

    async def operators_of(self, domain: str) -> frozenset[DistinguishedName]:
        """See the port."""
        name = domain.lower()
        return await self._database.read_lasting(
            ("operators of", name),
            lambda conn: frozenset(
                map(DistinguishedName.parse, conn.scalars(_OPERATORS, {"name": name}))
            ),
        )

    async def domains_of(self, operator: DistinguishedName) -> frozenset[str]:
        """See the port."""
        name = str(operator)
        return await self._database.read_lasting(
            ("domains of", name), lambda conn: frozenset(conn.scalars(_DOMAINS, {"name": name}))
        )

    async def known_until(self) -> datetime | None:
        """See the port."""
        row = await self._database.read_lasting(
            "white list known until", lambda conn: conn.execute(_KNOWN).first()
        )
        if row is None:
            return None
        generated = min(row.generated_at, row.imported_at)
        return from_milliseconds(max(generated, row.confirmed_at or 0))

    async def standing(self) -> Standing | None:
        """What is in force; None before the first import."""
        return await self._database.read(_standing)

    async def white_list(self) -> WhiteList | None:
        """The whole list in force."""
        return await self._database.read(_white_list)

    async def replace(
        self,
        content: bytes,
        act: Act,
        policy: ListPolicy,
        *,
        force: bool = False,
        origin: Origin | None = None,
    ) -> Difference:
        """Put a list in force; all of it or nothing, judged against the present one in the same
        transaction.

        Args:
            content: the XML file.
            act: for the audit, which also gets the refusals.
            policy: what its signature must be.
            force: take a list that loses more than half of the domains.
            origin: from where it was fetched just now; None for a file. What was fetched and is the
                list in force already is confirmed, without an entry in the audit.

        Raises:
            WhiteListRefused: says why; the present list stays in force.
        """
        now = self._clock.now()
        at = to_milliseconds(now)
        digest = sha256(content).digest()
        try:
            # Seconds of work for a list of several megabytes.
            new = await asyncio.to_thread(checked_white_list, content, policy, now)
            return await self._database.write(
                lambda conn: _replace(conn, new, digest, at, act, force=force, origin=origin)
            )
        except WhiteListRefused as refused:
            entry = _entry(act, refused.word, {"digest": digest.hex()})
            await self._database.write(lambda conn: audit.record(conn, at, entry))
            raise

    async def confirm(self, origin: Origin) -> None:
        """Note that the source says now that its list is the one in force."""
        at = to_milliseconds(self._clock.now())
        await self._database.write(lambda conn: _confirm(conn, at, origin))


def _confirm(conn: Connection, at: int, origin: Origin) -> None:
    conn.execute(
        update(WHITE_LIST).values(
            source=origin.url,
            confirmed_at=at,
            etag=origin.etag,
            last_modified=origin.last_modified,
        )
    )


def _replace(
    conn: Connection,
    new: WhiteList,
    digest: bytes,
    at: int,
    act: Act,
    *,
    force: bool,
    origin: Origin | None,
) -> Difference:
    present = _white_list(conn)
    check_replacement(present, new, force=force)
    difference = Difference.between(present, new)
    standing = conn.execute(select(WHITE_LIST)).first()
    if (
        origin is not None
        and standing is not None
        and (bytes(standing.digest), standing.signer) == (digest, new.signer)
    ):
        _confirm(conn, at, origin)
        return difference
    conn.execute(delete(WHITE_LIST_ENTRY))
    conn.execute(delete(WHITE_LIST))
    conn.execute(
        insert(WHITE_LIST).values(
            number=_IN_FORCE,
            generated_at=to_milliseconds(new.generated),
            imported_at=at,
            signed=new.signed,
            digest=digest,
            signer=new.signer,
            source=origin.url if origin else "",
            confirmed_at=at if origin else None,
            etag=origin.etag if origin else "",
            last_modified=origin.last_modified if origin else "",
        )
    )
    conn.execute(
        insert(WHITE_LIST_ENTRY),
        [
            {
                "domain": listing.domain,
                "operator": str(listing.operator),
                "position": position,
                "description": listing.description,
            }
            for position, listing in enumerate(new.listings)
        ],
    )
    facts: dict[str, str | int] = {
        "digest": digest.hex(),
        "generated": new.generated.isoformat(),
        "listings": len(new.listings),
        "added": len(difference.added),
        "removed": len(difference.removed),
        "changed": len(difference.changed),
        "forced": int(force),
        "signer": new.signer,
        "source": origin.url if origin else "",
    }
    audit.record(conn, at, _entry(act, "done", facts))
    return difference


def _entry(act: Act, outcome: str, facts: dict[str, str | int]) -> AuditEntry:
    return AuditEntry(
        AuditKind.ADMINISTRATION,
        act.command,
        outcome,
        actor=act.account_id,
        facts=facts,
        personal={"user": act.user},
    )


def _standing(conn: Connection) -> Standing | None:
    row = conn.execute(select(WHITE_LIST)).first()
    if row is None:
        return None
    domains = conn.scalars(select(WHITE_LIST_ENTRY.c.domain)).all()
    return Standing(
        from_milliseconds(row.generated_at),
        from_milliseconds(row.imported_at),
        len(set(domains)),
        len(domains),
        row.signed,
        bytes(row.digest).hex(),
        row.signer,
        row.source,
        from_milliseconds(row.confirmed_at) if row.confirmed_at is not None else None,
        row.etag,
        row.last_modified,
    )


def _white_list(conn: Connection) -> WhiteList | None:
    row = conn.execute(select(WHITE_LIST)).first()
    if row is None:
        return None
    listings = tuple(
        Listing(each.domain, DistinguishedName.parse(each.operator), each.description)
        for each in conn.execute(_LISTINGS)
    )
    return WhiteList(from_milliseconds(row.generated_at), listings, row.signed, row.signer)
