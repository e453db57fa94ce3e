"""The `Carrier` port: an order handed to a host of its domain, over verified TLS or not at all.

A domain is carried to only while the white list names it, and only to a host whose certificate bears
one of the names that stand there for it. Sessions stay open for a moment, for the next message.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mssante.clients.smtp.connection import PeerLost
from mssante.clients.smtp.exchangers import Exchangers, Host, NoExchanger
from mssante.clients.smtp.session import Handover, PeerRefuses, PeerSession
from mssante.kernel.reasons import Refusal
from mssante.mail.model import BlobRef
from mssante.mail.ports import Blobs
from mssante.mail.relay import Attempt, Outcome, RelayOrder, Stage
from mssante.trust.peer_tls import PeerTls
from mssante.trust.peers import PeerJudge, Side
from mssante.trust.refusals import CertificateRefused
from mssante.trust.whitelist import AgeLimit
from mssante.wire.smtp.answers import Answer

_LOG: Final = logging.getLogger(__name__)

KEPT_SECONDS: Final = 20.0
"""How long a session without work stays open: peers count connections."""
_PIECE: Final = 256 * 1024
"""A multiple of the blobs' chunks."""
_NOT_LISTED: Final = "5.7.1"
_OUTDATED: Final = "4.7.1"
_TLS_STATUS: Final = "4.7.5"
"""Cryptographic failure (RFC 3463 section 3.8)."""
_UNREACHABLE: Final = "4.4.1"
_BROKEN: Final = "4.4.2"


class _Unusable(Exception):
    """No host of the domain can be used now."""

    def __init__(self, outcome: Outcome, why: str) -> None:
        super().__init__(why)
        self.outcome = outcome
        self.why = why


@dataclass(slots=True)
class _Kept:
    """A session that waits for work."""

    session: PeerSession
    used: int
    timer: asyncio.TimerHandle | None = None


class SmtpCarrier:
    """Carries orders over SMTP."""

    def __init__(
        self,
        own_name: str,
        tls: Callable[[], PeerTls],
        peers: PeerJudge,
        age: AgeLimit,
        exchangers: Exchangers,
        blobs: Blobs,
    ) -> None:
        """Args:
        own_name: ours in EHLO.
        tls: gives what shows our certificate.
        peers: judges the certificates of others.
        age: how old the white list may be that says whose certificates may receive for which
            domain; it knows the list.
        exchangers: where the hosts are.
        blobs: the messages.
        """
        self._own_name = own_name
        self._tls = tls
        self._peers = peers
        self._age = age
        self._space = age.space
        self._exchangers = exchangers
        self._blobs = blobs
        self._kept: dict[str, deque[_Kept]] = {}
        self._closed = False

    async def carry(self, order: RelayOrder) -> Attempt:
        """Try once; see the port."""
        places = order.waiting
        try:
            await self._age.check()
        except Refusal as refusal:
            outcome = Outcome(Stage.WAITING, _OUTDATED, "the white list is out of date")
            return Attempt(dict.fromkeys(places, outcome), unreachable=True, why=refusal.detail)
        if not await self._space.operators_of(order.domain):
            outcome = Outcome(Stage.FAILED, _NOT_LISTED, "the domain is not in the trusted space")
            return Attempt(dict.fromkeys(places, outcome), why="the domain is not listed any more")
        used = self._idle(order.domain)
        if used is not None:
            try:
                return await self._send(order, places, used)
            except PeerLost as lost:
                if used.session.data_begun:
                    return _broken(places, used.session, lost)
                # It was closed while it waited for work: that says nothing about the peer.
        try:
            fresh = await self._open(order.domain)
        except _Unusable as unusable:
            return Attempt(
                dict.fromkeys(places, unusable.outcome), unreachable=True, why=unusable.why
            )
        try:
            return await self._send(order, places, fresh)
        except PeerLost as lost:
            return _broken(places, fresh.session, lost)

    async def close(self) -> None:
        """End the sessions that wait for work; those that work are their orders' own."""
        self._closed = True
        for waiting in self._kept.values():
            for kept in waiting:
                if kept.timer is not None:
                    kept.timer.cancel()
                kept.session.close()
        self._kept.clear()
        await asyncio.sleep(0)

    async def _send(self, order: RelayOrder, places: Sequence[int], kept: _Kept) -> Attempt:
        """One message, as often as the peer's limit of recipients asks for."""
        session, most = kept.session, kept.session.most_recipients
        outcomes: dict[int, Outcome] = {}
        whys: list[str] = []
        for start in range(0, len(places), most):
            some = places[start : start + most]
            try:
                attempt = await self._send_to(order, some, session)
            except PeerLost as lost:
                if not outcomes:
                    raise
                # The first ones have it: only the rest is tried again.
                attempt = _broken(places[start:], session, lost)
                return Attempt({**outcomes, **attempt.outcomes}, why=attempt.why)
            outcomes.update(attempt.outcomes)
            whys.append(attempt.why)
        kept.used += 1
        self._keep(order.domain, kept)
        return Attempt(outcomes, why=next(filter(None, whys), ""))

    async def _send_to(
        self, order: RelayOrder, places: Sequence[int], session: PeerSession
    ) -> Attempt:
        message = Handover(
            sender=order.sender,
            recipients=[
                (order.recipients[place].address, order.recipients[place].request)
                for place in places
            ],
            size=len(order.prefix) + order.blob.length,
            is_8bit=order.is_8bit,
            is_utf8=order.is_utf8,
            require_tls=order.require_tls,
            returns=order.returns,
            envid=order.envid,
            pieces=lambda: _pieces(self._blobs, order.prefix, order.blob),
        )
        hindrance = session.hindrance(message)
        if hindrance is not None:
            outcome = Outcome(Stage.FAILED, hindrance.status, hindrance.text, session.host)
            return Attempt(dict.fromkeys(places, outcome), why=hindrance.text)
        try:
            answers = await session.send(message)
        except BaseException:  # also when a body cannot be read, or at the end of this process
            session.abort()
            raise
        outcomes = {
            place: _outcome(answer, session) for place, answer in zip(places, answers, strict=True)
        }
        return Attempt(outcomes, why=_why(answers))

    # --- sessions --------------------------------------------------------------------

    def _idle(self, domain: str) -> _Kept | None:
        waiting = self._kept.get(domain)
        while waiting:
            kept = waiting.pop()
            if kept.timer is not None:
                kept.timer.cancel()
            if kept.session.is_open:
                return kept
        return None

    def _keep(self, domain: str, kept: _Kept) -> None:
        if self._closed or kept.used >= kept.session.most_messages or not kept.session.is_open:
            kept.session.close()
            return
        waiting = self._kept.setdefault(domain, deque())
        waiting.append(kept)

        def end() -> None:
            if kept in waiting:
                waiting.remove(kept)
                kept.session.close()
            if not waiting:
                self._kept.pop(domain, None)

        kept.timer = asyncio.get_running_loop().call_later(KEPT_SECONDS, end)

    async def _open(self, domain: str) -> _Kept:
        """A session with the first host that can be used.

        Raises:
            _Unusable: there is none now.
        """
        try:
            hosts = await self._exchangers.hosts_of(domain)
        except NoExchanger as none:
            stage = Stage.FAILED if none.status.startswith("5") else Stage.WAITING
            raise _Unusable(Outcome(stage, none.status, none.why), none.why) from None
        last: _Unusable | None = None
        for host in hosts:
            try:
                return _Kept(await self._open_one(domain, host), 0)
            except PeerLost as lost:
                status = _TLS_STATUS if lost.why.startswith("TLS") else _UNREACHABLE
                last = _Unusable(_lost(lost, status, host.name), lost.why)
            except PeerRefuses as refuses:
                answer = refuses.answer
                text = answer.text if answer is not None else refuses.why
                status = answer.enhanced if answer and not answer.is_permanent else _TLS_STATUS
                last = _Unusable(Outcome(Stage.WAITING, status, text, host.name), refuses.why)
            _LOG.info("a host cannot be used", extra={"domain": domain, "why": last.why})
        assert last is not None  # there is at least one host
        raise last

    async def _open_one(self, domain: str, host: Host) -> PeerSession:
        async def judge(chain: Sequence[bytes]) -> None:
            try:
                name = await self._peers.judge_aside(chain, self._age.clock.now(), Side.SERVER)
            except CertificateRefused as refused:
                raise PeerRefuses(f"the peer's certificate is refused: {refused.reason}") from None
            if name not in await self._space.operators_of(domain):
                raise PeerRefuses("the peer's certificate is not listed for the domain")

        return await PeerSession.open(host.name, host.port, self._own_name, self._tls(), judge)


def _broken(places: Sequence[int], session: PeerSession, lost: PeerLost) -> Attempt:
    outcome = _lost(lost, _BROKEN, session.host)
    # A peer that says itself that it leaves wants nobody's mail now; the others would hear the same.
    left = lost.answer is not None
    return Attempt(dict.fromkeys(places, outcome), unreachable=left, why=lost.why)


def _lost(lost: PeerLost, status: str, host: str) -> Outcome:
    """`status`, unless the peer gave its own before it left."""
    if lost.answer is None:
        return Outcome(Stage.WAITING, status, lost.why, host)
    return Outcome(Stage.WAITING, lost.answer.enhanced, lost.answer.text, host)


def _pieces(blobs: Blobs, prefix: bytes, ref: BlobRef) -> Iterator[bytes]:
    yield prefix
    for start in range(0, ref.length, _PIECE):
        yield blobs.read(ref, start, start + _PIECE)


def _outcome(answer: Answer, session: PeerSession) -> Outcome:
    if answer.is_positive:
        stage = Stage.SENT
    else:
        stage = Stage.FAILED if answer.is_permanent else Stage.WAITING
    return Outcome(
        stage,
        answer.enhanced,
        answer.text,
        session.host,
        passed_on=answer.is_positive and session.passes_requests_on,
    )


def _why(answers: Iterable[Answer]) -> str:
    """The codes of the answers, without their words."""
    refused: Mapping[str, None] = dict.fromkeys(
        f"{answer.code} {answer.enhanced}" for answer in answers if not answer.is_positive
    )
    return "the peer answered " + ", ".join(refused) if refused else ""
