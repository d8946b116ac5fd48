import hashlib
from base64 import b64encode

import pytest

from lc2_backup_dagster.demo.seed.file_content import CHUNK_BYTES, content_checksum, file_content
from lc2_backup_dagster.demo.seed.library_plan import ObjectRole, PlannedObject, plan_documents, plan_objects
from lc2_backup_dagster.demo.seed.scale import COMPANY_ID, REPOSITORY_ID, SECOND_REPOSITORY_ID, LiferayScale

SMALL = LiferayScale(documents=200, large_file_bytes=3_000_000)


def test_the_demo_has_five_thousand_objects_between_two_kilobytes_and_fifty_megabytes():
    planned = list(plan_objects(LiferayScale()))
    sizes = [one.size_bytes for one in planned]
    assert len(planned) >= 5_000
    assert len({one.key for one in planned}) == len(planned)
    assert min(sizes) == 2_048
    assert [size for size in sizes if size > 10_000_000] == [50 * 1024 * 1024] * 2
    assert sum(sizes) < 700_000_000
    assert sum(one.role is ObjectRole.GENERATED for one in planned) > 1_000
    assert sum(one.role is ObjectRole.CACHE for one in planned) >= 2
    assert sum(bool(one.metadata) for one in planned) > 500


def test_equal_scales_make_equal_plans_and_other_seeds_other_ones():
    assert list(plan_objects(SMALL)) == list(plan_objects(SMALL))
    assert list(plan_objects(SMALL)) != list(plan_objects(LiferayScale(seed=2, documents=200)))


def test_keys_follow_liferays_layout_in_two_repositories():
    for document in plan_documents(SMALL):
        assert document.repository_id in {REPOSITORY_ID, SECOND_REPOSITORY_ID}
        for version in document.versions:
            label = version.version + (f"~{version.store_uuid}" if version.store_uuid else "")
            assert version.document.key == f"{COMPANY_ID}/{document.repository_id}/{document.name}/{label}"
    versions = [version for document in plan_documents(SMALL) for version in document.versions]
    assert {version.version for version in versions} == {"1.0", "1.1", "2.0"}
    assert {version.store_uuid is None for version in versions} == {True, False}
    assert {document.repository_id for document in plan_documents(SMALL)} == {REPOSITORY_ID, SECOND_REPOSITORY_ID}


def test_generated_files_lie_under_repository_zero():
    keys = [one.key for one in plan_objects(LiferayScale(documents=2_000)) if one.role is ObjectRole.GENERATED]
    for folder in ("document_thumbnail", "document_preview", "adaptive"):
        assert any(key.startswith(f"{COMPANY_ID}/0/{folder}/") for key in keys)


def test_no_key_is_a_folder_of_another_key():
    keys = {one.key for one in plan_objects(LiferayScale(documents=2_000))}
    folders = {key[:end] for key in keys for end in range(len(key)) if key[end] == "/"}
    assert not keys & folders
    assert not [key for key in keys if "//" in key or key.endswith("/")]


@pytest.mark.parametrize("size", [2_048, 100_001, CHUNK_BYTES, 2 * CHUNK_BYTES + 5])
@pytest.mark.parametrize("content_type", ["application/pdf", "text/plain", "text/html; charset=utf-8", "image/png"])
def test_contents_have_the_planned_size_and_are_cut_in_bounded_chunks(size: int, content_type: str):
    planned = PlannedObject("a/b/c/1.0", size, content_type, ObjectRole.DOCUMENT)
    chunks = list(file_content(planned))
    assert sum(map(len, chunks)) == size
    assert max(map(len, chunks)) <= CHUNK_BYTES
    assert content_checksum(planned) == b64encode(hashlib.sha256(b"".join(chunks)).digest()).decode()


def test_files_of_different_keys_have_different_contents():
    checksums = [content_checksum(one) for one in plan_objects(SMALL)]
    assert len(set(checksums)) == len(checksums)


def test_a_scale_that_has_no_room_for_its_documents_is_refused():
    with pytest.raises(ValueError, match="documents"):
        LiferayScale(documents=100_000)
    with pytest.raises(ValueError, match="negative"):
        LiferayScale(size_bytes=-1)
