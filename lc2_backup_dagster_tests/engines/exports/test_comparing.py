"""What changed between two exports, from their indexes alone."""

from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.engines.exports.comparing import ChangeCounts, ChangeKind, diff_exports
from lc2_backup_dagster.engines.exports.index import IndexEntry


def an_index(documents):
    """Return entries for a mapping of path to hash."""
    return [
        IndexEntry(path, 1, documents[path], number * 1024)
        for number, path in enumerate(sorted(documents, key=str.encode))
    ]


def test_added_removed_and_changed_documents_are_told_in_order():
    old = an_index({"a": "1", "b": "1", "d": "1", "é": "1"})
    new = an_index({"b": "2", "c": "1", "d": "1", "é": "1", "zz": "1"})
    changes = list(diff_exports(old, new))
    assert [(change.path, change.kind) for change in changes] == [
        ("a", ChangeKind.REMOVED),
        ("b", ChangeKind.CHANGED),
        ("c", ChangeKind.ADDED),
        ("zz", ChangeKind.ADDED),
    ]
    assert changes[0].new is None
    assert changes[2].old is None
    counts = ChangeCounts()
    for change in changes:
        counts.count(change.kind)
    assert (counts.added, counts.removed, counts.changed, counts.total) == (2, 1, 1, 4)


def test_a_document_that_only_moved_in_the_tar_did_not_change():
    old = [IndexEntry("a", 1, "x", 512)]
    assert not list(diff_exports(old, [IndexEntry("a", 1, "x", 4096)]))


PATHS = st.dictionaries(st.text("ab/é", min_size=1, max_size=3), st.sampled_from("12"), max_size=8)


@given(PATHS, PATHS)
def test_it_agrees_with_comparing_sets(old, new):
    found = {change.path: change.kind for change in diff_exports(an_index(old), an_index(new))}
    expected = dict.fromkeys(old.keys() - new.keys(), ChangeKind.REMOVED)
    expected |= dict.fromkeys(new.keys() - old.keys(), ChangeKind.ADDED)
    expected |= {path: ChangeKind.CHANGED for path in old.keys() & new.keys() if old[path] != new[path]}
    assert found == expected


def test_only_the_indexes_of_two_stored_exports_are_read(export, store):
    first = export({"a.json": b'{"x": 1}', "b": b"same", "gone": b""})
    second = export({"a.json": b'{"x": 2}', "b": b"same", "new": b""})
    for key in [key for key in store.objects if "/export.tar/" in key]:
        del store.objects[key]
    found = [(change.path, str(change.kind)) for change in second.changes_since(first)]
    assert found == [("a.json", "changed"), ("gone", "removed"), ("new", "added")]


def test_changed_documents_are_compared_by_their_keys(export):
    first = export({"a.json": b'{"x": 1}', "b": b"same"})
    second = export({"a.json": b'{"x": 2}', "b": b"same"})
    [changes] = second.document_changes_since(first)
    assert list(changes.text()) == ["~ a.json", "    ~ x: 1 → 2"]


def test_a_part_is_fetched_once_for_all_the_documents_it_holds(export, store):
    first = export({f"{number:03}": b"old" * 300 for number in range(300)})
    second = export({f"{number:03}": b"new" * 300 for number in range(300)})
    fetched: list[str] = []
    get = store.get
    store.get = lambda key, **options: fetched.append(key) or get(key, **options)
    assert len(list(second.document_changes_since(first))) == 300
    parts = [key for key in fetched if "/export.tar/" in key]
    assert len(parts) == len(set(parts)) > 4


def test_a_document_over_several_parts_is_put_together(export):
    content = bytes(range(256)) * 1000
    stored = export({"a": b"before", "b": content, "c": b"after"})
    assert [stored.read(entry) for entry in stored.entries()] == [b"before", content, b"after"]
