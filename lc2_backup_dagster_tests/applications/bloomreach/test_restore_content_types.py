"""Content types brought back into a development project: planned, in order, and nothing overwritten unasked."""

import pytest

from lc2_backup_dagster.applications.bloomreach.restore_content_types import (
    TypeState,
    apply_plan,
    plan_content_types,
)
from lc2_backup_dagster.applications.bloomreach.source import BloomreachSource, ExportChoice
from lc2_backup_dagster.demo.servers.bloomreach_faults import answering, hang_up
from lc2_backup_dagster.engines.exports.document import Document
from lc2_backup_dagster.model.errors import (
    AccessDenied,
    ConfigurationError,
    ExportCorrupt,
    ServiceUnavailable,
)
from lc2_backup_dagster_tests.engines.exports.exporting import keep_source

DEVELOPMENT = "/management/contenttypes/v1/development"


@pytest.fixture
def documents(client):
    """The content types of the main project, as an export has them."""
    return list(BloomreachSource(client, choice=ExportChoice(content=None, site=False)).documents())


@pytest.fixture
def empty_project(server):
    server.state.content_types("development")
    server.state._projects["development"].clear()


def puts(server):
    return [each.path.rpartition("/")[2] for each in server.asked if each.method == "PUT"]


def states(plan):
    return {step.name: str(step.state) for step in plan.steps}


def change(server, name, key, value):
    """Change a content type in the development project, as a developer does in the product."""
    types = server.state.content_types("development")
    version = server.state.version(f"contenttypes/development/{name}")
    server.state.put_content_type("development", name, {**types[name], key: value}, version)


def test_everything_is_created_in_an_empty_project_field_groups_first(client, server, documents, empty_project):
    plan = plan_content_types(client, documents, project="development")
    assert not puts(server)
    assert set(states(plan).values()) == {"create"}
    names = [step.name for step in plan.steps]
    assert names.index("retail:seo") < names.index("retail:news")
    assert names.index("retail:price") < names.index("retail:product")
    done = apply_plan(client, plan)
    assert set(states(done).values()) == {"created"}
    assert done.is_whole
    assert server.state.content_types("development") == server.state.content.content_types


def test_what_is_there_already_is_left_alone(client, server, documents):
    plan = plan_content_types(client, documents, project="development")
    assert set(states(plan).values()) == {"unchanged"}
    apply_plan(client, plan)
    assert not puts(server)


def test_a_restore_of_a_stored_export_can_be_repeated(repository, client, server, empty_project):
    stored, _ = keep_source(repository, BloomreachSource(client))
    for expected in ("created", "unchanged"):
        plan = plan_content_types(client, stored.documents(), project="development")
        assert set(states(apply_plan(client, plan)).values()) == {expected}


def test_a_content_type_with_other_content_is_a_conflict_and_not_overwritten(client, server, documents):
    change(server, "retail:news", "system", "theirs")
    plan = plan_content_types(client, documents, project="development")
    [step] = [step for step in plan.steps if step.state is TypeState.CONFLICT]
    assert step.name == "retail:news"
    assert [each.key for each in step.changes.keys] == ["system"]
    assert "conflict retail:news: it is there with other content" in "\n".join(plan.text())
    assert '    ~ system: "theirs" → null' in list(plan.text())
    done = apply_plan(client, plan)
    assert not done.is_whole
    assert not puts(server)
    assert server.state.content_types("development")["retail:news"]["system"] == "theirs"


def test_it_is_replaced_when_it_is_named_and_no_other(client, server, documents):
    change(server, "retail:news", "system", "theirs")
    change(server, "retail:store", "system", "theirs")
    plan = plan_content_types(client, documents, project="development", overwrite=lambda name: name == "retail:news")
    done = apply_plan(client, plan)
    assert puts(server) == ["retail-news"]
    assert (states(done)["retail:news"], states(done)["retail:store"]) == ("replaced", "conflict")
    assert server.state.content_types("development")["retail:news"]["system"] is None
    [put] = [each for each in server.asked if each.method == "PUT"]
    assert put.headers["x-resource-version"] == "2"


def test_a_change_between_plan_and_write_is_a_conflict_even_if_it_may_be_replaced(client, server, documents):
    change(server, "retail:news", "system", "theirs")
    plan = plan_content_types(client, documents, project="development", overwrite=lambda name: True)
    change(server, "retail:news", "system", "newer")
    done = apply_plan(client, plan)
    [step] = [step for step in done.steps if step.name == "retail:news"]
    assert (step.state, step.reason) == (TypeState.CONFLICT, "somebody has changed it since the plan was made")
    assert server.state.content_types("development")["retail:news"]["system"] == "newer"


def test_one_that_came_to_be_between_plan_and_write_is_a_conflict(client, server, documents, empty_project):
    plan = plan_content_types(client, documents, project="development")
    server.state.put_content_type("development", "retail:seo", {"name": "retail:seo", "fields": []}, None)
    done = apply_plan(client, plan)
    assert states(done)["retail:seo"] == "conflict"
    assert states(done)["retail:store"] == "created"
    assert server.state.content_types("development")["retail:seo"]["fields"] == []


@pytest.mark.parametrize("code", [409, 412])
def test_both_words_for_a_conflict_are_understood(code, client, server, documents, empty_project):
    plan = plan_content_types(client, documents, project="development")
    server.fail(answering(code), f"{DEVELOPMENT}/retail-store", method="PUT")
    assert states(apply_plan(client, plan))["retail:store"] == "conflict"


def test_one_that_the_api_refuses_does_not_stop_the_others(client, server, documents, empty_project):
    without_seo = [each for each in documents if "seo" not in each.path]
    plan = plan_content_types(client, without_seo, project="development")
    done = apply_plan(client, plan)
    [refused] = [step for step in done.steps if step.state is TypeState.REFUSED]
    assert refused.name == "retail:news"
    assert "retail:news uses retail:seo, which does not exist" in (refused.reason or "")
    assert done.count(TypeState.CREATED) == 5


def test_the_live_project_is_never_written(client, server, documents):
    with pytest.raises(ConfigurationError, match="not restored into the live project"):
        plan_content_types(client, documents, project="core")


def test_a_project_that_is_not_there_is_told(client, documents):
    with pytest.raises(ConfigurationError, match="has no project 'vIUy9'"):
        plan_content_types(client, documents, project="vIUy9")


def test_content_types_that_the_export_does_not_have_are_left_alone_and_named(client, server, documents):
    server.state.put_content_type("development", "retail:theirs", {"name": "retail:theirs", "fields": []}, None)
    plan = plan_content_types(client, documents, project="development")
    assert plan.extra == ("retail:theirs",)
    assert "left alone retail:theirs: the export does not have it" in list(plan.text())
    apply_plan(client, plan)
    assert "retail:theirs" in server.state.content_types("development")


@pytest.mark.parametrize("before", [True, False])
def test_a_write_whose_answer_was_lost_is_looked_at(before, client, server, documents, empty_project):
    plan = plan_content_types(client, documents, project="development")
    server.fail(hang_up, f"{DEVELOPMENT}/retail-banner", method="PUT", before=before)
    if before:
        with pytest.raises(ServiceUnavailable):
            apply_plan(client, plan)
    else:
        assert set(states(apply_plan(client, plan)).values()) == {"created"}
    assert puts(server).count("retail-banner") == 1


def test_a_token_that_may_not_write_ends_it(client, server, documents, empty_project):
    plan = plan_content_types(client, documents, project="development")
    server.fail(answering(403), DEVELOPMENT, method="PUT", times=99)
    with pytest.raises(AccessDenied):
        apply_plan(client, plan)
    assert len(puts(server)) == 1


def test_an_api_without_versions_is_not_written_over(client, server, documents):
    change(server, "retail:news", "system", "theirs")
    from dataclasses import replace

    server.fail(lambda answer: replace(answer, headers={}), f"{DEVELOPMENT}/retail-news")
    plan = plan_content_types(client, documents, project="development", overwrite=lambda name: True)
    [step] = [step for step in plan.steps if step.name == "retail:news"]
    assert (step.state, step.reason) == (TypeState.CONFLICT, "the API tells no version to write over")


def test_types_that_use_each_other_are_ordered_all_the_same(client, empty_project):
    one = Document.of_json("content-types/a.json", {"name": "a", "fields": [{"name": "x", "fieldGroupType": "b"}]})
    other = Document.of_json("content-types/b.json", {"name": "b", "fields": [{"name": "x", "fieldGroupType": "a"}]})
    plan = plan_content_types(client, [one, other], project="development")
    assert sorted(step.name for step in plan.steps) == ["a", "b"]


@pytest.mark.parametrize("content", [b"[]", b"{", b'"x"'])
def test_a_document_that_is_no_content_type_is_told(content, client):
    with pytest.raises(ExportCorrupt, match=r"content-types/x.json is no content type"):
        plan_content_types(client, [Document("content-types/x.json", content)], project="development")
