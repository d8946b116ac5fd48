"""Paths of documents: readable, one for each name, and such that the engine takes them."""

from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.applications.bloomreach.document_paths import folder, item_path, segment, version_path
from lc2_backup_dagster.engines.exports.document import check_path

NAMES = st.text(min_size=1, max_size=400) | st.text("ab./%~\\\ud800", min_size=1, max_size=5)


def test_ordinary_names_stay_as_they_are():
    assert segment("retail:news") == "retail:news"
    assert item_path("/content/documents/retail-en/news/über uns", "document") == (
        "content/documents/retail-en/news/über uns.document.json"
    )
    assert version_path("/content/a", "page", "1.0") == "content/a.page.history/1.0.json"
    assert folder("/content/documents/") == "content/documents"


def test_what_a_path_must_not_hold_is_escaped():
    assert segment("a/b") == "a%2Fb"
    assert segment("..") == "%2E."
    assert segment("a\nb%") == "a%0Ab%25"
    assert segment("\ud800") == "%ED%A0%80"


def test_a_folder_and_a_document_of_one_name_are_two_documents():
    assert item_path("/a", "folder") != item_path("/a", "document")


@given(NAMES)
def test_every_name_makes_a_path_that_can_be_kept(name):
    check_path(f"content/{segment(name)}.document.json")


@given(NAMES, NAMES)
def test_two_names_never_make_one_path(one, other):
    assert (segment(one) == segment(other)) == (one == other)
