"""Lists of the API: whole, or refused."""

import pytest

from lc2_backup_dagster.applications.bloomreach.paging import list_resources
from lc2_backup_dagster.applications.bloomreach.resources import name_of
from lc2_backup_dagster.demo.servers.bloomreach_faults import answering, half_page, other_json
from lc2_backup_dagster.model.errors import AnswerInvalid, ObjectNotFound

ROUTES = "/management/site/v1/channels/retail-en/routes"
TYPES = "/management/contenttypes/v1/core"


def names(listing):
    return [name_of(each) for each in listing.items]


def test_a_list_is_read_page_by_page(client, server):
    listing = list_resources(client, ROUTES, identity=name_of)
    assert names(listing) == ["root", "news", "products", "search"]
    assert listing.version == "1"
    assert [each.query["offset"] for each in server.asked] == ["0", "3"]


def test_a_list_that_comes_as_one_array_is_whole(client, server):
    assert len(list_resources(client, TYPES, identity=name_of).items) == 7
    assert len(server.asked) == 1


def test_an_empty_list_is_a_list(client, server):
    server.state.content.routes["retail-en"].clear()
    assert not list_resources(client, ROUTES, identity=name_of).items


def test_a_list_that_is_not_there_is_not_an_empty_one(client):
    with pytest.raises(ObjectNotFound):
        list_resources(client, "/management/site/v1/channels/nobody/routes", identity=name_of)


def test_half_a_page_is_asked_for_again(client, server, time):
    server.fail(half_page, ROUTES)
    assert names(list_resources(client, ROUTES, identity=name_of)) == ["root", "news", "products", "search"]
    assert time.long_waits == [0.5]


def test_half_a_page_is_never_taken_for_the_end_of_the_list(client, server):
    server.fail(half_page, ROUTES, times=99)
    with pytest.raises(AnswerInvalid, match=r"page at 0 of 4 has 1 items \(tried 4 times\)"):
        list_resources(client, ROUTES, identity=name_of)


def test_a_last_page_that_stays_empty_ends_the_waiting(client, server):
    server.fail(other_json(lambda page: {**page, "items": []} if page["offset"] else page), ROUTES, times=99)
    with pytest.raises(AnswerInvalid, match="page at 3 of 4 has 0 items"):
        list_resources(client, ROUTES, identity=name_of)


def test_a_page_without_a_limit_that_stays_empty_ends_the_waiting(client, server):
    def spoil(page):
        return {"total": page["total"], "items": []} if page["offset"] else {"total": 4, "items": page["items"]}

    server.fail(other_json(spoil), ROUTES, times=99)
    with pytest.raises(AnswerInvalid, match="page at 3 of 4 has 0 items"):
        list_resources(client, ROUTES, identity=name_of)


def test_a_list_that_changes_while_it_is_read_is_read_anew(client, server):
    def change(answer):
        with server.state.changing("site/channels/retail-en/routes") as content:
            content.routes["retail-en"]["late"] = {"name": "late"}
        return answer

    server.fail(change, ROUTES)
    assert names(list_resources(client, ROUTES, identity=name_of))[-1] == "late"
    assert server.count("GET", ROUTES) == 4


def test_an_item_that_comes_twice_is_a_list_that_moved(client, server):
    server.fail(
        other_json(lambda page: {**page, "items": [{"name": "root"}]} if page["offset"] else page), ROUTES, times=9
    )
    with pytest.raises(AnswerInvalid, match="root came twice"):
        list_resources(client, ROUTES, identity=name_of)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda page: "a list", "answered no list"),
        (lambda page: {"total": 1, "items": ["x"]}, "no list of resources"),
        (lambda page: {"items": []}, "without usable numbers"),
        (lambda page: {"total": -1, "items": []}, "without usable numbers"),
        (lambda page: {"total": True, "items": []}, "without usable numbers"),
        (lambda page: {"total": 10**9, "items": []}, "items are more than"),
        (lambda page: {"total": 1, "items": [{"label": "x"}]}, "without id and name"),
        (lambda page: {**page, "offset": 1}, "the page at 1 came for the one at 0"),
        (lambda page: {**page, "total": 2}, "page at 0 of 2 has 3 items"),
    ],
)
def test_what_is_no_list_is_refused(change, reason, client, server):
    server.fail(other_json(change), ROUTES, times=99)
    with pytest.raises(AnswerInvalid, match=reason):
        list_resources(client, ROUTES, identity=name_of)


def test_throttling_in_the_middle_of_a_list_does_not_begin_it_anew(client, server):
    server.fail(answering(429, retry_after="3"), ROUTES, skip=1)
    list_resources(client, ROUTES, identity=name_of)
    assert [each.query["offset"] for each in server.asked] == ["0", "3", "3"]
