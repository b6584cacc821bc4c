"""Stages that two CRMs call differently, statuses of a CRM's own, and records that are not to be synced."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from syncline.domain.mapping import FieldMap, Lookups, Mapper, ObjectMap, StageFact
from syncline.domain.mapping_file import dump_mapping, load_mapping
from syncline.domain.writing import Writer
from syncline.errors import Invalid

FIELDS = (
    FieldMap("name", "title"),
    FieldMap("pipeline", "pipeline_id"),
    FieldMap("stage", "stage_id"),
)
STATUS = FieldMap("status", "status", "choice", {"open": "open", "won": "won", "lost": "lost"})
RENAMED = ObjectMap("deals", "deal", (*FIELDS, STATUS), stages={"1/10": "sales/new", "1/11": "sales/late"})
#: What `load_lookups` makes of those: ids and facts are our stages'.
PLACES = Lookups(
    stages={
        ("1", "10"): StageFact("p", "s-new", False, False, 10, ("sales", "new")),
        ("1", "11"): StageFact("p", "s-late", False, False, 60, ("sales", "late")),
    }
)
#: A CRM whose stages are ours, and say whether a deal is closed.
PLAIN = ObjectMap("deals", "deal", FIELDS)
OURS = Lookups(
    stages={
        ("sales", "new"): StageFact("p", "s-new", False, False, 10),
        ("sales", "late"): StageFact("p", "s-late", False, False, 60),
        ("sales", "won"): StageFact("p", "s-won", True, True, 100),
        ("sales", "lost"): StageFact("p", "s-lost", True, False, 0),
    }
)


def read(pipeline: str, stage: str, status: str = "open") -> dict[str, Any]:
    properties = {"title": "A", "pipeline_id": pipeline, "stage_id": stage, "status": status}
    return dict(Mapper(RENAMED, PLACES).map(properties).values)


def test_a_stage_is_read_as_the_one_of_ours_that_it_leads_to():
    values = read("1", "11")
    assert (values["pipeline"], values["stage"], values["stage_id"]) == ("sales", "late", "s-late")


def test_a_stage_that_leads_nowhere_is_named_as_a_problem_and_not_guessed():
    mapped = Mapper(RENAMED, PLACES).map({"pipeline_id": "1", "stage_id": "99", "status": "open"})
    assert "stage" in mapped.problems
    assert mapped.values["stage_id"] is None


def test_a_status_of_the_crms_own_stands_above_its_stage():
    assert read("1", "11", "won")["status"] == "won"
    assert read("1", "11", "won")["stage"] == "late"


def test_our_stage_is_written_as_the_one_of_theirs_that_leads_to_it():
    record = {"pipeline": "sales", "stage": "late", "stage_id": "s-late", "status": "open"}
    written = Writer(RENAMED, PLACES).write({"stage": "late", "stage_id": "s-late"}, record)
    assert written.properties == {"pipeline_id": "1", "stage_id": "11"}
    assert written.unwritable == {}


def test_a_stage_that_they_do_not_have_is_reported_and_not_written():
    record = {"pipeline": "elsewhere", "stage": "odd", "status": "open"}
    written = Writer(RENAMED, PLACES).write({"stage": "odd", "name": "A"}, record)
    assert written.properties == {"title": "A"}
    assert list(written.unwritable) == ["stage"]


def test_a_closed_stage_that_they_do_not_have_is_told_by_their_status():
    record = {"pipeline": "sales", "stage": "won", "status": "won"}
    written = Writer(RENAMED, PLACES).write({"stage": "won", "status": "won"}, record)
    assert written.properties == {"status": "won"}
    assert written.unwritable == {}


@pytest.mark.parametrize("status", ["won", "lost"])
def test_a_status_that_they_tell_by_the_stage_is_written_as_the_only_such_stage(status: str):
    record = {"pipeline": "sales", "stage": "late", "status": status}
    written = Writer(PLAIN, OURS).write({"status": status}, record)
    assert written.properties["stage_id"] == status
    assert written.unwritable == {}


def test_of_two_stages_that_end_alike_none_is_guessed():
    twice = Lookups(stages={**OURS.stages, ("sales", "won too"): StageFact("p", "s-2", True, True, 100)})
    record = {"pipeline": "sales", "stage": "late", "status": "won"}
    assert Writer(PLAIN, twice).write({"status": "won"}, record).properties == {
        "pipeline_id": "sales",
        "stage_id": "late",
    }


def test_what_is_written_is_read_back_as_the_same_place():
    for stage in ("new", "late"):
        record = {"pipeline": "sales", "stage": stage, "status": "open"}
        written = Writer(RENAMED, PLACES).write({"stage": stage, "pipeline": "sales"}, record)
        again = read(str(written.properties["pipeline_id"]), str(written.properties["stage_id"]))
        assert (again["pipeline"], again["stage"]) == ("sales", stage)


def test_only_records_with_the_values_named_are_wanted():
    only = replace(PLAIN, only={"pipeline_id": ("sales", "more"), "owner": ("7",)})
    assert only.is_wanted({"pipeline_id": "more", "owner": 7})
    assert not only.is_wanted({"pipeline_id": "other", "owner": "7"})
    assert not only.is_wanted({"pipeline_id": "sales", "owner": None})
    assert only.is_wanted({"pipeline_id": "sales"})  # what was not read keeps none out


def test_stages_and_only_are_written_and_read_in_documents():
    document = {
        "version": 1,
        "objects": {
            "deals": {
                "record": "deal",
                "stages": {"1/10": "sales/new"},
                "only": {"pipeline_id": ["sales"], "owner": ["7"]},
            }
        },
    }
    default = {"deals": PLAIN}
    mapping = load_mapping(document, default)
    assert mapping.objects["deals"].stages == {"1/10": "sales/new"}
    assert mapping.objects["deals"].only == {"pipeline_id": ("sales",), "owner": ("7",)}
    assert dump_mapping(mapping, default) == document


@pytest.mark.parametrize(
    "entry",
    [
        {"stages": {"10": "sales/new"}},
        {"stages": {"1/10": None}},
        {"stages": {"1/10": "sales/"}},
        {"stages": ["1/10"]},
        {"only": {"pipeline_id": []}},
        {"only": {"pipeline_id": [True]}},
        {"only": ["pipeline_id"]},
    ],
)
def test_what_is_no_stage_and_no_value_is_refused_by_name(entry: dict[str, Any]):
    with pytest.raises(Invalid, match=r"objects\.deals\.(stages|only)"):
        load_mapping({"version": 1, "objects": {"deals": entry}}, {"deals": PLAIN})
