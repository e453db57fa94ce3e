"""SEARCH and UID SEARCH (RFC 3501 section 6.4.4), also extended (RFC 4731) and by modseq (RFC 7162)."""

from collections.abc import Collection

from mssante.mail.search import Search as MailSearch
from mssante.servers.imap.session import Session
from mssante.wire.imap.commands import Search, SearchResult
from mssante.wire.imap.responses import quoted
from mssante.wire.imap.search import names_modseq
from mssante.wire.imap.sequence_set import SequenceSet, format_numbers


async def search(session: Session, command: Search) -> None:
    """Answer the numbers or UIDs of what matches, ascending, in one line, even when nothing does."""
    tag = session.tag
    selected = session.selected
    everything = selected.everything()

    def named(numbers: SequenceSet, *, uid: bool) -> Collection[int]:
        picked = selected.pick(numbers, uid=True) if uid else selected.numbers_of(numbers)
        return picked.indexes

    columns = everything.columns
    work = MailSearch(session.service, selected.view, columns, named, selected.recent_from)
    found = await work.run(command.key, everything.indexes)
    if command.uid:
        answers = [columns.uids[index] for index in found]
    elif isinstance(everything.indexes, range):  # nothing went: the row of message n is n - 1
        answers = [index + 1 for index in found]
    else:
        number_at = dict(zip(everything.indexes, everything.numbers, strict=True))
        answers = [number_at[index] for index in found]
    modseqs: list[int] = []
    if names_modseq(command.key):
        modseqs = [columns.modseqs[index] for index in found]
    if command.results is None:
        session.write(_plain(answers, modseqs))
    else:
        session.write(_extended(tag, command, command.results, answers, modseqs))


def _plain(answers: list[int], modseqs: list[int]) -> str:
    modseq = f" (MODSEQ {max(modseqs)})" if modseqs else ""
    return f"* SEARCH{''.join([f' {answer}' for answer in answers])}{modseq}\r\n"


def _extended(
    tag: str,
    command: Search,
    results: frozenset[SearchResult],
    answers: list[int],
    modseqs: list[int],
) -> str:
    """The ESEARCH response; only COUNT is told where nothing matches."""
    told = [f"* ESEARCH (TAG {quoted(tag.encode('ascii')).decode('ascii')})"]
    if command.uid:
        told.append("UID")
    if answers and SearchResult.MIN in results:
        told.append(f"MIN {answers[0]}")
    if answers and SearchResult.MAX in results:
        told.append(f"MAX {answers[-1]}")
    if answers and SearchResult.ALL in results:
        told.append(f"ALL {format_numbers(answers)}")
    if SearchResult.COUNT in results:
        told.append(f"COUNT {len(answers)}")
    if modseqs:
        told.append(f"MODSEQ {_highest_modseq(results, modseqs)}")
    return f"{' '.join(told)}\r\n"


def _highest_modseq(results: frozenset[SearchResult], modseqs: list[int]) -> int:
    """Of the messages that are returned: MIN and MAX alone return only those (RFC 4731 3.2)."""
    if results == {SearchResult.MIN}:
        return modseqs[0]
    if results == {SearchResult.MAX}:
        return modseqs[-1]
    if results == {SearchResult.MIN, SearchResult.MAX}:
        return max(modseqs[0], modseqs[-1])
    return max(modseqs)
