from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.clouds.store import PosixFacts, PosixKind
from lc2_backup_dagster.engines.files.restore.extras import extras
from lc2_backup_dagster_tests.engines.files.library import an_info

FOLDER = PosixFacts(PosixKind.DIRECTORY, 0o755, 0, 0)
paths = st.lists(st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map("/".join), max_size=8)


def everything_in(names: list[str]) -> set[str]:
    files = {f"{name}.txt" for name in names}
    return files | {name[: place + 1] for name in files for place, letter in enumerate(name) if letter == "/"}


@given(backup=paths, target=paths, untouched=st.sets(st.integers(0, 20)), with_folders=st.booleans())
def test_a_folder_goes_exactly_when_all_that_is_in_it_goes(
    backup: list[str], target: list[str], untouched: set[int], with_folders: bool
) -> None:
    wanted = {key for key in everything_in(backup) if with_folders or not key.endswith("/")}
    there = sorted(everything_in(target))
    kept = {key for number, key in enumerate(there) if number in untouched}
    infos = [an_info(key, posix=FOLDER if key.endswith("/") else None) for key in there]

    found = [each.key for each in extras(sorted(wanted), infos, may_go=lambda key: key not in kept)]

    stays = {key for key in there if key in wanted or key in kept}
    needed = {key for key in there if any(other.startswith(key) for other in stays | wanted)}
    assert sorted(found) == [key for key in there if key not in stays | needed]
    for place, key in enumerate(found):
        assert not any(other.startswith(key) for other in found[place + 1 :]), "a folder comes after what was in it"
