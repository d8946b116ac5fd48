"""The objects of a content, found from its identity and back."""

from io import BytesIO

import pytest

from lc2_backup_dagster.engines.files.manifest.entry import Bundled, Copied, Parts
from lc2_backup_dagster.engines.files.manifest.identity import object_key
from lc2_backup_dagster.engines.files.manifest.stored_content import StoredContent, place_of, read_list
from lc2_backup_dagster.model.errors import ManifestCorrupt
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster_tests.engines.files.library import HASH, SITE, a_part, an_entry

OTHER = "cd" * 32


@pytest.mark.parametrize(
    ("location", "parts"),
    [
        (Copied(HASH), 0),
        (Bundled(HASH, "data-1", 0, 3, a_part()), 0),
        (Parts(HASH, None, (a_part(),)), 0),
        (Parts(HASH, None, (a_part(1), a_part(1), a_part(1))), 3),
    ],
)
def test_a_content_has_exactly_the_objects_that_its_entries_have(location, parts):
    entry = an_entry("x", location)

    content = StoredContent.of(entry, SITE)

    assert content == StoredContent(HASH, parts)
    assert list(content.keys(SITE)) == [key for key, _ in entry.stored_objects(SITE)]


def test_a_key_tells_identity_and_part():
    assert place_of(object_key(SITE, HASH), SITE) == (HASH, None)
    assert place_of(object_key(SITE, HASH, part=0), SITE) == (HASH, 0)
    assert place_of(object_key(SITE, HASH, part=1_000_000), SITE) == (HASH, 1_000_000)


FILES = f"files/{SITE}"


@pytest.mark.parametrize(
    "key",
    [
        "", f"{FILES}/", f"{FILES}/ab", f"{FILES}/ab/{HASH[:-1]}", f"{FILES}/ab/{HASH}/", f"{FILES}/00/{HASH}",
        f"{FILES}/ab/{HASH}/1", f"{FILES}/ab/{HASH}/00000x", f"{FILES}/ab/{HASH}/²", f"{FILES}/ab/{HASH}/000000/1",
        f"{FILES}/ab/{HASH.upper()}", object_key(SiteId("retail", "drupal"), HASH), f"backups/{SITE}/ab/{HASH}",
    ],
)  # fmt: skip
def test_a_key_that_no_content_has_tells_nothing(key):
    assert place_of(key, SITE) is None


def test_a_list_comes_back_as_it_was_written():
    contents = [StoredContent(HASH, 0), StoredContent(OTHER, 12)]

    lines = b"".join(each.line() for each in contents)

    assert lines == f'["{HASH}",0]\n["{OTHER}",12]\n'.encode()
    assert list(read_list(BytesIO(lines), name="list")) == contents


@pytest.mark.parametrize(
    "line", [b"[]", b"{}", b'["ab",0]', b'["%s",-1]' % HASH.encode(), b'["%s",true]' % HASH.encode(), b"x", b"[1,0]"]
)
def test_a_line_that_names_no_content_is_refused(line):
    with pytest.raises(ManifestCorrupt, match="list line 2"):
        list(read_list(BytesIO(StoredContent(HASH, 0).line() + line + b"\n"), name="list"))


def test_a_list_that_was_cut_is_refused():
    with pytest.raises(ManifestCorrupt, match="ends in the middle"):
        list(read_list(BytesIO(StoredContent(HASH, 0).line()[:-1]), name="list"))
