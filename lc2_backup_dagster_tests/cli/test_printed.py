"""What people are shown of keys, and of how far a restore is."""

import io

import pytest
from rich.console import Console

from lc2_backup_dagster.cli.printed import key_text
from lc2_backup_dagster.cli.restore_progress import RestoreSteps, restore_bar
from lc2_backup_dagster.cli.session import Session
from lc2_backup_dagster.operations.restore.run import StepDone


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("docs/ümlaut/日本語 😀.pdf", "docs/ümlaut/日本語 😀.pdf"),
        ("two\nlines\ttab", "two\\nlines\\ttab"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        (b"odd-\xff-name".decode("utf-8", "surrogateescape"), "odd-\\udcff-name"),
        ("a\u2028b\x85", "a\\u2028b\\x85"),
    ],
)
def test_a_key_is_one_line_that_no_terminal_obeys(key: str, shown: str) -> None:
    assert key_text(key) == shown


def shown_bar(*done: StepDone) -> str:
    session = Session(sites_option=None, as_json=False)
    written = io.StringIO()
    session.__dict__["messages"] = Console(file=written, force_terminal=True, width=150)
    clock = [0.0]
    bar = restore_bar(session)
    bar.get_time = lambda: clock[0]
    with bar:
        steps = RestoreSteps(bar)
        for each in done:
            steps.show(each)
            clock[0] += 10.0
        bar.refresh()
    return written.getvalue()


def test_a_restore_shows_files_bytes_rate_and_time_remaining() -> None:
    done = [(0, 0), (1_000_000, 300), (2_000_000, 600), (3_000_000, 1200)]
    text = shown_bar(*(StepDone("files", count, 4_000_000, files, 1234) for count, files in done))

    assert "1,200/1,234 files" in text
    assert "3.0/4.0 MB" in text
    assert "100.0 kB/s" in text
    assert "0:00:10" in text


def test_a_dump_has_no_files_to_count() -> None:
    text = shown_bar(StepDone("database", 1_000_000, 4_000_000))

    assert "database" in text
    assert "files" not in text
