"""One level of a library is what grouping all its keys by their next slash gives."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.engines.files.manifest.entry_lines import EntryLine
from lc2_backup_dagster.engines.files.manifest.levels import Folder, one_level


def lines_of(sizes: dict[str, int], prefix: str) -> list[EntryLine]:
    return [
        EntryLine(key, size, 1_000_000 * size, b"", "test")
        for key, size in sorted(sizes.items())
        if key.startswith(prefix)
    ]


@given(
    st.dictionaries(st.text("ab/-0", min_size=1, max_size=6), st.integers(0, 99), max_size=20),
    st.text("ab/", max_size=2),
)
def test_every_file_is_counted_once_in_its_folder(sizes: dict[str, int], prefix: str) -> None:
    found = list(one_level(lines_of(sizes, prefix), prefix=prefix))

    folders: dict[str, list[int]] = defaultdict(list)
    files: dict[str, int] = {}
    for key, size in sizes.items():
        if key.startswith(prefix):
            head, slash, _ = key[len(prefix) :].partition("/")
            if slash:
                folders[prefix + head + slash].append(size)
            else:
                files[key] = size
    assert {each.key: (each.files, each.size_bytes) for each in found if isinstance(each, Folder)} == {
        key: (len(inside), sum(inside)) for key, inside in folders.items()
    }
    assert {each.key: each.size_bytes for each in found if isinstance(each, EntryLine)} == files
    assert [each.key for each in found] == sorted([*folders, *files])


def test_a_folder_has_the_time_of_its_newest_file() -> None:
    [folder] = one_level(lines_of({"a/1": 5, "a/2/3": 9, "a/4": 2}, ""), prefix="")

    assert folder.modified.timestamp() == 9
