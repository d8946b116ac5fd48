from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest

from lc2_backup_dagster.clouds.aws.store import S3Store
from lc2_backup_dagster.clouds.store import ObjectInfo
from lc2_backup_dagster.demo.compare import compare_stores
from lc2_backup_dagster.demo.seed.file_content import file_content
from lc2_backup_dagster.demo.seed.library_plan import plan_objects
from lc2_backup_dagster.demo.seed.liferay_library import seed_liferay_library
from lc2_backup_dagster.model.errors import StoreUnavailable, TargetNotEmpty
from lc2_backup_dagster_tests.demo.conftest import SCALE
from lc2_backup_dagster_tests.fakes import MemoryStore


class FailingStore(MemoryStore):
    """Takes some objects, then fails."""

    def __init__(self, writes: int) -> None:
        super().__init__()
        self.writes = writes

    def put_stream(
        self,
        key: str,
        chunks: Iterable[bytes],
        *,
        size_bytes: int,
        create_only: bool = True,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        self.writes -= 1
        if self.writes < 0:
            raise StoreUnavailable("enough")
        return super().put_stream(
            key,
            chunks,
            size_bytes=size_bytes,
            create_only=create_only,
            content_type=content_type,
            metadata=metadata,
        )


def test_every_planned_object_is_written_with_its_content_type_and_metadata():
    store = MemoryStore()
    seen: list[str] = []
    seed = seed_liferay_library(store, SCALE, progress=lambda planned: seen.append(planned.key))
    planned = {one.key: one for one in plan_objects(SCALE)}
    assert sorted(seen) == sorted(planned)
    assert (seed.objects, seed.written) == (len(planned), len(planned))
    assert seed.plain_bytes == sum(one.size_bytes for one in planned.values())
    for key, one in planned.items():
        body, info = store.objects[key]
        assert body == b"".join(file_content(one))
        assert (info.content_type, dict(info.metadata)) == (one.content_type, dict(one.metadata))


def test_a_seed_that_failed_half_way_goes_on_where_it_was():
    store = FailingStore(writes=40)
    with pytest.raises(StoreUnavailable):
        seed_liferay_library(store, SCALE, workers=3)
    there = len(store.objects)
    assert 0 < there <= 40
    store.writes = 10**6
    seed = seed_liferay_library(store, SCALE)
    assert seed.written == seed.objects - there
    assert seed_liferay_library(store, SCALE).written == 0


def test_another_seed_or_a_foreign_object_is_refused_and_nothing_overwritten():
    store = MemoryStore()
    seed_liferay_library(store, SCALE)
    with pytest.raises(TargetNotEmpty, match="another seed"):
        seed_liferay_library(store, replace(SCALE, documents=61))
    foreign = MemoryStore()
    key = next(plan_objects(SCALE)).key
    foreign.put(key, b"precious")
    with pytest.raises(TargetNotEmpty, match="8 bytes"):
        seed_liferay_library(foreign, SCALE)
    assert foreign.get(key) == b"precious"


def test_an_s3_store_takes_the_library_and_gives_it_back(s3_store: S3Store):
    memory = MemoryStore()
    seed_liferay_library(memory, SCALE)
    seed_liferay_library(s3_store, SCALE)
    differences = compare_stores(memory, "", s3_store, "")
    assert differences.equal, differences.text()
    assert differences.compared["objects"] == len(memory.objects)
