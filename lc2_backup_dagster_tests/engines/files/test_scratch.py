import random
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.engines.files.manifest.ordering import OrderedLines, Slot
from lc2_backup_dagster.engines.files.scratch import RowSorter


@given(st.lists(st.tuples(st.text(st.characters(), max_size=3), st.integers())), st.integers(1, 10))
def test_rows_come_out_sorted_and_equal_ones_in_order_of_arrival(rows: list[tuple[str, int]], run_rows: int) -> None:
    with RowSorter(None, run_rows=run_rows) as sorter:
        for row in rows:
            sorter.add(list(row))
        wanted = [list(row) for row in sorted(rows, key=lambda row: row[0])]

        assert list(sorter.rows()) == wanted
        assert list(sorter.rows()) == wanted
        assert sorter.ordered == ([row[0] for row in rows] == [row[0] for row in wanted])


def test_scratch_files_have_no_name_that_a_killed_process_could_leave(tmp_path: Path) -> None:
    with RowSorter(tmp_path, run_rows=2) as sorter:
        for number in range(10):
            sorter.add([str(number)])

        assert list(tmp_path.iterdir()) == []


@given(st.lists(st.booleans(), max_size=200), st.integers(0, 300), st.randoms(use_true_random=False))
def test_lines_keep_their_order_whenever_they_become_known(
    known: list[bool], memory_bytes: int, chance: random.Random
) -> None:
    written = bytearray()
    wanted = [f"{number}\n".encode() for number in range(len(known))]
    waiting: list[tuple[Slot, bytes]] = []
    with OrderedLines(written.extend, folder=None, memory_bytes=memory_bytes) as lines:
        for line, at_once in zip(wanted, known, strict=True):
            if at_once:
                lines.add(line)
            else:
                waiting.append((lines.reserve(), line))
            while waiting and chance.random() < 0.4:
                lines.fill(*waiting.pop(chance.randrange(len(waiting))))
                lines.drain()
        for slot, line in waiting:
            lines.fill(slot, line)
        lines.finish()

    assert bytes(written) == b"".join(wanted)
