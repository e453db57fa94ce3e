"""SEARCH and UID SEARCH (RFC 3501 section 6.4.4)."""

from collections.abc import Collection

from mssante.mail.search import Search as MailSearch
from mssante.servers.imap.session import Session
from mssante.wire.imap.commands import Search
from mssante.wire.imap.sequence_set import SequenceSet


async def search(session: Session, command: Search) -> None:
    """Answer the numbers or UIDs of what matches, ascending, in one line, even when nothing does."""
    selected = session.selected
    everything = selected.everything()

    def named(numbers: SequenceSet, *, uid: bool) -> Collection[int]:
        picked = selected.pick(numbers, uid=True) if uid else selected.numbers_of(numbers)
        return picked.indexes

    found = await MailSearch(session.service, selected.view, everything.columns, named).run(
        command.key, everything.indexes
    )
    if command.uid:
        uids = everything.columns.uids
        answers = [uids[index] for index in found]
    elif isinstance(everything.indexes, range):  # nothing went: the row of message n is n - 1
        answers = [index + 1 for index in found]
    else:
        number_at = dict(zip(everything.indexes, everything.numbers, strict=True))
        answers = [number_at[index] for index in found]
    session.write(f"* SEARCH{''.join([f' {answer}' for answer in answers])}\r\n")
