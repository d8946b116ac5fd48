"""Any tree comes back."""

import os
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster_tests.engines.files.library import Library
from lc2_backup_dagster_tests.fakes import MemoryStore, SetClock
from lc2_backup_dagster_tests.trees import facts_of_tree

ROOT = os.geteuid() == 0
names = st.binary(min_size=1, max_size=8).filter(lambda name: not set(name) & {0, 47} and name not in (b".", b".."))
times = st.integers(0, 4_000_000_000 * 10**9)
modes = st.integers(0, 0o777) | st.integers(0, 0o7777)
nodes = st.recursive(
    st.tuples(st.just("file"), st.binary(max_size=40) | st.builds(bytes, st.just(90_000)), modes, times)
    | st.tuples(
        st.just("link"), st.binary(min_size=1, max_size=20).filter(lambda target: 0 not in target), st.none(), times
    ),
    lambda inner: st.tuples(st.just("folder"), st.dictionaries(names, inner, max_size=4), modes, times),
    max_leaves=8,
)


def _plant(place: bytes, tree: dict[bytes, tuple]) -> None:
    for name, (kind, content, mode, when) in tree.items():
        path = place + b"/" + name
        if kind == "file":
            Path(os.fsdecode(path)).write_bytes(content)
        elif kind == "link":
            os.symlink(content, path)  # noqa: PTH211 - these are bytes
        else:
            os.mkdir(path)  # noqa: PTH102
            _plant(path, content)
        if mode is not None:
            # Who is not root cannot back up what it may not read.
            os.chmod(path, mode if ROOT else mode | 0o700)  # noqa: PTH101
        os.utime(path, ns=(when, when), follow_symlinks=False)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.dictionaries(names, nodes, max_size=5), second=st.dictionaries(names, nodes, max_size=5))
def test_any_tree_comes_back_also_behind_another_one(tmp_path_factory, key: KeyFile, first, second):
    place = tmp_path_factory.mktemp("trees")
    library = Library(MemoryStore(), MemoryStore(), key=key, clock=SetClock(), scratch=place)
    for number, tree in enumerate((first, second)):
        source = place / f"source-{number}"
        source.mkdir()
        _plant(os.fsencode(source), tree)
        library.source = DirectoryStore(source, posix=True)
        backup = library.capture()
        target = place / f"target-{number}"

        result = library.restore(backup, DirectoryStore(target, create=True, posix=True))

        assert facts_of_tree(target) == facts_of_tree(source)
        assert result.facts_unset.count == 0
        assert library.verify(backup).damaged_count == 0
