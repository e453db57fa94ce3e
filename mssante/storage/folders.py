"""Folders: their making, names, counters and keywords, as plain functions over a connection."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, exists, func, insert, select, update

from mssante.kernel.opaque import OpaqueId, new_id
from mssante.kernel.reasons import Reason, Refusal
from mssante.mail.model import FIRST_KEYWORD_BIT, LAST_KEYWORD_BIT, Folder, SpecialUse
from mssante.storage.prepared import Prepared
from mssante.storage.schema.mail import (
    ENTRY,
    FOLDER,
    FOLDER_KEYWORD,
    MAILBOX,
    MESSAGE,
    SUBSCRIPTION,
)

INBOX: Final = "INBOX"
MOST_FOLDERS: Final = 1000
"""Per mailbox: a client that creates folders in a loop is stopped here."""
MOST_SUBSCRIPTIONS: Final = 1000
"""Names of one mailbox that outlive their folders; further ones are subscribed only as long as there
is a folder.
"""

INITIAL_FOLDERS: Final = (
    (INBOX, None),
    ("Brouillons", SpecialUse.DRAFTS),
    ("Envoyés", SpecialUse.SENT),
    ("Corbeille", SpecialUse.TRASH),
    ("Indésirables", SpecialUse.JUNK),
    ("Archives", SpecialUse.ARCHIVE),
)
"""What every mailbox has from the start; the names are those French clients would create."""

_BY_MAILBOX: Final = select(FOLDER).where(FOLDER.c.mailbox_id == bindparam("mailbox"))
_BY_NAME: Final = Prepared(_BY_MAILBOX.where(FOLDER.c.name == bindparam("folder_name")))
_LOCK: Final = select(FOLDER).where(FOLDER.c.number == bindparam("number")).with_for_update()
_KEYWORDS: Final = Prepared(
    select(FOLDER_KEYWORD.c.name)
    .where(FOLDER_KEYWORD.c.folder == bindparam("number"))
    .order_by(FOLDER_KEYWORD.c.bit)
)
_PORTION: Final = 500
_LOCK_MESSAGES: Final = (
    select(MESSAGE.c.id)
    .where(MESSAGE.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(MESSAGE.c.id)
    .with_for_update()
)
_DROP_UNHELD: Final = delete(MESSAGE).where(
    MESSAGE.c.id.in_(bindparam("ids", expanding=True)),
    ~exists().where(ENTRY.c.message_id == MESSAGE.c.id),
)

_KEYWORDS_OF_MAILBOX: Final = (
    select(FOLDER_KEYWORD.c.folder, FOLDER_KEYWORD.c.name)
    .join(FOLDER, FOLDER.c.number == FOLDER_KEYWORD.c.folder)
    .where(FOLDER.c.mailbox_id == bindparam("mailbox"))
    .order_by(FOLDER_KEYWORD.c.folder, FOLDER_KEYWORD.c.bit)
)


def canonical_name(name: str) -> str:
    """INBOX in capitals, however it was written (RFC 9051 section 5.1); others as they are."""
    return INBOX if name.upper() == INBOX else name


def list_folders(conn: Connection, mailbox_id: OpaqueId) -> list[Folder]:
    """All folders of a mailbox, INBOX first, then by name."""
    names: defaultdict[int, list[str]] = defaultdict(list)
    for folder, name in conn.execute(_KEYWORDS_OF_MAILBOX, {"mailbox": mailbox_id}):
        names[folder].append(name)
    rows = conn.execute(_BY_MAILBOX, {"mailbox": mailbox_id})
    found = [_folder(row, tuple(names[row.number])) for row in rows]
    return sorted(found, key=lambda folder: (folder.name != INBOX, folder.name))


def find_folder(conn: Connection, mailbox_id: OpaqueId, name: str) -> Folder | None:
    """One folder by name."""
    parameters = {"mailbox": mailbox_id, "folder_name": canonical_name(name)}
    row = _BY_NAME.first(conn, parameters)
    return _folder(row, keywords(conn, row.number)) if row else None


def create_folder(
    conn: Connection, mailbox_id: OpaqueId, name: str, special_use: SpecialUse | None, now: int
) -> Folder:
    """Create a folder with a UIDVALIDITY that this mailbox never had before.

    Raises:
        Refusal: MAILBOX_EXISTS, or LIMIT_REACHED.
    """
    name = canonical_name(name)
    if find_folder(conn, mailbox_id, name) is not None:
        raise Refusal(Reason.MAILBOX_EXISTS)
    counted = select(func.count()).select_from(FOLDER).where(FOLDER.c.mailbox_id == mailbox_id)
    if conn.execute(counted).scalar_one() >= MOST_FOLDERS:
        raise Refusal(Reason.LIMIT_REACHED, "folders of one mailbox")
    values = {
        "id": new_id(),
        "mailbox_id": mailbox_id,
        "name": name,
        "uidvalidity": next_uidvalidity(conn, mailbox_id, now),
        "uidnext": 1,
        "modseq": 1,
        "flag_modseq": 1,
        "recent_from": 1,
        "special_use": special_use.value if special_use else None,
        "subscribed": True,
    }
    row = conn.execute(insert(FOLDER).returning(FOLDER), values).one()
    return _folder(row, ())


def open_mailbox(conn: Connection, mailbox_id: OpaqueId, now: int) -> None:
    """Create the initial folders that a mailbox lacks."""
    there = {folder.name for folder in list_folders(conn, mailbox_id)}
    if INBOX in there:  # later the owner may have deleted or renamed the others: respect it
        return
    for name, special_use in INITIAL_FOLDERS:
        create_folder(conn, mailbox_id, name, special_use, now)


def next_uidvalidity(conn: Connection, mailbox_id: OpaqueId, now: int) -> int:
    """A number greater than any this mailbox used: the time in seconds, or the last one plus 1
    (RFC 9051 section 2.3.1.1).
    """
    row = conn.execute(
        select(MAILBOX.c.uidvalidity).where(MAILBOX.c.mailbox_id == mailbox_id).with_for_update()
    ).one_or_none()
    if row is None:
        given = now // 1000
        values = {"mailbox_id": mailbox_id, "uidvalidity": given, "vacated": 0}
        conn.execute(insert(MAILBOX), values)
        return given
    given = max(now // 1000, int(row.uidvalidity) + 1)
    conn.execute(
        update(MAILBOX).where(MAILBOX.c.mailbox_id == mailbox_id).values(uidvalidity=given)
    )
    return given


def lock_folder(conn: Connection, folder: int) -> Row[Any]:
    """The folder's row, locked against other writers until the transaction ends.

    Raises:
        Refusal: MAILBOX_NONEXISTENT.
    """
    row = conn.execute(_LOCK, {"number": folder}).one_or_none()
    if row is None:
        raise Refusal(Reason.MAILBOX_NONEXISTENT)
    return row


def delete_folder(conn: Connection, folder: int) -> int:
    """Delete a folder, its rows, and the messages that no folder holds any more. Its name stays
    subscribed where a client subscribed it.

    Returns:
        How many messages were in it.

    Raises:
        Refusal: MAILBOX_NONEXISTENT, or NOT_PERMITTED for INBOX.
    """
    row = lock_folder(conn, folder)
    if row.name == INBOX:
        raise Refusal(Reason.NOT_PERMITTED, "INBOX cannot be deleted")
    held = select(ENTRY.c.message_id).where(ENTRY.c.folder == folder)
    ids = [bytes(row.message_id) for row in conn.execute(held)]
    conn.execute(delete(FOLDER).where(FOLDER.c.number == folder))
    _vacate(conn, _folder(row, ()))
    drop_unheld(conn, ids)
    return len(ids)


def drop_unheld(conn: Connection, ids: Sequence[bytes]) -> None:
    """Delete those of these messages that no folder holds any more; their content is gone then."""
    for start in range(0, len(ids), _PORTION):
        portion = {"ids": sorted(ids[start : start + _PORTION])}
        if conn.dialect.name == "postgresql":
            # Two folders that let go of one message at the same time would each see the other's
            # row; the second waits here, and looks when the first is through.
            conn.execute(_LOCK_MESSAGES, portion)
        conn.execute(_DROP_UNHELD, portion)


def rename_folder(
    conn: Connection, mailbox_id: OpaqueId, name: str, new_name: str, now: int
) -> list[tuple[Folder, str]]:
    """Rename a folder and those below it; or those below a name that is no folder itself.

    Messages and UIDs stay. So does UIDVALIDITY, unless a younger folder has left its name
    meanwhile: that may be the new name, which must not go back to a smaller UIDVALIDITY than
    clients know of it (RFC 9051 section 2.3.1.1). Former names stay subscribed where a client
    subscribed them.

    Returns:
        The folders as they were, with their new names; a folder before those below it.

    Raises:
        Refusal: MAILBOX_NONEXISTENT; MAILBOX_EXISTS; or NOT_PERMITTED for INBOX, and for a name
            below the old one.
    """
    name, new_name = canonical_name(name), canonical_name(new_name)
    if name == INBOX:
        raise Refusal(Reason.NOT_PERMITTED, "INBOX is not renamed")
    siblings = list_folders(conn, mailbox_id)
    moved = [
        (folder, new_name + folder.name[len(name) :])
        for folder in siblings
        if folder.name == name or folder.name.startswith(f"{name}/")
    ]
    if not moved:
        raise Refusal(Reason.MAILBOX_NONEXISTENT)
    if new_name.startswith(f"{name}/"):
        raise Refusal(Reason.NOT_PERMITTED, "a folder cannot go below itself")
    if {new_name, *(to for _, to in moved)} & {folder.name for folder in siblings}:
        raise Refusal(Reason.MAILBOX_EXISTS)
    for number in sorted(folder.number for folder, _ in moved):
        lock_folder(conn, number)
    vacated = select(MAILBOX.c.vacated).where(MAILBOX.c.mailbox_id == mailbox_id)
    youngest: int = conn.execute(vacated.with_for_update()).scalar_one()
    for folder, to in moved:
        values: dict[str, Any] = {"name": to}
        if folder.uidvalidity < youngest:
            values["uidvalidity"] = next_uidvalidity(conn, mailbox_id, now)
        conn.execute(update(FOLDER).where(FOLDER.c.number == folder.number).values(values))
    for folder, _ in moved:
        _vacate(conn, folder)
    return moved


def _vacate(conn: Connection, folder: Folder) -> None:
    """Note that a folder has left its name."""
    conn.execute(
        update(MAILBOX)
        .where(MAILBOX.c.mailbox_id == folder.mailbox_id, MAILBOX.c.vacated < folder.uidvalidity)
        .values(vacated=folder.uidvalidity)
    )


def set_subscribed(conn: Connection, mailbox_id: OpaqueId, name: str, *, subscribed: bool) -> None:
    """Subscribe or unsubscribe a name, whether or not a folder has it.

    A name that a client subscribes outlives its folder, as the server must not take it off the
    list (RFC 3501 section 6.3.6). New folders are shown as subscribed without that: they go with
    their names, as most clients that delete one do not think of unsubscribing it.
    """
    name = canonical_name(name)
    folder = (FOLDER.c.mailbox_id == mailbox_id) & (FOLDER.c.name == name)
    conn.execute(update(FOLDER).where(folder).values(subscribed=subscribed))
    listed = list_subscriptions(conn, mailbox_id)
    if not subscribed:
        of_name = (SUBSCRIPTION.c.mailbox_id == mailbox_id) & (SUBSCRIPTION.c.name == name)
        conn.execute(delete(SUBSCRIPTION).where(of_name))
    elif name not in listed and len(listed) < MOST_SUBSCRIPTIONS:
        conn.execute(insert(SUBSCRIPTION), {"mailbox_id": mailbox_id, "name": name})


def list_subscriptions(conn: Connection, mailbox_id: OpaqueId) -> list[str]:
    """The names that clients subscribed, whether or not a folder has them."""
    wanted = select(SUBSCRIPTION.c.name).where(SUBSCRIPTION.c.mailbox_id == mailbox_id)
    return [row.name for row in conn.execute(wanted)]


def claim_recent(conn: Connection, folder: int, uidnext: int) -> int:
    """Note that a session was told of all messages below `uidnext`.

    Returns:
        The least UID of which no session had been told; `uidnext` where the folder is no more.
    """
    row = conn.execute(_LOCK, {"number": folder}).one_or_none()
    if row is None:
        return uidnext
    if row.recent_from < uidnext:
        claimed = update(FOLDER).where(FOLDER.c.number == folder).values(recent_from=uidnext)
        conn.execute(claimed)
    return int(row.recent_from)


def keywords(conn: Connection, folder: int) -> tuple[str, ...]:
    """The folder's keywords in the order of their bits."""
    return tuple(row.name for row in _KEYWORDS.all(conn, {"number": folder}))


def keyword_bits(conn: Connection, folder: int, names: tuple[str, ...]) -> dict[str, int]:
    """The bit of each keyword (compared without case), creating new ones.

    Raises:
        Refusal: LIMIT_REACHED when the folder has no bit left.
    """
    lock_folder(conn, folder)
    known = {name.lower(): FIRST_KEYWORD_BIT + i for i, name in enumerate(keywords(conn, folder))}
    for name in names:
        if name.lower() in known:
            continue
        bit = FIRST_KEYWORD_BIT + len(known)
        if bit > LAST_KEYWORD_BIT:
            raise Refusal(Reason.LIMIT_REACHED, "keywords of one folder")
        conn.execute(insert(FOLDER_KEYWORD), {"folder": folder, "bit": bit, "name": name})
        known[name.lower()] = bit
    return {name: known[name.lower()] for name in names}


def _folder(row: Any, names: tuple[str, ...]) -> Folder:
    return Folder(
        number=row.number,
        id=OpaqueId(bytes(row.id)),
        mailbox_id=OpaqueId(bytes(row.mailbox_id)),
        name=row.name,
        uidvalidity=row.uidvalidity,
        uidnext=row.uidnext,
        highestmodseq=row.modseq,
        recent_from=row.recent_from,
        special_use=SpecialUse(row.special_use) if row.special_use else None,
        subscribed=bool(row.subscribed),
        keywords=names,
    )
