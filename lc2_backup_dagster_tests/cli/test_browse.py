"""``ls``, ``find``, ``diff`` and ``cat`` on a site that was backed up twice."""

import json
import os
import pty
import subprocess
from contextlib import suppress

import pytest

from lc2_backup_dagster.clouds.store import PosixKind
from lc2_backup_dagster.operations.capture.files import file_entries
from lc2_backup_dagster_tests.cli.calling import PROGRAM, Answer, lc2
from lc2_backup_dagster_tests.operations.tiny_site import SEALED_ALONE, STORE_PREFIX, picture_of

SITE = "retail/liferay"


def rows(answer: Answer) -> list[dict]:
    assert answer.code == 0, answer.err
    return [json.loads(line) for line in answer.out.splitlines()]


def entries_of(captured, site):
    """Return the files; a source in a directory has its folders too."""
    with file_entries(site.repository, captured.backup.backup_id) as entries:
        return {entry.key: entry for entry in entries if entry.kind is not PosixKind.DIRECTORY}


@pytest.fixture(scope="module")
def old(backed_up):
    """Entries of the first backup."""
    return entries_of(backed_up.full, backed_up.site)


@pytest.fixture(scope="module")
def new(backed_up):
    """Entries of the second one."""
    return entries_of(backed_up.files, backed_up.site)


@pytest.fixture
def point(backed_up) -> str:
    return backed_up.point.backup.backup_id


class TestLs:
    @pytest.mark.parametrize("name", ["latest", "point", "files"])
    def test_a_backup_is_named_in_three_ways(self, backed_up, new, name):
        named = {"point": backed_up.point.backup.backup_id, "files": backed_up.files.backup.backup_id}
        found = rows(lc2(backed_up.site, "--json", "ls", SITE, named.get(name, name), "--recursive"))
        assert [each["key"] for each in found] == sorted(new)

    def test_one_level_sums_its_folders(self, backed_up, new):
        found = rows(lc2(backed_up.site, "--json", "ls", SITE, "latest"))
        assert {each["type"] for each in found} == {"folder", "file"}
        for each in found:
            inside = [entry for key, entry in new.items() if key.startswith(each["key"])]
            assert each["size_bytes"] == sum(entry.size_bytes for entry in inside)
            if each["type"] == "folder":
                assert each["files"] == len(inside)
        assert sum(each.get("files", 1) for each in found) == len(new)

    def test_people_read_sizes_folders_and_a_total(self, backed_up, new):
        answer = lc2(backed_up.site, "ls", SITE, "latest", "20097/")
        assert answer.code == 0
        inside = [entry for key, entry in new.items() if key.startswith(STORE_PREFIX)]
        [line] = [line for line in answer.out.splitlines() if line.endswith(f"  {STORE_PREFIX}")]
        assert f"{len(inside)} files" in line
        assert f"of {backed_up.files.backup.backup_id}" in answer.err

    def test_long_tells_hash_or_pending_time_and_type(self, backed_up, new):
        lines = lc2(backed_up.site, "ls", SITE, "latest", "--recursive", "--long").out.splitlines()
        told = {line.split()[-1]: line for line in lines}
        assert told.keys() == new.keys()
        for key, entry in new.items():
            assert told[key].split()[:3] == [
                str(entry.size_bytes),
                f"{entry.modified:%Y-%m-%dT%H:%M:%SZ}",
                entry.sha256 or "pending",
            ]
        assert any(entry.sha256 is None for entry in new.values())

    def test_every_fact_is_in_the_json(self, backed_up, new):
        [found] = rows(lc2(backed_up.site, "--json", "ls", SITE, "latest", SEALED_ALONE))
        entry = new[SEALED_ALONE]
        assert (found["type"], found["key"], found["size_bytes"]) == ("file", SEALED_ALONE, entry.size_bytes)
        assert (found["sha256"], found["etag"], found["protection"]) == (entry.sha256, entry.etag, "client")

    def test_a_prefix_that_nothing_begins_with_is_told(self, backed_up):
        answer = lc2(backed_up.site, "ls", SITE, "latest", "no/such/")
        assert answer.code == 1
        assert "begins with 'no/such/'" in answer.err
        assert answer.out == ""

    def test_a_dump_has_no_files(self, backed_up):
        answer = lc2(backed_up.site, "ls", SITE, backed_up.dump.backup.backup_id)
        assert answer.code == 1
        assert "holds database_dump, which has no files" in answer.err


class TestFind:
    def test_versions_are_told_with_first_and_last_backup(self, backed_up, old, new):
        found = rows(lc2(backed_up.site, "--json", "find", SITE, "*"))
        first, last = backed_up.full.backup.backup_id, backed_up.files.backup.backup_id
        told = {(each["key"], each["etag"]): (each["first_backup"], each["last_backup"]) for each in found}
        expected = {}
        for key in old.keys() | new.keys():
            if key in old:
                same = key in new and new[key].etag == old[key].etag
                expected[(key, old[key].etag)] = (first, last if same else first)
            if key in new:
                expected.setdefault((key, new[key].etag), (last, last))
        assert told == expected
        assert [each["key"] for each in found] == sorted(each["key"] for each in found)

    def test_a_deleted_file_is_found_in_the_backup_that_has_it(self, backed_up):
        gone = backed_up.changes.deleted[0]
        answer = lc2(backed_up.site, "find", SITE, gone)
        assert answer.code == 0
        key, version = answer.out.splitlines()
        assert key == gone
        assert f"in {backed_up.full.backup.backup_id}" in version
        assert "1 version of 1 file in 2 backups" in answer.err

    def test_only_the_backups_that_are_named_are_looked_into(self, backed_up, new):
        found = rows(lc2(backed_up.site, "--json", "find", SITE, "*", "--backup", "latest"))
        assert [each["key"] for each in found] == sorted(new)
        gone = backed_up.changes.deleted[0]
        answer = lc2(backed_up.site, "find", SITE, gone, "--backup", backed_up.point.backup.backup_id)
        assert (answer.code, answer.out) == (0, "")
        assert "0 versions of 0 files in 1 backup" in answer.err

    @pytest.mark.parametrize(
        ("size", "wanted"),
        [
            ("+1MiB", lambda size: size >= 2**20),
            ("-2K", lambda size: size <= 2048),
            ("1KiB..1MiB", lambda size: 1024 <= size <= 2**20),
            (str(2 * 2**20), lambda size: size == 2 * 2**20),
        ],
    )
    def test_sizes_are_chosen(self, backed_up, new, size, wanted):
        found = rows(lc2(backed_up.site, "--json", "find", SITE, "*", "--backup", "latest", "--size", size))
        assert {each["key"] for each in found} == {key for key, entry in new.items() if wanted(entry.size_bytes)}
        assert found

    @pytest.mark.parametrize("size", ["10 MB", "big", "", "+", "1..", "-1.5M"])
    def test_what_is_no_size_is_wrong_usage(self, backed_up, size):
        answer = lc2(backed_up.site, "find", SITE, "*", f"--size={size or 'x'}")
        assert answer.code == 2
        assert "is not a size" in answer.err

    def test_a_time_without_zone_is_refused(self, backed_up):
        answer = lc2(backed_up.site, "find", SITE, "*", "--since", "2026-11-23")
        assert answer.code == 1
        assert "has no time zone" in answer.err


class TestDiff:
    def test_every_difference_is_told_and_counted(self, backed_up, old, new, point):
        *found, totals = rows(lc2(backed_up.site, "--json", "diff", SITE, backed_up.full.backup.backup_id, point))
        both = old.keys() & new.keys()
        assert {(each["key"], each["type"]) for each in found} == {
            *((key, "added") for key in new.keys() - old.keys()),
            *((key, "removed") for key in old.keys() - new.keys()),
            *((key, "content") for key in both if old[key].etag != new[key].etag),
        }
        assert totals["type"] == "totals"
        assert (totals["added"], totals["removed"]) == (len(new) - len(both), len(old) - len(both))
        assert totals["unchanged"] + totals["content"] == len(both)
        assert totals["grown_bytes"] == sum(e.size_bytes for e in new.values()) - sum(
            e.size_bytes for e in old.values()
        )
        assert totals["added"] and totals["removed"]

    def test_backwards_it_is_the_reverse(self, backed_up):
        first, last = backed_up.full.backup.backup_id, backed_up.files.backup.backup_id
        forth = rows(lc2(backed_up.site, "--json", "diff", SITE, first, last, "--stat"))
        back = rows(lc2(backed_up.site, "--json", "diff", SITE, last, first, "--stat"))
        assert len(forth) == len(back) == 1
        assert (forth[0]["added"], forth[0]["removed_bytes"]) == (back[0]["removed"], back[0]["added_bytes"])
        assert forth[0]["grown_bytes"] == -back[0]["grown_bytes"]

    def test_people_read_marks_and_totals(self, backed_up):
        answer = lc2(backed_up.site, "diff", SITE, backed_up.full.backup.backup_id, "latest")
        assert answer.code == 0
        lines = answer.out.splitlines()
        gone = backed_up.changes.deleted[0]
        assert [line[0] for line in lines if line.endswith(f"  {gone}")] == ["-"]
        assert [line.split()[0] for line in lines[-7:]] == [
            "added", "removed", "modified", "metadata", "time", "unchanged", "in",
        ]  # fmt: skip

    def test_only_below_a_prefix(self, backed_up, old, new):
        *found, totals = rows(
            lc2(
                backed_up.site,
                "--json",
                "diff",
                SITE,
                backed_up.full.backup.backup_id,
                "latest",
                "--below",
                STORE_PREFIX,
            )
        )
        assert all(each["key"].startswith(STORE_PREFIX) for each in found)
        told = sum(totals[name] for name in ("added", "content", "metadata", "time", "unchanged"))
        assert told == sum(key.startswith(STORE_PREFIX) for key in new)

    def test_a_backup_differs_in_nothing_from_itself(self, backed_up, new, point):
        [totals] = rows(lc2(backed_up.site, "--json", "diff", SITE, point, "latest"))
        assert totals["unchanged"] == len(new)


class TestCat:
    @pytest.mark.parametrize("kind", ["bundled", "sealed alone", "several parts", "copied by the store"])
    def test_bytes_come_out_as_they_went_in(self, backed_up, new, kind):
        key = {
            "bundled": "lc2-demo-seed.json",
            "sealed alone": SEALED_ALONE,
            "several parts": max(
                (key for key in new if not key.startswith(STORE_PREFIX)), key=lambda key: new[key].size_bytes
            ),
            "copied by the store": max(
                (key for key in new if key.startswith(STORE_PREFIX)), key=lambda key: new[key].size_bytes
            ),
        }[kind]
        done = subprocess.run(
            [str(PROGRAM), "cat", SITE, "latest", key],
            env={**os.environ, **backed_up.site.variables},
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout == (backed_up.site.library / key).read_bytes()

    def test_an_older_version_is_read_from_the_backup_that_has_it(self, backed_up, old):
        gone = backed_up.changes.deleted[0]
        answer = lc2(backed_up.site, "cat", SITE, "latest", gone)
        assert answer.code == 1
        assert "has no file" in answer.err
        assert lc2(backed_up.site, "cat", SITE, backed_up.full.backup.backup_id, gone).code == 0

    def test_damage_ends_with_4_and_before_the_last_byte(self, copy, new):
        entry = new[SEALED_ALONE]
        [(stored, _)] = entry.stored_objects(copy.repository.site)
        path = copy.bucket / stored
        body = bytearray(path.read_bytes())
        body[len(body) // 2] ^= 1
        path.unlink()
        path.write_bytes(body)
        answer = lc2(copy, "cat", SITE, "latest", SEALED_ALONE)
        assert answer.code == 4
        assert stored in answer.err
        assert answer.out == ""

    def test_a_copy_that_was_replaced_before_its_hash_was_known_is_not_given_out(self, copy, new):
        entry = next(each for each in new.values() if each.key.startswith(STORE_PREFIX) and each.sha256 is None)
        [(stored, _)] = entry.stored_objects(copy.repository.site)
        path = copy.bucket / stored
        body = path.read_bytes()
        path.unlink()
        path.write_bytes(body[::-1])
        answer = lc2(copy, "cat", SITE, "latest", entry.key)
        assert answer.code == 1
        assert "nothing proves the bytes" in answer.err
        assert answer.out == ""

    def test_a_terminal_gets_text_and_the_rest_only_when_it_must(self, backed_up):
        def on_terminal(*arguments: str) -> tuple[int, bytes]:
            ours, theirs = pty.openpty()
            try:
                process = subprocess.Popen(
                    [str(PROGRAM), "cat", SITE, "latest", *arguments],
                    env={**os.environ, **backed_up.site.variables},
                    stdout=theirs,
                    stderr=subprocess.PIPE,
                )
                os.close(theirs)
                shown = b""
                with suppress(OSError):
                    while piece := os.read(ours, 65536):
                        shown += piece
                _, said = process.communicate(timeout=60)
            finally:
                os.close(ours)
            return process.returncode, shown + said

        code, shown = on_terminal("lc2-demo-seed.json")
        assert code == 0
        assert shown.replace(b"\r\n", b"\n") == (backed_up.site.library / "lc2-demo-seed.json").read_bytes()
        code, shown = on_terminal(SEALED_ALONE)
        assert code == 2
        assert b"is not text" in shown
        assert len(shown) < 1000
        code, shown = on_terminal("--force", SEALED_ALONE)
        assert code == 0
        assert len(shown) >= 2**21


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["ls", SITE, "latest", "--recursive", "--long"], 0),
        (["--json", "find", SITE, "*"], 0),
        (["diff", SITE, "first", "latest"], 0),
        (["cat", SITE, "latest", SEALED_ALONE], 1),
    ],
)
def test_a_reader_that_has_seen_enough_ends_the_program_quietly(backed_up, command, code):
    command = [backed_up.full.backup.backup_id if each == "first" else each for each in command]
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [str(PROGRAM), *command],
            env={**os.environ, **backed_up.site.variables},
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (code, b"")


def test_looking_changes_nothing(copy, backed_up):
    before = picture_of(copy.bucket)
    for command in (["ls", SITE, "latest"], ["find", SITE, "*"], ["diff", SITE, "latest", "latest"]):
        assert lc2(copy, *command).code == 0
    assert lc2(copy, "cat", SITE, "latest", SEALED_ALONE).code == 0
    assert picture_of(copy.bucket) == before
