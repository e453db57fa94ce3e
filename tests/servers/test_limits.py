from hypothesis import given
from hypothesis import strategies as st

from mssante.servers.limits import Allowance, ByteBudget, ConnectionLimits


def test_connections_are_limited_per_peer_and_in_total():
    limits = ConnectionLimits(total=3, per_peer=2)
    assert [limits.admit("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert [limits.admit("192.0.2.2") for _ in range(2)] == [True, False]
    limits.release("192.0.2.1")
    assert limits.admit("192.0.2.2")
    assert limits.count == 3


def test_an_ipv6_network_is_one_peer():
    limits = ConnectionLimits(per_peer=1)
    assert limits.admit("2001:db8::1")
    assert not limits.admit("2001:db8::2")
    assert limits.admit("2001:db8:0:1::1")


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
