"""After a restore: the import and the CDN, only where asked for; a failure never undoes the restore and never hides."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lc2_backup_dagster.clouds.prefixed import PrefixedStore
from lc2_backup_dagster.engines.exports.ports import ExportFacts
from lc2_backup_dagster.engines.files.restore.invalidation import PathRules
from lc2_backup_dagster.engines.files.restore.writing import Conflict
from lc2_backup_dagster.engines.hooks.local.runner import LocalRunner
from lc2_backup_dagster.engines.hooks.redaction import Redaction
from lc2_backup_dagster.model.errors import (
    AfterRestoreFailed,
    BackupPartial,
    PartMissing,
    RequestRefused,
    TargetNotEmpty,
)
from lc2_backup_dagster.operations.restore.configuration import notes_of
from lc2_backup_dagster.operations.restore.plan_restore import plan_restore
from lc2_backup_dagster.operations.restore.request import ConfigurationPlan, RestoreRequest, RestoreScope
from lc2_backup_dagster.operations.restore.run import Restored, restore
from lc2_backup_dagster.operations.site_context import CdnAccess, ConfigurationImport, SiteContext
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.engines.files.library import fill
from lc2_backup_dagster_tests.fakes import MemoryStore
from lc2_backup_dagster_tests.operations.capture.test_configuration import DOCUMENTS, Configured
from lc2_backup_dagster_tests.operations.files_site import FilesSite

LIBRARY = {"a.jpg": b"one", "b/c d.jpg": b"two", "public/e.jpg": b"three"}


@pytest.fixture
def site(tmp_path) -> FilesSite:
    return FilesSite(tmp_path)


def last_record(site: FilesSite) -> dict:
    return [each for each in site.repository.log.records() if each.type is RecordType.RESTORE][-1].body


class Cdn:
    """Remembers what it was told; refuses when told to."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.calls = 0
        self.error: BaseException | None = None

    def __call__(self, paths: list[str], /) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error
        self.paths += paths


class Files:
    """A site with files, a CDN, and a place beside the source."""

    def __init__(self, site: FilesSite) -> None:
        self.site = site
        self.cdn = Cdn()
        self.elsewhere = MemoryStore(site.clock, url="memory://elsewhere")
        fill(site.source, LIBRARY)
        site.clock.move(minutes=10)
        self.backup_id = site.capture().backup.backup_id
        access = CdnAccess("POST https://cdn.example/purge", self.cdn, PathRules(prefix="/binaries/", per_call=2))
        self.context = replace(
            site.context, restore=replace(site.context.restore, open_files_target=self.open_target, cdn=access)
        )

    def open_target(self, bucket: str | None, prefix: str):
        store = self.site.source if bucket == "source" else self.elsewhere
        return PrefixedStore(store, prefix) if prefix else store

    def without_cdn(self) -> SiteContext:
        return replace(self.context, restore=replace(self.context.restore, cdn=None))

    def request(self, bucket: str = "source", **fields) -> RestoreRequest:
        told = {"files_bucket": bucket, "files_prefix": "", "conflict": Conflict.OVERWRITE, "confirm": bucket, **fields}
        return RestoreRequest(self.backup_id, RestoreScope.FILES, **told)

    def restore(self, bucket: str = "source", **fields) -> Restored:
        self.said: list[str] = []
        return restore(
            self.context,
            self.request(bucket, **fields),
            now=self.site.clock.now(),
            initiator=TESTER,
            say=self.said.append,
        )


@pytest.fixture
def files(site: FilesSite) -> Files:
    return Files(site)


def damage(files: Files) -> None:
    """Change one file, lose one, and add one that the backup does not have."""
    fill(files.site.source, {"a.jpg": b"other"})
    files.site.source.delete(["b/c d.jpg"])
    fill(files.site.source, {"new.jpg": b"new"})


class TestCdn:
    def test_it_is_told_of_what_was_written_in_place_and_not_of_what_was_kept(self, files: Files):
        damage(files)
        done = files.restore()
        assert (done.files.written, done.files.kept) == (2, 1)
        assert files.cdn.paths == ["/binaries/a.jpg", "/binaries/b/c%20d.jpg"]
        [follow_up] = done.follow_ups
        assert (follow_up.name, follow_up.succeeded, follow_up.hint) == ("cdn_invalidation", True, None)
        assert follow_up.text == "CDN: 2 paths invalidated in 1 calls"
        assert done.failure is None
        record = last_record(files.site)
        assert (record["result"], record["cdn"]) == ("restored", "POST https://cdn.example/purge")
        assert record["follow_ups"][0]["text"] == follow_up.text

    def test_it_is_told_of_what_was_deleted(self, files: Files):
        damage(files)
        files.restore(delete_extra=True)
        assert sorted(files.cdn.paths) == ["/binaries/a.jpg", "/binaries/b/c%20d.jpg", "/binaries/new.jpg"]

    def test_it_is_not_told_of_another_place_and_the_plan_says_so(self, files: Files):
        done = files.restore("elsewhere")
        assert done.files.written == 3
        assert (files.cdn.calls, done.follow_ups, done.plan.files.cdn) == (0, (), None)
        assert "CDN: it is not told of the restored files, because they do not go into" in "".join(done.plan.notes)
        assert "follow_ups" not in last_record(files.site)

    def test_another_folder_of_the_same_bucket_is_another_place(self, files: Files):
        done = files.restore(files_prefix="restored/", confirm="source/restored/")
        assert (done.files.written, files.cdn.calls) == (3, 0)

    def test_it_is_told_of_another_place_when_that_is_asked_for(self, files: Files):
        files.restore("elsewhere", invalidate_cdn=True)
        assert files.cdn.calls == 2, "in batches"
        assert len(files.cdn.paths) == 3

    def test_it_is_not_told_when_that_is_asked_for(self, files: Files):
        damage(files)
        done = files.restore(invalidate_cdn=False)
        assert files.cdn.calls == 0
        assert "because so it was asked" in "".join(done.plan.notes)

    def test_a_dry_run_shows_it_and_tells_nobody(self, files: Files):
        damage(files)
        done = files.restore(dry_run=True)
        assert done.plan.files.cdn == "POST https://cdn.example/purge"
        assert files.cdn.calls == 0

    def test_a_failure_is_a_failure_whose_message_says_that_the_data_is_restored(self, files: Files):
        damage(files)
        files.cdn.error = RequestRefused("POST https://cdn.example/purge was refused with 403", status=403)
        done = files.restore()
        assert files.site.source.objects["a.jpg"][0] == b"one"
        failure = done.failure
        assert isinstance(failure, AfterRestoreFailed)
        assert failure.message.startswith(f"{files.backup_id} is restored, all of its data is there; but")
        assert "was refused with 403" in failure.message
        assert "do not restore again; " in (failure.hint or "")
        assert "invalidate everything below '/binaries/' by hand" in (failure.hint or "")
        record = last_record(files.site)
        assert (record["result"], record["follow_ups"][0]["succeeded"]) == ("restored", False)

    def test_a_restore_that_fails_half_way_tells_of_what_it_has_written(self, files: Files):
        damage(files)
        fill(files.site.source, {"public/e.jpg": b"other"})
        [stored] = [key for key, (body, _) in files.site.store.objects.items() if body == b"three"]
        del files.site.store.objects[stored]
        with pytest.raises(PartMissing) as caught:
            files.restore()
        assert sorted(files.cdn.paths) == ["/binaries/a.jpg", "/binaries/b/c%20d.jpg"]
        assert caught.value.attributes["cdn"] == "CDN: 2 paths invalidated in 1 calls"
        assert files.said == ["CDN: 2 paths invalidated in 1 calls"]
        record = last_record(files.site)
        assert (record["result"], record["follow_ups"][0]["succeeded"]) == ("failed", True)

    def test_a_restore_that_wrote_nothing_tells_nobody(self, files: Files):
        with pytest.raises(TargetNotEmpty):
            files.restore(conflict=Conflict.REFUSE, confirm=None)
        assert files.cdn.calls == 0

    def test_an_interruption_while_it_is_told_is_recorded_as_a_restore_that_is_done(self, files: Files):
        damage(files)
        files.cdn.error = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            files.restore()
        record = last_record(files.site)
        assert (record["result"], record["reason"][:11]) == ("restored", "interrupted")

    def test_to_ask_for_it_without_a_cdn_or_without_files_is_a_blocker(self, files: Files, site: FilesSite):
        asked = files.request("elsewhere", invalidate_cdn=True)
        plan = plan_restore(files.without_cdn(), asked, now=site.clock.now())
        assert any("names no CDN" in each and "restore.files.cdn" in each for each in plan.blockers)
        configured = Configured(site)
        export = configured.capture().backup.backup_id
        asked = RestoreRequest(export, RestoreScope.CONFIGURATION, invalidate_cdn=True)
        plan = plan_restore(configured.context, asked, now=site.clock.now())
        assert any("no files are restored" in each for each in plan.blockers)


class Importing:
    """A site whose configuration is imported by a command, which writes down what it was given."""

    def __init__(self, configured: Configured, folder: Path, backup_id: str | None = None) -> None:
        self.configured = configured
        self.backup_id = backup_id or configured.capture().backup.backup_id
        self.target = folder / "restored here"
        self.script = "import os, sys, pathlib; print('imports', sys.argv[1], sorted(os.listdir(sys.argv[1])))"

    def context(self, **changes) -> SiteContext:
        command = (sys.executable, "-c", self.script, "{directory}")
        runner = LocalRunner({"SITE_TOKEN": "s3cr3t-77"}, Redaction(frozenset({"s3cr3t-77"})), grace_seconds=0.2)
        told = replace(ConfigurationImport(command, 60, runner), **changes)
        context = self.configured.context
        return replace(context, restore=replace(context.restore, configuration_import=told))

    def request(self, **fields) -> RestoreRequest:
        told = {"configuration_directory": self.target, "import_configuration": True, **fields}
        return RestoreRequest(self.backup_id, RestoreScope.CONFIGURATION, **told)

    def restore(self, context: SiteContext | None = None, **fields) -> Restored:
        self.said: list[str] = []
        return restore(
            context or self.context(),
            self.request(**fields),
            now=self.configured.site.clock.now(),
            initiator=TESTER,
            say=self.said.append,
        )


@pytest.fixture
def importing(site: FilesSite, tmp_path) -> Importing:
    return Importing(Configured(site), tmp_path)


class TestImport:
    def test_the_command_runs_on_the_restored_folder_a_name_with_spaces_stays_one_word(self, importing: Importing):
        done = importing.restore()
        assert f"import: imports {importing.target} {sorted(DOCUMENTS)}" in importing.said
        [follow_up] = done.follow_ups
        assert (follow_up.name, follow_up.succeeded) == ("configuration_import", True)
        assert done.failure is None
        record = last_record(importing.configured.site)
        assert record["result"] == "restored"
        assert record["import_command"].endswith(f"'{importing.target}'")
        assert record["follow_ups"][0]["text"] == f"configuration imported from {importing.target}"

    def test_it_does_not_run_unless_it_is_asked_for(self, importing: Importing):
        done = importing.restore(import_configuration=False)
        assert (done.follow_ups, importing.said) == ((), [])
        assert done.plan.configuration.import_command is None
        assert importing.target.exists()

    def test_a_dry_run_shows_the_command_and_runs_nothing(self, importing: Importing):
        done = importing.restore(dry_run=True)
        assert done.plan.configuration.import_command.endswith(f"'{importing.target}'")
        assert (importing.said, importing.target.exists()) == ([], False)

    def test_a_command_that_fails_leaves_the_documents_and_says_what_to_do(self, importing: Importing):
        importing.script = "import os, sys; print('no such site', os.environ['SITE_TOKEN']); sys.exit(3)"
        done = importing.restore()
        assert {each.name: each.read_bytes() for each in importing.target.iterdir()} == DOCUMENTS
        failure = done.failure
        assert isinstance(failure, AfterRestoreFailed)
        assert "is restored, all of its data is there; but what was to follow failed" in failure.message
        assert "ended with exit code 3" in failure.message
        assert "no such site" in failure.message
        assert "run it by hand: " in (failure.hint or "")
        record = last_record(importing.configured.site)
        assert (record["result"], record["follow_ups"][0]["succeeded"]) == ("restored", False)
        assert "s3cr3t-77" not in str(failure) + str(record) + "".join(importing.said) + repr(done)

    def test_a_command_that_hangs_is_stopped(self, importing: Importing):
        importing.script = "import time; time.sleep(600)"
        done = importing.restore(importing.context(timeout_seconds=1))
        assert "was stopped after 1 s" in str(done.failure)

    def test_a_command_that_is_not_there_is_told(self, importing: Importing):
        done = importing.restore(importing.context(command=("/no/such/drush", "{directory}")))
        assert "could not be started" in str(done.failure)

    def test_without_a_command_it_is_a_blocker_and_nothing_is_restored(self, importing: Importing):
        with pytest.raises(TargetNotEmpty, match=r"restore.configuration.importCommand"):
            importing.restore(importing.configured.context)
        assert not importing.target.exists()

    def test_some_documents_are_not_imported(self, importing: Importing):
        with pytest.raises(TargetNotEmpty, match="would take the others for deleted"):
            importing.restore(globs=("system.*",))
        assert not importing.target.exists()

    def test_a_partial_export_is_not_imported(self, site: FilesSite, tmp_path):
        configured = Configured(site)
        configured.facts = ExportFacts(unexported=(("node.type.page", "it could not be read"),))
        with pytest.raises(BackupPartial):
            configured.capture()
        importing = Importing(configured, tmp_path, site.repository.backups()[-1].backup_id)
        with pytest.raises(TargetNotEmpty, match="is partial, and an import would take the others for deleted"):
            importing.restore()
        assert not importing.target.exists()

    def test_without_a_directory_a_full_restore_cannot_import(self, importing: Importing):
        asked = RestoreRequest(importing.backup_id, RestoreScope.FULL, import_configuration=True)
        plan = plan_restore(importing.context(), asked, now=importing.configured.site.clock.now())
        assert any("no configuration is restored" in each for each in plan.blockers)

    def test_it_is_a_blocker_where_no_configuration_is_restored(self, importing: Importing, files: Files):
        asked = files.request("elsewhere", import_configuration=True)
        plan = plan_restore(importing.context(), asked, now=files.site.clock.now())
        assert any("no configuration is restored" in each for each in plan.blockers)


def test_an_import_without_the_secrets_of_the_documents_is_told_beforehand():
    plan = ConfigurationPlan("b", "/restored", 3, 10, secrets_left_out=2, import_command="drush")
    [note] = notes_of(plan, RestoreScope.CONFIGURATION)
    assert "2 secrets are not part of the backup" in note
    assert note.endswith("and the import brings the documents in without them")
    [note] = notes_of(replace(plan, import_command=None), RestoreScope.CONFIGURATION)
    assert "import" not in note
