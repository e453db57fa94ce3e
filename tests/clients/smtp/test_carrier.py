"""Handing messages over to other operators' servers, good ones and bad ones."""

import asyncio
import ssl
from datetime import timedelta

import dns.exception
import dns.resolver
import pytest

from mssante.clients.smtp import carrier as carrier_module
from mssante.clients.smtp import session as session_module
from cryptography import x509

from mssante.clients.smtp.carrier import SmtpCarrier
from mssante.clients.smtp.exchangers import Exchangers, Host, NoExchanger
from mssante.kernel.address import Address
from mssante.kernel.opaque import new_id
from mssante.mail.model import BlobRef
from mssante.mail.relay import RelayOrder, RelayRecipient, Stage
from mssante.wire.smtp.notifications import DeliveryRequest, Notify, Return
from mssante.trust.anchors import Trust, read_certificates
from mssante.trust.peer_tls import PeerTls
from mssante.trust.peers import PeerJudge, PeerPolicy
from mssante.trust.whitelist import AgeLimit
from tests.support.mail_pki import Party, revocation_list
from tests.support.peers import NOW, Authority, Peer

DOMAIN = "other.example"
BODY = b"From: a@ours.example\r\n\r\n.hidden dot\r\nbonjour\r\n"


class Space:
    """Who may speak for which domain."""

    def __init__(self) -> None:
        self.names = {}

    async def known_until(self):
        return NOW

    async def operators_of(self, domain):
        return frozenset(self.names.get(domain, ()))


class Bodies:
    """Message bodies, cut as the store cuts them."""

    content = BODY

    def read(self, ref, start=0, stop=None):
        return self.content[start:stop]


@pytest.fixture
async def world(tmp_path, clock):
    clock.instant = NOW
    authority = Authority(tmp_path)
    authority.operator("ours")
    judge = PeerJudge(Trust(read_certificates(authority.ca_file.read_bytes())), PeerPolicy())
    space, bodies, peers, carriers = Space(), Bodies(), [], []

    async def peer(name="other", tls=None, **options):
        if not (tmp_path / f"{name}.pem").exists():
            space.names.setdefault(DOMAIN, set()).add(authority.operator(name))
        made = Peer(tls or authority.context(name), **options)
        port = await made.start()
        peers.append(made)
        ours = [(tmp_path / f"ours.{suffix}").read_bytes() for suffix in ("pem", "key")]
        own = PeerTls(*ours)
        carrier = SmtpCarrier(
            "mx.ours.example", lambda: own, judge, AgeLimit(space, clock, timedelta(hours=72)),
            Exchangers({DOMAIN: Host("127.0.0.1", port)}), bodies,
        )  # fmt: skip
        carriers.append(carrier)
        return made, carrier

    peer.judge = judge
    peer.space, peer.authority, peer.bodies, peer.folder = space, authority, bodies, tmp_path
    yield peer
    for carrier in carriers:
        await carrier.close()
    for each in peers:
        await each.stop()


def an_order(*recipients, size=len(BODY), **more):
    values = {
        "id": new_id(),
        "spool_id": new_id(),
        "domain": DOMAIN,
        "sender": Address("a", "ours.example"),
        "mailbox_id": new_id(),
        "recipients": recipients or (RelayRecipient(Address("b", DOMAIN)),),
        "blob": BlobRef("s", 0, size, b""),
        "prefix": b"Received: by us\r\n",
        "accepted_at": NOW,
    }
    return RelayOrder(**(values | more))


def stages(attempt):
    return [attempt.outcomes[place].stage for place in sorted(attempt.outcomes)]


async def test_a_message_is_handed_over_as_it_is_with_our_certificate_shown(world):
    peer, carrier = await world()

    attempt = await carrier.carry(an_order())

    assert stages(attempt) == [Stage.SENT]
    assert peer.messages == [b"Received: by us\r\n" + BODY]
    assert dict(x[0] for x in peer.certificates[0]["subject"])["organizationName"] == "ours"
    outcome = attempt.outcomes[0]
    assert (outcome.status, outcome.diagnostic) == ("2.0.0", "250 2.0.0 taken")


@pytest.mark.parametrize("pipelining", [True, False])
async def test_each_recipient_has_its_own_outcome(world, pipelining):
    peer, carrier = await world(
        answers={"RCPT": ["250 ok", "550 5.1.1 unknown", "451 4.2.0 later", "250 ok"]},
        extensions=["PIPELINING"] if pipelining else [],
    )
    recipients = [RelayRecipient(Address(f"r{n}", DOMAIN)) for n in range(4)]

    attempt = await carrier.carry(an_order(*recipients))

    assert stages(attempt) == [Stage.SENT, Stage.FAILED, Stage.WAITING, Stage.SENT]
    assert attempt.outcomes[1].status == "5.1.1"
    assert attempt.why == "the peer answered 550 5.1.1, 451 4.2.0"
    assert len(peer.messages) == 1


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize(
    ("answers", "stage", "status"),
    [
        ({"MAIL": "550 5.7.1 not you"}, Stage.FAILED, "5.7.1"),
        ({"MAIL": "451 4.3.0 later"}, Stage.WAITING, "4.3.0"),
        ({"RCPT": "550 5.1.1 unknown"}, Stage.FAILED, "5.1.1"),
        ({"RCPT": "550 5.1.1 unknown", "DATA": "354 all the same"}, Stage.FAILED, "5.1.1"),
        ({"RCPT": "550 5.1.1 unknown", "RSET": "CLOSE"}, Stage.FAILED, "5.1.1"),
        ({"RCPT": "550 5.1.1 unknown", "RSET": "421 4.4.2 bye"}, Stage.FAILED, "5.1.1"),
        ({"DATA": "451 4.3.1 full"}, Stage.WAITING, "4.3.1"),
        ({"DATA": "554 5.5.0 no"}, Stage.FAILED, "5.5.0"),
        ({"end": "554 5.6.0 malformed"}, Stage.FAILED, "5.6.0"),
        ({"end": "452 4.3.1 full"}, Stage.WAITING, "4.3.1"),
        ({"end": "CLOSE"}, Stage.WAITING, "4.4.2"),
        ({"MAIL": "CLOSE"}, Stage.WAITING, "4.4.2"),
        ({"DATA": "250 what"}, Stage.WAITING, "4.4.2"),
        ({"end": "354 more"}, Stage.WAITING, "4.4.2"),
        ({"MAIL": "hello"}, Stage.WAITING, "4.4.2"),
    ],
)
async def test_what_a_peer_answers_decides(world, answers, stage, status, pipelining):
    _, carrier = await world(answers=answers, extensions=["PIPELINING"] if pipelining else [])

    attempt = await carrier.carry(an_order())

    assert stages(attempt) == [stage]
    assert attempt.outcomes[0].status == status
    assert not attempt.unreachable


@pytest.mark.parametrize("verb", ["EHLO", "STARTTLS", "MAIL", "RCPT", "DATA", "end"])
async def test_a_peer_that_says_that_it_leaves_is_left_alone_with_its_own_reason(world, verb):
    peer, carrier = await world(answers={verb: "421 4.3.2 shutting down"})

    attempt = await carrier.carry(an_order())

    assert (stages(attempt), attempt.unreachable) == ([Stage.WAITING], True)
    outcome = attempt.outcomes[0]
    assert (outcome.status, outcome.diagnostic) == ("4.3.2", "421 4.3.2 shutting down")
    assert peer.connections == 1


async def test_after_a_refusal_the_session_serves_the_next_message(world):
    peer, carrier = await world(
        answers={"RCPT": ["550 5.1.1 no"], "MAIL": ["250 ok", "550 5.7.1 no"]}
    )

    outcomes = [stages(await carrier.carry(an_order())) for _ in range(3)]

    assert outcomes == [[Stage.FAILED], [Stage.FAILED], [Stage.SENT]]
    assert peer.connections == 1


async def test_a_session_that_the_peer_closed_while_it_waited_costs_no_attempt(world):
    peer, carrier = await world(answers={"MAIL": ["250 ok", "CLOSE"]})

    outcomes = [stages(await carrier.carry(an_order())) for _ in range(2)]

    assert outcomes == [[Stage.SENT], [Stage.SENT]]
    assert peer.connections == 2


async def test_a_message_whose_end_has_no_answer_is_not_sent_twice_at_once(world):
    peer, carrier = await world(answers={"end": ["250 ok", "CLOSE"]})
    await carrier.carry(an_order())

    attempt = await carrier.carry(an_order())

    assert stages(attempt) == [Stage.WAITING]
    assert len(peer.messages) == 2


# --- nothing in clear, nobody else ---------------------------------------------------------------


async def test_a_peer_without_starttls_gets_nothing(world):
    peer, carrier = await world(starttls=False)

    attempt = await carrier.carry(an_order())

    assert stages(attempt) == [Stage.WAITING]
    assert attempt.unreachable
    assert [command.split(" ")[0] for command in peer.commands] == ["EHLO"]


async def test_a_peer_that_refuses_starttls_gets_nothing(world):
    peer, carrier = await world(answers={"STARTTLS": "454 4.7.0 not now"})

    attempt = await carrier.carry(an_order())

    assert (stages(attempt), attempt.outcomes[0].status) == ([Stage.WAITING], "4.7.0")
    assert not any(command.startswith("MAIL") for command in peer.commands)


async def test_what_is_said_between_starttls_and_tls_ends_it(world):
    _, carrier = await world(after_starttls=b"250 injected\r\n")

    attempt = await carrier.carry(an_order())

    assert (stages(attempt), attempt.unreachable) == ([Stage.WAITING], True)


@pytest.mark.parametrize("name", ["unlisted", "elsewhere"])
async def test_a_certificate_that_is_not_listed_for_the_domain_gets_nothing(world, name):
    peer, carrier = await world()
    world.space.names[DOMAIN] = {world.authority.operator(name)}

    attempt = await carrier.carry(an_order())

    assert (stages(attempt), attempt.unreachable) == ([Stage.WAITING], True)
    assert attempt.outcomes[0].status == "4.7.5"
    assert not any(command.startswith("MAIL") for command in peer.commands)


@pytest.mark.parametrize("kind", ["unknown", "expired", "self", "revoked"])
async def test_a_chain_that_does_not_verify_gets_nothing(world, kind, tmp_path):
    if kind == "revoked":
        world.authority.operator("impostor")
        revoked = x509.load_pem_x509_certificate((tmp_path / "impostor.pem").read_bytes())
        root = world.authority.root
        listed = revocation_list(
            Party(root.certificate, root.key), (revoked, NOW - timedelta(days=1))
        )
        world.judge.renew(Trust((root.certificate,), (), (listed,)))
        context = world.authority.context("impostor")
    elif kind == "unknown":
        foreign = Authority(tmp_path, "foreign")
        foreign.operator("impostor")
        context = foreign.context("impostor")
        context.verify_mode = ssl.CERT_NONE
    else:
        at = {"expired": NOW - timedelta(days=1000)}.get(kind, NOW)
        world.authority.operator("impostor", at)
        context = world.authority.context("impostor")
    peer, carrier = await world(tls=context)

    attempt = await carrier.carry(an_order())

    assert stages(attempt) == [Stage.WAITING]
    assert attempt.outcomes[0].status == "4.7.5"
    reason = {"unknown": "unknown-root", "expired": "certificate-expired", "revoked": "revoked-"}
    assert reason.get(kind, "") in attempt.why
    assert not any(command.startswith("MAIL") for command in peer.commands)


async def test_nothing_goes_out_on_a_white_list_that_is_too_old(world, clock):
    peer, carrier = await world()
    clock.advance(hours=73)

    attempt = await carrier.carry(an_order())

    assert (stages(attempt), attempt.outcomes[0].status) == ([Stage.WAITING], "4.7.1")
    assert peer.connections == 0


async def test_both_certificates_of_a_domain_pass_during_a_change_over(world):
    for name in ("old", "new"):
        _, carrier = await world(name)
        assert stages(await carrier.carry(an_order())) == [Stage.SENT]


async def test_a_domain_that_left_the_white_list_fails_at_once(world):
    peer, carrier = await world()
    world.space.names.clear()

    attempt = await carrier.carry(an_order())

    assert (stages(attempt), attempt.outcomes[0].status) == ([Stage.FAILED], "5.7.1")
    assert peer.connections == 0


# --- what the peer can take ----------------------------------------------------------------------


async def test_a_message_that_the_peer_cannot_take_fails_unchanged(world):
    peer, carrier = await world(extensions=["SIZE 20"])

    attempts = [
        await carrier.carry(an_order(**needs))
        for needs in (
            {},
            {"is_8bit": True, "size": 1},
            {"is_utf8": True, "size": 1},
            {"require_tls": True, "size": 1},
        )
    ]

    assert [one.outcomes[0].status for one in attempts] == ["5.3.4", "5.6.3", "5.6.7", "5.7.30"]
    assert {one.outcomes[0].stage for one in attempts} == {Stage.FAILED}
    assert peer.messages == []


async def test_what_was_asked_about_notifications_goes_to_a_peer_that_knows_it(world):
    peer, carrier = await world()
    request = DeliveryRequest(frozenset({Notify.SUCCESS}), "rfc822;b+2Bx@y.fr")
    recipient = RelayRecipient(Address("b", DOMAIN), request)

    attempt = await carrier.carry(
        an_order(recipient, returns=Return.HEADERS, envid="E1", is_8bit=True)
    )

    mail, rcpt = peer.commands[-3], peer.commands[-2]
    assert mail.endswith(" BODY=8BITMIME RET=HDRS ENVID=E1")
    assert rcpt == f"RCPT TO:<b@{DOMAIN}> NOTIFY=SUCCESS ORCPT=rfc822;b+2Bx@y.fr"
    assert attempt.outcomes[0].passed_on


async def test_a_peer_without_notifications_is_asked_nothing_that_it_does_not_know(world):
    peer, carrier = await world(extensions=[])
    recipient = RelayRecipient(Address("b", DOMAIN), DeliveryRequest(frozenset({Notify.SUCCESS})))

    attempt = await carrier.carry(an_order(recipient, returns=Return.FULL, envid="E1"))

    assert "MAIL FROM:<a@ours.example>" in peer.commands
    assert f"RCPT TO:<b@{DOMAIN}>" in peer.commands
    assert not attempt.outcomes[0].passed_on


async def test_what_a_message_needs_is_asked_of_a_peer_that_has_it(world):
    peer, carrier = await world(extensions=["8BITMIME", "SMTPUTF8", "REQUIRETLS"])

    await carrier.carry(an_order(is_8bit=True, is_utf8=True, require_tls=True))

    assert "MAIL FROM:<a@ours.example> BODY=8BITMIME SMTPUTF8 REQUIRETLS" in peer.commands


async def test_the_peers_limits_are_kept(world):
    peer, carrier = await world(extensions=["PIPELINING", "LIMITS RCPTMAX=2 MAILMAX=2 X=y"])
    recipients = [RelayRecipient(Address(f"r{n}", DOMAIN)) for n in range(5)]

    attempt = await carrier.carry(an_order(*recipients))
    again = [await carrier.carry(an_order()) for _ in range(3)]

    assert stages(attempt) == [Stage.SENT] * 5
    assert len(peer.messages) == 6
    assert [stages(one) for one in again] == [[Stage.SENT]] * 3
    assert peer.connections > 1


async def test_who_has_a_message_does_not_get_it_again_when_the_rest_breaks_off(world):
    _, carrier = await world(
        extensions=["PIPELINING", "LIMITS RCPTMAX=2"], answers={"end": ["250 ok", "CLOSE"]}
    )
    recipients = [RelayRecipient(Address(f"r{n}", DOMAIN)) for n in range(3)]

    attempt = await carrier.carry(an_order(*recipients))

    assert stages(attempt) == [Stage.SENT, Stage.SENT, Stage.WAITING]


async def test_a_large_message_goes_in_pieces(world):
    peer, carrier = await world(extensions=["PIPELINING"])
    line = b".0123456789abcdef" * 50 + b"\r\n"
    world.bodies.content = line * 1000

    attempt = await carrier.carry(an_order(size=len(line) * 1000, prefix=b""))

    assert stages(attempt) == [Stage.SENT]
    assert peer.messages == [line * 1000]


# --- time and place ------------------------------------------------------------------------------


@pytest.mark.parametrize("slow", ["greeting", "MAIL", "end"])
async def test_a_peer_that_says_nothing_is_left(world, monkeypatch, slow):
    for name in ("GREETING_SECONDS", "COMMAND_SECONDS", "DATA_SECONDS", "END_SECONDS"):
        monkeypatch.setattr(session_module, name, 0.3)
    peer, carrier = await world()
    said = peer._say

    async def silent(writer, verb, usual, more=b""):
        if verb == slow:
            await asyncio.sleep(2)
        return await said(writer, verb, usual, more)

    peer._say = silent

    attempt = await carrier.carry(an_order())

    assert stages(attempt) == [Stage.WAITING]
    assert "too long" in attempt.why


async def test_nobody_listens(world):
    peer, carrier = await world()
    await peer.stop()

    attempt = await carrier.carry(an_order())

    assert (stages(attempt), attempt.unreachable) == ([Stage.WAITING], True)
    assert attempt.outcomes[0].status == "4.4.1"


async def test_an_idle_session_is_closed_after_a_while(world, monkeypatch):
    monkeypatch.setattr(carrier_module, "KEPT_SECONDS", 0.1)
    peer, carrier = await world()
    await carrier.carry(an_order())

    await asyncio.sleep(0.5)

    assert peer.commands[-1] == "QUIT"


class Zone:
    """A resolver that gives one answer."""

    def __init__(self, *records, error=None):
        self.records, self.error = records, error

    async def resolve(self, *arguments, **options):
        if self.error is not None:
            raise self.error
        return [type("MX", (), {"preference": p, "exchange": name}) for p, name in self.records]


async def test_hosts_are_tried_by_their_preference():
    exchangers = Exchangers({}, Zone((20, "b.x.fr."), (10, "a.x.fr.")))

    assert await exchangers.hosts_of("x.fr") == [Host("a.x.fr"), Host("b.x.fr")]


async def test_a_domain_without_mx_is_its_own_host():
    assert await Exchangers({}, Zone(error=dns.resolver.NoAnswer())).hosts_of("x.fr") == [
        Host("x.fr")
    ]


@pytest.mark.parametrize(
    ("zone", "status"),
    [
        (Zone((0, ".")), "5.1.10"),
        (Zone(error=dns.resolver.NXDOMAIN()), "5.1.2"),
        (Zone(error=dns.exception.Timeout()), "4.4.3"),
        (Zone(error=dns.resolver.NoNameservers()), "4.4.3"),
    ],
)
async def test_a_domain_that_takes_no_mail_says_why(zone, status):
    with pytest.raises(NoExchanger) as caught:
        await Exchangers({}, zone).hosts_of("x.fr")

    assert caught.value.status == status
