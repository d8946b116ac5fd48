from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.engines.files.manifest.identity import bundle_identity, file_identity, object_key
from lc2_backup_dagster_tests.engines.files.library import SITE, an_info


def identity(info=an_info("k"), **changes: str) -> str:  # noqa: B008 - frozen
    return file_identity(info, **{"source_id": "s", "protection": "client", "generation": "1", **changes})


@given(
    st.tuples(*[st.text(st.characters(), max_size=5)] * 6),
    st.tuples(*[st.text(st.characters(), max_size=5)] * 6),
)
def test_different_facts_give_different_identities(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    def of(facts: tuple[str, ...]) -> str:
        key, etag, version, source_id, protection, generation = facts
        info = an_info(key, etag=etag, version=version)
        return identity(info, source_id=source_id, protection=protection, generation=generation)

    assert (of(one) == of(other)) == (one == other)


def test_the_time_counts_only_without_etag_and_version() -> None:
    def later(info):
        return replace(info, modified=info.modified + timedelta(microseconds=1))

    told, untold = an_info("k"), an_info("k", etag=None)

    assert identity(told) == identity(later(told))
    assert identity(untold) != identity(later(untold))


def test_an_identity_lies_below_its_first_two_digits() -> None:
    assert object_key(SITE, "ab" * 32) == f"files/retail/liferay/ab/{'ab' * 32}"
    assert object_key(SITE, "ab" * 32, part=7) == f"files/retail/liferay/ab/{'ab' * 32}/000007"


def test_a_bundle_is_named_by_its_members_in_order() -> None:
    assert bundle_identity(["a", "b"]) != bundle_identity(["b", "a"])
    assert bundle_identity(["a", "b"]) != bundle_identity(["a,b"])
