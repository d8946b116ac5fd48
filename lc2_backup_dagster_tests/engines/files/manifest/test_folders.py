from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.engines.files.manifest.folders import FoldersAbove

paths = st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join), max_size=8)


@given(files=paths, chosen=st.sets(st.integers(0, 7)), wanted_folders=st.sets(st.sampled_from(["a/", "a/b/", "b/"])))
def test_exactly_the_folders_above_what_was_chosen_come_each_once_and_first(
    files: list[str], chosen: set[int], wanted_folders: set[str]
) -> None:
    names = {f"{name}.txt" for name in files}
    folders = {name[: place + 1] for name in names for place, letter in enumerate(name) if letter == "/"}
    wanted = {name for number, name in enumerate(sorted(names)) if number in chosen} | (wanted_folders & folders)

    above, found = FoldersAbove[str](), list[str]()
    for key in sorted(names | folders):
        if key in wanted:
            found += [*above.of(key), key]
        elif key.endswith("/"):
            above.leave_out(key, key)

    needed = {folder for folder in folders if any(key.startswith(folder) for key in wanted)}
    assert found == sorted(wanted | needed)
