"""Two days of a Bloomreach environment in a repository: the same when nothing changed, compared by keys when it did."""

import json
from dataclasses import replace as changed

import pytest

from lc2_backup_dagster.applications.bloomreach.content_export import ContentExportRequest
from lc2_backup_dagster.applications.bloomreach.source import BloomreachSource, ExportChoice
from lc2_backup_dagster.applications.bloomreach.versions import is_older, versions_of
from lc2_backup_dagster.demo.servers.bloomreach_faults import (
    answering,
    half_page,
    hang_up,
    older_version,
    truncated_zip,
    zip_of,
)
from lc2_backup_dagster.model.errors import (
    AccessDenied,
    AnswerInvalid,
    ConfigurationError,
    ExportInvalid,
    ResourceWentBack,
    ServiceUnavailable,
)
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster_tests.engines.exports.exporting import keep_source

WITH_HISTORY = ExportChoice(content=ContentExportRequest(include_version_history=True))


def export(repository, client, **options):
    return keep_source(repository, BloomreachSource(client, **options))


def test_content_types_site_and_content_are_documents(repository, client, server):
    stored, captured = export(repository, client)
    paths = [entry.path for entry in stored.entries()]
    assert "content-types/retail:news.json" in paths
    assert "site/channels/retail-en/channel.json" in paths
    for kind in ("layouts/article", "routes/root", "menus/main", "component-groups/retail", "components/retail/Banner"):
        assert f"site/channels/retail-de/{kind}.json" in paths
    assert "content/documents/retail-en/news/news-0001.document.json" in paths
    assert "content/documents/retail-en/news.folder.json" in paths
    assert "content/documents/administration/labels/checkout.resourcebundle.json" in paths
    content = server.state.content
    assert sum(path.startswith("content/") for path in paths) == len(content.items)
    assert (
        json.loads(stored.read(stored.find("content-types/retail:news.json"))) == content.content_types["retail:news"]
    )
    assert captured.documents == len(paths)
    assert not captured.partial


def test_an_unchanged_environment_makes_an_equal_export(repository, client):
    first, one = export(repository, client, choice=WITH_HISTORY)
    second, other = export(repository, client, choice=WITH_HISTORY, versions_before=versions_of(first))
    assert one.sha256 == other.sha256
    assert not list(second.changes_since(first))
    assert first.manifest.streams["export.tar"][0][2] == second.manifest.streams["export.tar"][0][2]


def test_a_day_of_editing_is_shown_by_its_keys(repository, client, server):
    first, _ = export(repository, client, choice=WITH_HISTORY)
    server.state.edit(1)
    second, _ = export(repository, client, choice=WITH_HISTORY, versions_before=versions_of(first))
    changes = {each.path: each for each in second.document_changes_since(first)}
    assert [str(each.kind) for each in changes.values()].count("changed") == 3
    model = changes["content-types/retail:product.json"]
    assert [each.key for each in model.keys] == ["fields[name=attribute1]"]
    [edited] = [path for path in changes if path.endswith(".history/1.1.json")]
    news = edited.replace(".history/1.1.json", ".json")
    assert [each.key for each in changes[news].keys] == ["fields[name=introduction].value[0]"]
    versions = changes["resource-versions.json"]
    assert [(each.key, each.old, each.new) for each in versions.keys] == [('["contenttypes/core"]', '"1"', '"2"')]


def test_a_secret_of_a_channel_is_kept_and_not_shown(repository, client, server):
    first, _ = export(repository, client)
    with server.state.changing() as content:
        content.channels["retail-en"]["parameters"]["searchApiKey"] = "another-key"
    second, _ = export(repository, client)
    [changes] = second.document_changes_since(first)
    assert [each.key for each in changes.keys] == ["parameters.searchApiKey"]
    assert "key" not in "".join(changes.text()).replace("searchApiKey", "").replace("‹hidden›", "")
    assert b"another-key" in second.read(second.find("site/channels/retail-en/channel.json"))


def test_facts_name_where_it_came_from_and_no_token(repository, client, server):
    stored, _ = export(repository, client)
    assert stored.manifest.details == {
        "api": server.url, "project": "core", "operation_id": "op-0001", "source_path": "/content/documents",
        "include_version_history": False, "unexported_items": 0,
    }  # fmt: skip
    assert "demo-token" not in json.dumps(stored.manifest.model_dump(mode="json"))


def test_the_token_is_in_no_document(repository, client):
    stored, _ = export(repository, client)
    assert not [each.path for each in stored.documents() if b"demo-token" in each.content]


def test_parts_may_be_left_out(repository, client, server):
    stored, _ = export(repository, client, choice=ExportChoice(content=None, site=False))
    assert {entry.path.partition("/")[0] for entry in stored.entries()} == {"content-types", "resource-versions.json"}
    assert not server.state.operations


def test_items_that_could_not_be_exported_make_it_partial(repository, client, server):
    server.plan.failed = {"/content/documents/retail-en/news/news-0001": "locked"}
    stored, captured = export(repository, client)
    assert captured.partial
    assert captured.unexported == (("/content/documents/retail-en/news/news-0001", "locked"),)
    assert stored.manifest.details["unexported_items"] == 1


def test_a_project_that_is_not_there_is_told(repository, client):
    with pytest.raises(ConfigurationError, match="no project 'nobody' with content types"):
        export(repository, client, choice=ExportChoice(project="nobody"))


# Bad days.


@pytest.mark.parametrize(
    ("spoil", "path", "error"),
    [
        (answering(500), "/contenttypes/", ServiceUnavailable),
        (answering(429, retry_after="9999"), "/routes", ServiceUnavailable),
        (half_page, "/components", AnswerInvalid),
        (hang_up, "/operations/op-", ServiceUnavailable),
        (answering(401), "/files", AccessDenied),
        (truncated_zip, "/files", AnswerInvalid),
        (zip_of({"x.ndjson": b"\n" * 3_000_000}), "/files", AnswerInvalid),
        (zip_of({"x.ndjson": b'{"type":"page","path":"/a"}\n'}), "/files", AnswerInvalid),
    ],
)
def test_a_bad_day_leaves_no_backup(spoil, path, error, repository, client, server, tmp_path):
    choice = ExportChoice()
    choice = changed(choice, limits=changed(choice.limits, unpacked_bytes=1_000_000))
    server.fail(spoil, path, times=99)
    with pytest.raises(error):
        export(repository, client, choice=choice, scratch=tmp_path)
    assert not repository.backups(Component.CONFIGURATION)
    assert not [key for key in repository.store.objects if "/export." in key]
    assert [each.name for each in tmp_path.iterdir()] == ["site.key"]


def test_a_truncated_archive_is_fetched_once_more(repository, client, server):
    server.fail(truncated_zip, "/files")
    _, captured = export(repository, client)
    assert captured.documents > len(server.state.content.items)
    assert server.count("GET", "/files") == 2


def test_an_item_that_is_exported_twice_is_refused(repository, client, server):
    line = b'{"type":"page","path":"/a"}\n'
    server.fail(zip_of({"x.ndjson": line * len(server.state.content.items)}), "/files")
    with pytest.raises(ExportInvalid, match="holds a.page.json twice"):
        export(repository, client)


def test_an_older_version_than_in_the_export_before_is_refused(repository, client, server):
    server.state.edit(1)
    server.state.edit(3)
    first, _ = export(repository, client)
    assert versions_of(first)["contenttypes/core"] == "3"
    server.fail(older_version, "/contenttypes/v1/core", times=99)
    with pytest.raises(ResourceWentBack, match="contenttypes/core has version 2, and had 3 before"):
        export(repository, client, versions_before=versions_of(first))
    assert len(repository.backups(Component.CONFIGURATION)) == 1


def test_an_older_version_of_a_site_list_is_refused(repository, client, server):
    server.state.edit(2)
    first, _ = export(repository, client)
    server.fail(older_version, "/channels/retail-en/routes", times=99)
    with pytest.raises(ResourceWentBack, match="site/channels/retail-en/routes has version 1, and had 2 before"):
        export(repository, client, versions_before=versions_of(first))


def test_after_the_environment_was_set_back_an_export_can_be_made_without_the_versions_before(
    repository, client, server
):
    server.state.edit(1)
    export(repository, client)
    server.fail(older_version, "/contenttypes/v1/core", times=99)
    stored, _ = export(repository, client)
    assert versions_of(stored)["contenttypes/core"] == "1"


def test_versions_are_opaque_but_for_whole_numbers():
    assert is_older("9", "10")
    assert not is_older("10", "9")
    assert not is_older("10", "10")
    assert not is_older("1.1", "1.2")
    assert not is_older("aaaa", "bbbb")


def test_an_api_without_versions_is_exported_all_the_same(repository, client, server):
    for path in ("/contenttypes/", "/site/"):
        server.fail(lambda answer: changed(answer, headers={}), path, times=999)
    stored, _ = export(repository, client)
    assert versions_of(stored) == {}


def test_a_token_that_expires_in_the_middle_of_an_export_is_renewed(repository, client, server, tokens):
    server.fail(lambda answer: server.renew_token("fresh") or answer, "/menus")
    tokens.token = "fresh" if tokens.reads else "demo-token"

    def read():
        tokens.reads += 1
        return "demo-token" if tokens.reads == 1 else "fresh"

    client._read_token = read
    _, captured = export(repository, client)
    assert captured.documents > 100
    assert tokens.reads == 2
