"""The shared view of a folder against a plain model of what the store says."""

from hypothesis import given
from hypothesis import strategies as st

from mssante.kernel.opaque import OpaqueId
from mssante.mail.model import FolderChanges, FolderRow
from mssante.mail.view import FolderView


def a_row(uid, flags=0, modseq=1):
    return FolderRow(uid, flags, modseq, 1000 + uid, 10 * uid, OpaqueId(uid.to_bytes(16, "big")))


def loaded(count=5):
    view = FolderView(7, None)
    view.apply(FolderChanges([a_row(uid) for uid in range(1, count + 1)], (), count + 1, 1, ()))
    return view


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 3)),
        st.tuples(st.just("flag"), st.sets(st.integers(1, 12), max_size=4)),
        st.tuples(st.just("expunge"), st.sets(st.integers(1, 12), max_size=4)),
    ),
    max_size=30,
)


@given(ACTIONS, st.booleans())
def test_a_view_follows_the_store_and_knows_what_changed_since_any_modseq(actions, forgetful):
    view = FolderView(7, None)
    truth: dict[int, FolderRow] = {}
    modseq, uidnext = 1, 1
    view.apply(FolderChanges((), (), 1, 1, ()))
    for verb, argument in actions:
        modseq += 1
        rows, gone = [], []
        if verb == "add":
            for _ in range(argument):
                rows.append(a_row(uidnext, 0, modseq))
                uidnext += 1
        elif verb == "flag":
            rows = [a_row(uid, modseq, modseq) for uid in sorted(argument & truth.keys())]
        else:
            gone = sorted(argument & truth.keys())
        truth.update({row.uid: row for row in rows})
        for uid in gone:
            del truth[uid]
        view.apply(FolderChanges(rows, gone, uidnext, modseq, ()))
        if forgetful:
            view._log.clear()
            view._logged_since = modseq

    expected = [truth[uid] for uid in sorted(truth)]
    assert view.columns.rows(range(len(view))) == expected
    for since in range(modseq + 1):
        changed = [view.columns.uids[index] for index in view.changed_since(since)]
        assert changed == [row.uid for row in expected if row.modseq > since]


def test_columns_that_someone_holds_keep_their_positions_when_messages_go():
    view = loaded()
    held = view.columns
    view.apply(FolderChanges((), (2, 3), 6, 2, ()))

    assert list(held.uids) == [1, 2, 3, 4, 5]
    assert list(view.columns.uids) == [1, 4, 5]
    assert view.columns.row(1) == a_row(4)
    assert view.columns.index_of(3) is None


def test_columns_are_shared_while_messages_only_arrive():
    view = loaded()
    held = view.columns
    view.apply(FolderChanges([a_row(6, modseq=2)], (), 7, 2, ()))

    assert view.columns is held
    assert len(view) == 6


def test_the_log_of_changes_is_bounded_and_falls_back_to_a_pass():
    view = loaded()
    for modseq in range(2, 2000):
        view.apply(FolderChanges([a_row(modseq % 5 + 1, 0, modseq)], (), 6, modseq, ()))

    assert len(view._log) <= 256
    assert view.changed_since(10) == [0, 1, 2, 3, 4]
    assert [view.columns.modseqs[i] > 1997 for i in view.changed_since(1997)] == [True, True]


def test_a_folder_whose_uidnext_went_back_is_gone():
    view = loaded()
    told = []
    view.listeners.add(lambda: told.append(len(view)))
    view.apply(FolderChanges((), (), 1, 1, ()))

    assert view.gone
    assert told == [0]
