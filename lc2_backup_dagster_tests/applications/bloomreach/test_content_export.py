"""The content export: waited for with an end, and never begun twice by accident."""

import io

import pytest

from lc2_backup_dagster.applications.bloomreach.content_export import (
    ContentExportRequest,
    export_content,
    fetch_package,
)
from lc2_backup_dagster.demo.servers.bloomreach_faults import answering, hang_up, html_page, other_json
from lc2_backup_dagster.model.errors import AccessDenied, AnswerInvalid, ExportFailed, ServiceUnavailable

EXPORT = "/management/content-export/v1"
OPERATIONS = f"{EXPORT}/operations"


def posts(server):
    return [each for each in server.asked if each.method == "POST"]


def test_an_export_is_asked_for_polled_and_fetched(client, server, time):
    server.plan.polls = 3
    exported = export_content(client, ContentExportRequest())
    assert exported.items == len(server.state.content.items)
    assert not exported.unexported
    sink = io.BytesIO(b"what was there before, and longer than anything" * 9999)
    fetch_package(client, exported, sink, limit_bytes=10_000_000)
    assert sink.getvalue() == server.state.operations[exported.operation_id].package
    assert time.long_waits == [0.5, 1.0, 2.0]


def test_what_is_asked_for_is_what_was_chosen(client, server):
    request = ContentExportRequest(
        project="vIUy9", source_path="/content/documents/retail-de", data_types=("page",), include_version_history=True
    )
    export_content(client, request)
    assert server.state.operations["op-0001"].request == {
        "branch": "vIUy9", "sourcePath": "/content/documents/retail-de", "dataTypes": ["page"],
        "includeVersionHistory": True,
    }  # fmt: skip
    assert "includeVersionHistory" not in ContentExportRequest().body()


def test_items_that_could_not_be_exported_are_named(client, server):
    server.plan.failed = {"/content/documents/retail-en/news/news-0001": "locked by an editor"}
    exported = export_content(client, ContentExportRequest())
    assert exported.unexported == (("/content/documents/retail-en/news/news-0001", "locked by an editor"),)
    assert exported.unexported_count == 1


@pytest.mark.parametrize("status", ["FAILED", "ABANDONED", "STOPPED", "UNKNOWN"])
def test_an_operation_that_fails_is_told(status, client, server):
    server.plan.ends_as = status
    with pytest.raises(ExportFailed, match=f"operation op-0001 ended as {status}"):
        export_content(client, ContentExportRequest())
    assert len(posts(server)) == 1


def test_an_operation_that_never_ends_is_not_waited_for_for_ever(client, server, time):
    server.plan.polls = None
    with pytest.raises(ExportFailed, match="op-0001 has not ended within 600 s"):
        export_content(client, ContentExportRequest(wait_seconds=600))
    assert time.seconds < 610
    assert max(time.waits) == 30.0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda value: {**value, "status": "DONE"}, "has a status that is not known"),
        (lambda value: {"operationId": "op-0001"}, "has a status that is not known"),
        (lambda value: [], "came without details"),
    ],
)
def test_details_that_make_no_sense_are_refused(change, reason, client, server):
    server.fail(other_json(change), f"{OPERATIONS}/op-0001", times=99)
    with pytest.raises(AnswerInvalid, match=reason):
        export_content(client, ContentExportRequest())


def test_an_operation_without_an_id_is_refused(client, server):
    server.fail(other_json(lambda value: {"status": "STARTING"}), EXPORT, method="POST")
    with pytest.raises(AnswerInvalid, match="without its operationId"):
        export_content(client, ContentExportRequest())


def test_polling_survives_a_bad_minute(client, server):
    server.fail(answering(503), f"{OPERATIONS}/op-0001", times=2)
    server.fail(html_page, f"{OPERATIONS}/op-0001", skip=1)
    assert export_content(client, ContentExportRequest()).operation_id == "op-0001"


# A lost answer to the POST.


@pytest.mark.parametrize("spoil", [hang_up, answering(500), answering(504)])
def test_an_operation_whose_answer_was_lost_is_found_and_not_begun_twice(spoil, client, server):
    server.fail(spoil, EXPORT, method="POST")
    assert export_content(client, ContentExportRequest()).operation_id == "op-0001"
    assert len(posts(server)) == 1
    assert len(server.state.operations) == 1


@pytest.mark.parametrize("spoil", [hang_up, answering(500)])
def test_an_operation_that_was_certainly_not_begun_is_begun_then(spoil, client, server):
    server.fail(spoil, EXPORT, method="POST", before=True)
    assert export_content(client, ContentExportRequest()).operation_id == "op-0001"
    assert len(posts(server)) == 2


def test_an_operation_of_somebody_else_is_not_taken_for_it(client, server):
    server.state.begin_export(ContentExportRequest().body())
    server.state.begin_export(ContentExportRequest(source_path="/content/documents/retail-de").body())

    def spoil(answer):
        server.state.begin_export(ContentExportRequest(project="other").body())
        return hang_up(answer)

    server.fail(spoil, EXPORT, method="POST", before=True)
    assert export_content(client, ContentExportRequest()).operation_id == "op-0004"


def test_where_operations_cannot_be_listed_a_lost_answer_ends_the_export(client, server):
    server.fail(answering(404), OPERATIONS, times=9)
    server.fail(hang_up, EXPORT, method="POST")
    with pytest.raises(ServiceUnavailable, match="whether an export was begun is not known, and it is not begun twice"):
        export_content(client, ContentExportRequest())
    assert len(posts(server)) == 1


def test_where_operations_cannot_be_listed_exports_work(client, server):
    server.fail(answering(405), OPERATIONS)
    assert export_content(client, ContentExportRequest()).operation_id == "op-0001"


def test_a_post_that_is_always_lost_ends(client, server):
    server.fail(hang_up, EXPORT, method="POST", times=99, before=True)
    with pytest.raises(ServiceUnavailable, match="was lost 4 times"):
        export_content(client, ContentExportRequest())
    assert len(posts(server)) == 4


def test_an_export_that_somebody_else_makes_is_waited_for_by_running_again(client, server):
    server.fail(answering(409), EXPORT, method="POST", before=True)
    with pytest.raises(ServiceUnavailable, match="another one is under way; run again later"):
        export_content(client, ContentExportRequest())
    assert not server.state.operations


def test_a_token_that_expires_while_it_is_polled_is_renewed(client, server, tokens):
    server.plan.polls = 5
    server.fail(lambda answer: server.renew_token("fresh") or answer, f"{OPERATIONS}/op-0001")
    tokens.token = "demo-token"
    client.get("/management/contenttypes/v1/core")
    tokens.token = "fresh"
    assert export_content(client, ContentExportRequest()).operation_id == "op-0001"


def test_a_token_that_expires_while_it_is_polled_and_is_not_renewed_is_told(client, server):
    server.plan.polls = 5
    server.expire_token(after_requests=4)
    with pytest.raises(AccessDenied, match="has expired"):
        export_content(client, ContentExportRequest())


# The file.


def test_a_file_that_is_too_long_is_refused(client):
    exported = export_content(client, ContentExportRequest())
    with pytest.raises(AnswerInvalid, match="answers more than 1000 bytes"):
        fetch_package(client, exported, io.BytesIO(), limit_bytes=1000)


def test_a_download_that_breaks_off_begins_anew(client, server):
    from lc2_backup_dagster.demo.servers.bloomreach_faults import cut_connection

    exported = export_content(client, ContentExportRequest())
    server.fail(cut_connection, "/files", times=2)
    sink = io.BytesIO()
    fetch_package(client, exported, sink, limit_bytes=10_000_000)
    assert sink.getvalue() == server.state.operations[exported.operation_id].package


def test_a_completed_operation_without_a_file_has_failed(client, server):
    exported = export_content(client, ContentExportRequest())
    server.fail(answering(404), "/files")
    with pytest.raises(ExportFailed, match="op-0001 has completed and has no file"):
        fetch_package(client, exported, io.BytesIO(), limit_bytes=1000)


def test_an_error_page_does_not_end_up_in_the_file(client, server):
    exported = export_content(client, ContentExportRequest())
    server.fail(answering(503, message="x" * 100_000), "/files", times=9)
    sink = io.BytesIO()
    with pytest.raises(ServiceUnavailable):
        fetch_package(client, exported, sink, limit_bytes=10_000_000)
    assert not sink.getvalue()
