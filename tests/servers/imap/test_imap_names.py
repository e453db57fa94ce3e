"""Names of mailboxes that come and go: subscriptions, names without a mailbox, UIDVALIDITY."""

import re

import pytest
from tests.servers.imap.imap_site import a_mail
from tests.servers.imap.test_imap_list import listed


@pytest.fixture
async def client(process, connect):
    client = await connect(process)
    for name in ("Dossiers", "Dossiers/2025/Mars", "Dossiers/2025/Avril"):
        await client.ok(f"CREATE {name}")
        await client.ok(f"SUBSCRIBE {name}")
    return client


async def subscribed(client, pattern="Dos*"):
    """LSUB: names to whether they can be selected."""
    lines = await client.ok(f'LSUB "" "{pattern}"')
    found = [re.fullmatch(rb'\* LSUB \(([^)]*)\) "/" "(.*)"', line) for line in lines]
    return {match[2].decode(): b"\\Noselect" not in match[1] for match in found}


async def uidvalidity(client, name):
    [line] = await client.ok(f"STATUS {name} (UIDVALIDITY)")
    return int(re.search(rb"UIDVALIDITY (\d+)", line)[1])


async def test_a_deleted_mailboxs_name_stays_subscribed_until_it_is_unsubscribed(client):
    await client.ok("DELETE Dossiers/2025/Mars")

    assert await subscribed(client) == {
        "Dossiers": True,
        "Dossiers/2025/Mars": False,
        "Dossiers/2025/Avril": True,
    }
    assert listed(await client.ok('LIST (SUBSCRIBED) "" "Dos*Mars"')) == {
        "Dossiers/2025/Mars": ({"\\NonExistent", "\\Noselect", "\\Subscribed"}, "")
    }
    assert listed(await client.ok('LIST "" "Dos*Mars"')) == {}
    assert listed(await client.ok('LIST "" "Dos*Mars" RETURN (SUBSCRIBED)')) == {}
    await client.ok("SUBSCRIBE Dossiers/2025/Mars")
    await client.ok("UNSUBSCRIBE Dossiers/2025/Mars")
    assert "Dossiers/2025/Mars" not in await subscribed(client)


async def test_a_mailbox_of_a_name_that_stayed_subscribed_has_it_again(client):
    await client.ok("DELETE Dossiers/2025/Mars")
    await client.ok("CREATE Dossiers/2025/Mars")

    assert (await subscribed(client))["Dossiers/2025/Mars"] is True
    await client.ok("UNSUBSCRIBE Dossiers/2025/Mars")
    await client.ok("DELETE Dossiers/2025/Mars")
    assert "Dossiers/2025/Mars" not in await subscribed(client)


async def test_a_mailbox_that_only_the_server_subscribed_takes_its_name_with_it(client):
    await client.ok("CREATE Dossiers/2026")
    assert (await subscribed(client))["Dossiers/2026"] is True
    await client.ok("DELETE Dossiers/2026")

    assert "Dossiers/2026" not in await subscribed(client)


async def test_renaming_leaves_the_former_names_subscribed(client):
    await client.ok("UNSUBSCRIBE Dossiers")
    await client.ok("RENAME Dossiers Dossiers2")

    assert await subscribed(client) == {
        "Dossiers/2025/Mars": False,
        "Dossiers/2025/Avril": False,
        "Dossiers2/2025/Mars": True,
        "Dossiers2/2025/Avril": True,
    }


async def test_subscribed_names_without_a_mailbox_have_parents_but_give_none_children(client):
    await client.ok("DELETE Dossiers/2025/Mars")
    await client.ok("DELETE Dossiers/2025/Avril")

    assert await client.ok('LIST "" "Dossiers*"') == [
        b'* LIST (\\HasNoChildren) "/" "Dossiers"',
    ]
    assert await client.ok('LIST (SUBSCRIBED RECURSIVEMATCH) "" "Dossiers/%"') == [
        b'* LIST (\\NonExistent \\Noselect \\HasNoChildren) "/" "Dossiers/2025"'
        b' ("CHILDINFO" ("SUBSCRIBED"))',
    ]
    assert (await subscribed(client, "Dossiers/%")) == {"Dossiers/2025": False}


async def test_a_name_above_mailboxes_can_be_subscribed_and_unsubscribed(client):
    await client.ok("SUBSCRIBE Dossiers/2025")

    assert (await subscribed(client))["Dossiers/2025"] is False
    assert b"\\Subscribed" in b"".join(await client.ok('LIST "" Dossiers/% RETURN (SUBSCRIBED)'))
    await client.ok("UNSUBSCRIBE Dossiers/2025")
    assert "Dossiers/2025" not in await subscribed(client)


async def test_a_name_above_mailboxes_is_renamed_with_them(client):
    await client.append("Dossiers/2025/Mars", a_mail())
    await client.ok("RENAME Dossiers/2025 Anciens")

    assert listed(await client.ok('LIST "" "*Mars"')) == {"Anciens/Mars": (set(), "")}
    assert b"MESSAGES 1)" in (await client.ok("STATUS Anciens/Mars (MESSAGES)"))[0]
    assert listed(await client.ok('LIST "" "Dossiers*"')) == {"Dossiers": (set(), "")}


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("RENAME Dossiers Archives", b"NO [ALREADYEXISTS]"),
        ("RENAME Dossiers Dossiers", b"NO [ALREADYEXISTS]"),
        ("RENAME Dossiers/2025 Archives", b"NO [ALREADYEXISTS]"),
        ("RENAME Dossiers inbox", b"NO [ALREADYEXISTS]"),
        ("RENAME Dossiers Dossiers/2025/x", b"NO [NOPERM]"),
        ("RENAME nowhere x", b"NO [NONEXISTENT]"),
        ("RENAME Dossier x", b"NO [NONEXISTENT]"),
        ("DELETE Dossiers/2025", b"NO [HASCHILDREN]"),
        ("DELETE Dossier", b"NO [NONEXISTENT]"),
        ("SELECT Dossiers/2025", b"NO [NONEXISTENT]"),
        ("COPY 1 Dossiers/2025", b"BAD"),
    ],
)
async def test_what_cannot_be_done_to_a_name_is_said_precisely_and_changes_nothing(
    client, command, answer
):
    before = await client.ok('LIST "" "*" RETURN (SUBSCRIBED STATUS (UIDVALIDITY))')

    assert (await client.run(command))[-1].startswith(answer)
    assert await client.ok('LIST "" "*" RETURN (SUBSCRIBED STATUS (UIDVALIDITY))') == before


async def test_a_name_never_goes_back_to_a_smaller_uidvalidity(client):
    old = await uidvalidity(client, "Dossiers")
    await client.ok("CREATE Analyses")
    known = await uidvalidity(client, "Analyses")
    assert known > old
    await client.ok("DELETE Analyses")
    await client.ok("RENAME Dossiers Analyses")

    assert await uidvalidity(client, "Analyses") > known
