"""The white list on disk: the last good one, whole, and its replacement in one transaction."""

from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection, bindparam, delete, insert, select

from mssante.access.audit import AuditEntry, AuditKind
from mssante.directory.ports import Act
from mssante.kernel.clock import Clock, from_milliseconds, to_milliseconds
from mssante.storage import audit
from mssante.storage.database import Database
from mssante.storage.schema.directory import WHITE_LIST, WHITE_LIST_ENTRY
from mssante.trust.whitelist import Difference, Standing, check_replacement
from mssante.wire.whitelist.model import Listing, WhiteList
from mssante.wire.whitelist.reader import WhiteListRefused, read_white_list
from mssante.wire.x500 import DistinguishedName

_IN_FORCE: Final = 1

_LISTINGS: Final = select(WHITE_LIST_ENTRY).order_by(WHITE_LIST_ENTRY.c.position)
_OPERATORS: Final = select(WHITE_LIST_ENTRY.c.operator).where(
    WHITE_LIST_ENTRY.c.domain == bindparam("name")
)
_DOMAINS: Final = select(WHITE_LIST_ENTRY.c.domain).where(
    WHITE_LIST_ENTRY.c.operator == bindparam("name")
)


class StoredWhiteList:
    """The `TrustedSpace` port, and what administrators do with the list."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """`database` is the directory's."""
        self._database = database
        self._clock = clock

    async def operators_of(self, domain: str) -> frozenset[DistinguishedName]:
        """See the port."""
        found = await self._names(lambda conn: conn.scalars(_OPERATORS, {"name": domain.lower()}))
        return frozenset(map(DistinguishedName.parse, found))

    async def domains_of(self, operator: DistinguishedName) -> frozenset[str]:
        """See the port."""
        return frozenset(
            await self._names(lambda conn: conn.scalars(_DOMAINS, {"name": str(operator)}))
        )

    async def standing(self) -> Standing | None:
        """What is in force; None before the first import."""
        return await self._database.read(_standing)

    async def white_list(self) -> WhiteList | None:
        """The whole list in force."""
        return await self._database.read(_white_list)

    async def difference(self, content: bytes) -> Difference:
        """What importing a file would change.

        Raises:
            WhiteListRefused: the file is not a white list.
        """
        return Difference.between(await self.white_list(), read_white_list(content))

    async def replace(
        self, content: bytes, act: Act, *, accept_signed: bool, force: bool = False
    ) -> Difference:
        """Put a list in force; all of it or nothing, judged against the present one in the same
        transaction.

        Args:
            content: the XML file.
            act: for the audit, which also gets the refusals.
            accept_signed: take a list whose signature is not verified.
            force: take a list that loses more than half of the domains.

        Raises:
            WhiteListRefused: says why; the present list stays in force.
        """
        at = to_milliseconds(self._clock.now())
        digest = sha256(content).digest()
        try:
            new = read_white_list(content)
            return await self._database.write(
                lambda conn: _replace(
                    conn, new, digest, at, act, accept_signed=accept_signed, force=force
                )
            )
        except WhiteListRefused as refused:
            entry = _entry(act, refused.word, {"digest": digest.hex()})
            await self._database.write(lambda conn: audit.record(conn, at, entry))
            raise

    async def _names(self, work: Callable[[Connection], Iterable[str]]) -> list[str]:
        return await self._database.read(lambda conn: list(work(conn)))


def _replace(
    conn: Connection,
    new: WhiteList,
    digest: bytes,
    at: int,
    act: Act,
    *,
    accept_signed: bool,
    force: bool,
) -> Difference:
    present = _white_list(conn)
    check_replacement(present, new, accept_signed=accept_signed, force=force)
    difference = Difference.between(present, new)
    conn.execute(delete(WHITE_LIST_ENTRY))
    conn.execute(delete(WHITE_LIST))
    conn.execute(
        insert(WHITE_LIST).values(
            number=_IN_FORCE,
            generated_at=to_milliseconds(new.generated),
            imported_at=at,
            signed=new.signed,
            digest=digest,
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
    )


def _white_list(conn: Connection) -> WhiteList | None:
    row = conn.execute(select(WHITE_LIST)).first()
    if row is None:
        return None
    listings = tuple(
        Listing(each.domain, DistinguishedName.parse(each.operator), each.description)
        for each in conn.execute(_LISTINGS)
    )
    return WhiteList(from_milliseconds(row.generated_at), listings, row.signed)
