"""The restore kit reads a repository straight from an S3 server."""

import hashlib

from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster_tests.repository.kit.running import run_kit


def test_it_lists_and_restores_below_a_prefix_of_a_bucket(pristine, s3_store, s3_access, tmp_path):
    source = DirectoryStore(pristine.repository)
    for item in (each for each in source.list() if "/drupal/" not in each.key and "kit/" not in each.key):
        s3_store.put(f"some/prefix/{item.key}", source.get(item.key))
    environment = {
        "AWS_ACCESS_KEY_ID": s3_access.access_key,
        "AWS_SECRET_ACCESS_KEY": s3_access.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    bucket = s3_store.url.removeprefix("s3://").partition(" ")[0].partition("/")[0]
    where = [f"s3://{bucket}/some/prefix", "--endpoint-url", s3_access.endpoint, "--site", "retail/liferay"]

    def run(command, *arguments):
        return run_kit(
            pristine.script, command, where[0], *arguments, *where[1:], "--key-file", pristine.key_file,
            environment=environment,
        )  # fmt: skip

    listed = run("list")
    assert listed.returncode == 0, listed.stderr
    assert len(listed.stdout.splitlines()) == len(pristine.expected["sites"]["retail/liferay"]["backups"])
    backup = pristine.backup("retail/liferay", "files", index=1)
    answer = run("files", backup, tmp_path / "new")
    assert answer.returncode == 0, answer.stderr
    expected = pristine.expected["sites"]["retail/liferay"]["backups"][backup]["files"]
    for name, fact in expected.items():
        assert hashlib.sha256((tmp_path / "new" / name).read_bytes()).hexdigest() == fact["sha256"]
    s3_store.delete([f"some/prefix/backups/retail/liferay/files/{backup}/files/000000"])
    gone = run("verify", backup)
    assert (gone.returncode, gone.stdout) == (4, b"")
    assert b"000000 is missing" in gone.stderr
    assert (
        run_kit(pristine.script, "list", "s3://no-such-bucket-here", *where[1:3], environment=environment).returncode
        == 5
    )
