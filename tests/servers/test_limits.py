import os
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mssante.servers.connection_counts import ConnectionCounts
from mssante.servers.limits import Allowance, ByteBudget, ConnectionLimits


def test_connections_are_limited_per_peer_and_in_total():
    limits = ConnectionLimits(total=3, per_peer=2)
    assert [limits.admit("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert [limits.admit("192.0.2.2") for _ in range(2)] == [True, False]
    limits.release("192.0.2.1")
    assert limits.admit("192.0.2.2")
    assert not limits.admit("192.0.2.3")


def test_an_ipv6_network_is_one_peer():
    limits = ConnectionLimits(per_peer=1)
    assert limits.admit("2001:db8::1")
    assert not limits.admit("2001:db8::2")
    assert limits.admit("2001:db8:0:1::1")


def test_connections_count_at_all_workers_together():
    counts = ConnectionCounts(workers=3)
    first, second, third = (
        ConnectionLimits(counts, number, total=5, per_peer=3) for number in range(3)
    )
    assert first.admit("192.0.2.1")
    assert second.admit("192.0.2.1")
    assert third.admit("192.0.2.1")
    assert not first.admit("192.0.2.1")
    second.release("192.0.2.1")
    assert first.admit("192.0.2.1")
    assert [second.admit(f"192.0.2.{number}") for number in (2, 3, 4)] == [True, True, False]


def test_the_connections_of_a_worker_that_ended_are_forgotten():
    counts = ConnectionCounts(workers=2)
    limits = [ConnectionLimits(counts, number, per_peer=3) for number in range(2)]
    assert limits[0].admit("192.0.2.1")
    assert [limits[1].admit("192.0.2.1") for _ in range(3)] == [True, True, False]
    counts.forget(1)
    assert (counts.total(), counts.of_network("192.0.2.1")) == (1, 1)
    assert limits[1].admit("192.0.2.1")


def test_other_processes_see_what_one_counts():
    counts = ConnectionCounts(workers=2)
    pid = os.fork()
    if pid == 0:
        counts.add(1, "192.0.2.1", 7)
        os._exit(0)
    os.waitpid(pid, 0)
    assert (counts.total(), counts.of_network("192.0.2.1")) == (7, 7)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 400), st.integers(1, 50)), max_size=300)
)
def test_a_network_is_never_counted_too_low(steps):
    counts, really = ConnectionCounts(workers=3), Counter()
    for worker, network, number in steps:
        counts.add(worker, str(network), number)
        really[str(network)] += number
    assert counts.total() == really.total()
    found = {network: counts.of_network(network) for network in really}
    assert all(found[network] >= number for network, number in really.items())
    assert sum(found[network] > number for network, number in really.items()) <= 6
    for worker, network, number in steps:
        counts.add(worker, str(network), -number)
    assert {counts.total(), *map(counts.of_network, really)} == {0}


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 100))))
def test_shares_never_exceed_the_budget_and_all_comes_back(steps):
    budget = ByteBudget(150)
    shares = [budget.share() for _ in range(3)]
    held = [0, 0, 0]
    for which, octets in steps:
        others = sum(held) - held[which]
        granted = shares[which].resize(octets)
        assert granted == (others + octets <= 150 or octets <= held[which])
        if granted:
            held[which] = octets
        assert budget.left == 150 - sum(held)
    for share in shares:
        with share:
            pass
    assert budget.left == 150


def test_an_allowance_is_spent_and_renewed():
    allowance = Allowance(2)
    assert [allowance.spend() for _ in range(3)] == [True, True, False]
    allowance.renew()
    assert allowance.spend()
