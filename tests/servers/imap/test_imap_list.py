"""LIST, plain and extended (RFC 5258), with STATUS (RFC 5819) and special uses (RFC 6154)."""

import re

import pytest
from tests.servers.imap.imap_site import a_mail


def listed(lines):
    """What LIST said: name to attributes without the children's, and what follows the name."""
    found = {}
    for line in lines:
        match = re.fullmatch(rb'\* LIST \(([^)]*)\) "/" "([^"]*)"(.*)', line)
        if match:
            assert match[2] not in found
            attributes = match[1].decode().split()
            assert sum(each.endswith("Children") for each in attributes) == 1
            kept = {each for each in attributes if not each.endswith("Children")}
            found[match[2].decode()] = (kept, match[3].decode())
    return found


@pytest.fixture
async def client(process, connect):
    """The hierarchy of RFC 5258 section 5, example 9, beside the folders that are always there;
    of it only those with a digit in the last name, eps2 and mamba are subscribed.
    """
    client = await connect(process)
    for use in ("Archives", "Brouillons", "Corbeille", "Envoy&AOk-s", "Ind&AOk-sirables", "INBOX"):
        await client.ok(f"UNSUBSCRIBE {use}")
    for name in ("foo2", "baz2"):
        await client.ok(f"CREATE {name}")
        await client.ok(f"UNSUBSCRIBE {name}")
    for name in ("foo2/bar1", "foo2/bar2", "baz2/bar2", "baz2/bar22", "baz2/bar222"):
        await client.ok(f"CREATE {name}")
    for name in ("eps2", "eps2/mamba", "qux2/bar2"):
        await client.ok(f"CREATE {name}")
    return client


BELOW = {"foo2/bar1", "foo2/bar2", "baz2/bar2", "baz2/bar22", "baz2/bar222", "qux2/bar2"}


async def test_the_subscribed_ones_and_no_others(client):
    found = listed(await client.ok('LIST (SUBSCRIBED) "" "*"'))

    assert found == {name: ({"\\Subscribed"}, "") for name in BELOW | {"eps2", "eps2/mamba"}}
    assert listed(await client.ok('LIST (SUBSCRIBED) "" "%"')) == {"eps2": ({"\\Subscribed"}, "")}


async def test_recursivematch_tells_parents_whose_matches_the_pattern_does_not_reach(client):
    found = listed(await client.ok('LIST (RECURSIVEMATCH SUBSCRIBED) "" "*2"'))
    info = ' ("CHILDINFO" ("SUBSCRIBED"))'

    # Exactly the example of RFC 5258; baz2 and qux2 would be redundant.
    assert found == {
        "foo2": (set(), info),
        "foo2/bar2": ({"\\Subscribed"}, ""),
        "baz2/bar2": ({"\\Subscribed"}, ""),
        "baz2/bar22": ({"\\Subscribed"}, ""),
        "baz2/bar222": ({"\\Subscribed"}, ""),
        "eps2": ({"\\Subscribed"}, info),
        "qux2/bar2": ({"\\Subscribed"}, ""),
    }
    found = listed(await client.ok('LIST (SUBSCRIBED RECURSIVEMATCH) "" %'))
    assert found == {
        "foo2": (set(), info),
        "baz2": (set(), info),
        "eps2": ({"\\Subscribed"}, info),
        "qux2": ({"\\NonExistent", "\\Noselect"}, info),
    }


@pytest.mark.parametrize(
    "wrong",
    [
        'LIST (RECURSIVEMATCH) "" "*"',
        'LIST (REMOTE RECURSIVEMATCH) "" "*"',
        'LIST (OTHER) "" "*"',
        'LIST (SUBSCRIBED "" "*"',
        'LIST "" "*" RETURN (OTHER)',
        'LIST "" "*" RETURN SUBSCRIBED',
        'LIST "" "*" RETURN (STATUS)',
        'LIST "" "*" RETURN (STATUS ())',
        'LIST "" "*" RETURN (STATUS (OTHER))',
        'LIST "" ()',
        'LIST "" ("*"',
    ],
)
async def test_what_the_grammar_does_not_have_is_refused(client, wrong):
    assert (await client.run(wrong))[-1].startswith(b"BAD")


async def test_several_patterns_tell_a_mailbox_once(client):
    found = listed(await client.ok('LIST "" ("INBOX" "eps%" "*2/bar2" "eps2" "")'))

    assert found.keys() == {"INBOX", "eps2", "foo2/bar2", "baz2/bar2", "qux2/bar2"}
    assert listed(await client.ok('LIST "baz2/" ("bar2%")')).keys() == {
        "baz2/bar2",
        "baz2/bar22",
        "baz2/bar222",
    }


async def test_an_empty_name_in_an_extended_list_names_nothing(client):
    assert await client.ok('LIST "" ""') == [b'* LIST (\\Noselect) "/" ""']
    assert await client.ok('LIST "" "" RETURN ()') == []
    assert await client.ok('LIST () "" ""') == []
    assert await client.ok('LIST "" ("")') == []


async def test_a_missing_parent_does_not_exist_and_has_children(client):
    lines = await client.ok('LIST "" "q%" RETURN (CHILDREN)')
    assert lines == [b'* LIST (\\NonExistent \\Noselect \\HasChildren) "/" "qux2"']
    assert "qux2" not in listed(await client.ok('LIST "" "*" RETURN (CHILDREN)'))
    assert b'* LIST (\\Noselect \\HasChildren) "/" "qux2"' in await client.ok('LIST "" "*"')


async def test_subscriptions_are_told_of_all_mailboxes_where_asked(client):
    found = listed(await client.ok('LIST "" "*" RETURN (SUBSCRIBED CHILDREN SUBSCRIBED)'))

    told = {name for name, (attributes, _) in found.items() if "\\Subscribed" in attributes}
    assert told == BELOW | {"eps2", "eps2/mamba"}
    assert {"INBOX", "foo2", "baz2"} <= found.keys() - told
    plain = listed(await client.ok('LIST "" "*"'))
    assert not any("\\Subscribed" in attributes for attributes, _ in plain.values())


async def test_special_uses_are_selected_and_told(client):
    uses = {
        "Archives": "\\Archive",
        "Brouillons": "\\Drafts",
        "Corbeille": "\\Trash",
        "Envoy&AOk-s": "\\Sent",
        "Ind&AOk-sirables": "\\Junk",
    }
    found = listed(await client.ok('LIST (SPECIAL-USE) "" "*" RETURN (SUBSCRIBED CHILDREN)'))
    assert found == {name: ({use}, "") for name, use in uses.items()}
    for plain in ('LIST "" "*"', 'list "" "*" return (special-use)'):
        assert found.items() <= listed(await client.ok(plain)).items()
    assert listed(await client.ok('LIST (SPECIAL-USE SUBSCRIBED) "" "*"')) == {}
    assert listed(await client.ok('LIST (REMOTE SPECIAL-USE) "" "*"')) == found


async def test_a_special_use_is_given_at_creation_to_one_mailbox(client):
    for use in ("\\All", "\\Flagged", "\\Unknown", "\\Sent \\Drafts", "\\Sent"):
        answer = (await client.run(f"CREATE Mine (USE ({use}))"))[-1]
        assert answer.startswith(b"NO [USEATTR]"), use
    assert (await client.run("STATUS Mine (MESSAGES)"))[-1].startswith(b"NO [NONEXISTENT]")
    await client.ok('DELETE "Envoy&AOk-s"')
    await client.ok("CREATE Mine (USE (\\sent))")
    assert listed(await client.ok('LIST "" Mine')) == {"Mine": ({"\\Sent"}, "")}
    await client.ok("RENAME Mine Sent")
    assert listed(await client.ok('LIST "" Sent')) == {"Sent": ({"\\Sent"}, "")}
    assert (await client.run("CREATE Other (USE (\\Sent))"))[-1].startswith(b"NO [USEATTR]")
    assert (await client.run("CREATE Sent (USE (\\Sent))"))[-1].startswith(b"NO [ALREADYEXISTS]")
    await client.ok("CREATE Plain (USE ())")
    for wrong in ("(USE)", "(USE (Sent))", "(OTHER ())", "(USE (\\Sent)", "()"):
        assert (await client.run(f"CREATE x {wrong}"))[-1].startswith(b"BAD")


async def test_each_selectable_mailbox_is_followed_by_its_status(client):
    await client.append("foo2/bar2", a_mail(), "(\\Seen)")
    await client.append("foo2/bar2", a_mail())
    size = 2 * len(a_mail())
    lines = await client.ok('LIST "" ("qux2" "foo2/%") RETURN (STATUS (MESSAGES UNSEEN SIZE))')

    assert lines == [
        b'* LIST (\\HasNoChildren) "/" "foo2/bar1"',
        b'* STATUS "foo2/bar1" (MESSAGES 0 UNSEEN 0 SIZE 0)',
        b'* LIST (\\HasNoChildren) "/" "foo2/bar2"',
        b'* STATUS "foo2/bar2" (MESSAGES 2 UNSEEN 1 SIZE %d)' % size,
        b'* LIST (\\NonExistent \\Noselect \\HasChildren) "/" "qux2"',
    ]
    lines = await client.ok(
        'LIST (SUBSCRIBED RECURSIVEMATCH) "" % RETURN (STATUS (MESSAGES) CHILDREN)'
    )
    assert [line for line in lines if line.startswith(b"* STATUS")] == [
        b'* STATUS "eps2" (MESSAGES 0)'
    ]


async def test_a_highestmodseq_in_list_makes_the_client_aware(client):
    await client.append("eps2", a_mail())
    await client.ok("SELECT eps2")
    lines = await client.ok('LIST "" eps2 RETURN (STATUS (HIGHESTMODSEQ))')

    assert re.match(rb"\* OK \[HIGHESTMODSEQ (\d+)\]", lines[0])
    assert re.fullmatch(rb'\* STATUS "eps2" \(HIGHESTMODSEQ \d+\)', lines[2])
    assert b"MODSEQ (" in (await client.ok("STORE 1 +FLAGS.SILENT (\\Seen)"))[0]


async def test_lsub_tells_parents_only_where_the_pattern_ends_above(client):
    def names(lines):
        return {
            re.fullmatch(rb'\* LSUB \(([^)]*)\) "/" "(.*)"', line).groups()[::-1] for line in lines
        }

    assert {name for name, _ in names(await client.ok('LSUB "" "*"'))} == {
        name.encode() for name in BELOW | {"eps2", "eps2/mamba"}
    }
    assert names(await client.ok('LSUB "" "%"')) == {
        (b"foo2", b"\\Noselect \\HasChildren"),
        (b"baz2", b"\\Noselect \\HasChildren"),
        (b"qux2", b"\\Noselect \\HasChildren"),
        (b"eps2", b"\\HasChildren"),
    }


async def test_uidvalidity_after_delete_and_rename(client):
    async def validity(name):
        [line] = await client.ok(f"STATUS {name} (UIDVALIDITY UIDNEXT)")
        return tuple(map(int, re.findall(rb"UID\w+ (\d+)", line)))

    await client.ok("CREATE a")
    await client.append("a", a_mail())
    first, _ = await validity("a")
    await client.ok("DELETE a")
    await client.ok("CREATE a")
    second, uidnext = await validity("a")
    assert (second > first, uidnext) == (True, 1)
    await client.append("a", a_mail())
    await client.ok("RENAME a b/c")
    assert await validity("b/c") == (second, 2)
    await client.ok("CREATE a")
    third, _ = await validity("a")
    assert third > second
    await client.ok("RENAME b/c d")
    assert await validity("d") == (second, 2)
