"""A view below a prefix is a store like any other."""

import pytest

from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.clouds.prefixed import PrefixedStore, unwrapped
from lc2_backup_dagster_tests.contracts.object_store import ObjectStoreContract, keys_of, write_files


class TestPrefixedStoreKeepsTheContract(ObjectStoreContract):
    object_and_folder = False
    unrepresentable_keys = ("", "trailing/", "../outside")

    @pytest.fixture
    def inner(self, tmp_path):
        store = DirectoryStore(tmp_path / "store", create=True)
        for key in ("a", "some/prefix-not", "some/z", "z"):
            store.put(key, b"not below the prefix")
        return store

    @pytest.fixture
    def store(self, inner):
        return PrefixedStore(inner, "some/prefix/")

    @pytest.fixture
    def other_store(self, inner):
        return PrefixedStore(PrefixedStore(inner, "some/"), "other/")

    @pytest.fixture(autouse=True)
    def place(self, tmp_path):
        self.root = tmp_path / "store" / "some" / "prefix"

    def fill_with_thousands(self, store, keys):
        write_files(self.root, keys)

    def test_nothing_outside_the_prefix_is_touched(self, inner, store):
        store.put("key", b"x")
        assert inner.get("some/prefix/key") == b"x"
        assert keys_of(store) == ["key"]

        store.delete(["key", "z"])

        assert keys_of(inner) == ["a", "some/prefix-not", "some/z", "z"]

    def test_views_of_views_lead_to_the_real_store(self, inner, other_store):
        assert unwrapped(other_store, "key") == (inner, "some/other/key")
        assert unwrapped(inner, "key") == (inner, "key")
