"""Reading by API v2: pages, windows of time, filters, what was deleted or archived; and what v1 still has."""

import base64
import json

import pytest
from pipe import V1, V2, Pipe

from syncline.simulators.times import iso

pytestmark = pytest.mark.anyio

KINDS = ["persons", "organizations", "deals", "activities"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_walk_returns_every_living_record_once_in_the_order_of_ids(pipe: Pipe, kind: str):
    found = await pipe.walk(f"{V2}/{kind}", limit=7)
    assert [record["id"] for record in found] == pipe.living(kind)
    assert found == list(pipe.world.truth(kind).values())


async def test_the_cursor_is_a_keyset_that_outlives_changes(pipe: Pipe):
    first = await pipe.get(f"{V2}/persons", limit=5)
    cursor = first["additional_data"]["next_cursor"]
    told = json.loads(base64.urlsafe_b64decode(cursor + "=="))
    last = first["data"][-1]["id"]
    assert told == {"field": "id", "fieldValue": last, "sortDirection": "asc", "id": last}
    for person in first["data"]:
        pipe.world.delete("persons", person["id"])
    second = await pipe.get(f"{V2}/persons", limit=5, cursor=cursor)
    assert [each["id"] for each in second["data"]] == pipe.living("persons")[:5]


@pytest.mark.parametrize("cursor", ["nonsense", "e30", "eyJpZCI6IngifQ"])
async def test_a_cursor_that_no_page_named_is_refused(pipe: Pipe, cursor: str):
    assert (await pipe.refused("GET", f"{V2}/persons", cursor=cursor))[0] == 400


async def test_a_cursor_belongs_to_its_sorting(pipe: Pipe):
    page = await pipe.get(f"{V2}/persons", limit=5, sort_by="update_time")
    cursor = page["additional_data"]["next_cursor"]
    assert (await pipe.refused("GET", f"{V2}/persons", cursor=cursor))[0] == 400


async def test_a_list_shows_a_hundred_unless_asked_and_at_most_five_hundred(pipe: Pipe):
    assert len((await pipe.get(f"{V2}/persons"))["data"]) == 100
    assert len((await pipe.get(f"{V2}/persons", limit=500))["data"]) == 130
    assert (await pipe.refused("GET", f"{V2}/persons", limit=501))[0] == 400
    assert (await pipe.refused("GET", f"{V2}/persons", limit="many"))[0] == 400


async def test_the_end_of_a_list_may_name_no_cursor_at_all(pipe: Pipe):
    assert (await pipe.get(f"{V2}/persons", limit=500))["additional_data"] == {"next_cursor": None}
    pipe.world.settings.omits_last_cursor = True
    assert (await pipe.get(f"{V2}/persons", limit=500))["additional_data"] == {}


@pytest.mark.parametrize("field", ["update_time", "add_time"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
async def test_a_sorted_walk_is_whole_and_in_order(pipe: Pipe, field: str, direction: str):
    pipe.world.touch("deals", pipe.living("deals")[:15])
    found = await pipe.walk(f"{V2}/deals", limit=6, sort_by=field, sort_direction=direction)
    keys = [(each[field] or "", each["id"]) for each in found]
    assert keys == sorted(keys, reverse=direction == "desc")
    assert sorted(each["id"] for each in found) == pipe.living("deals")


async def test_the_window_of_change_includes_its_beginning_and_not_its_end(pipe: Pipe):
    first, second, third = pipe.living("persons")[:3]
    times = []
    for person in (first, second, third):
        pipe.clock.advance(10)
        times.append(iso(pipe.world.touch("persons", [person])))
    found = await pipe.walk(f"{V2}/persons", updated_since=times[0], updated_until=times[2])
    assert [each["id"] for each in found] == [first, second]
    assert [e["id"] for e in await pipe.walk(f"{V2}/persons", updated_since=times[2])] == [third]


async def test_times_of_change_have_whole_seconds(pipe: Pipe):
    pipe.clock.advance(0.789)
    person = pipe.living("persons")[0]
    pipe.world.update("persons", person, {"visible_to": 7})
    time = (await pipe.get(f"{V2}/persons/{person}"))["data"]["update_time"]
    assert len(time) == len("2026-01-01T00:00:00Z")
    assert [e["id"] for e in await pipe.walk(f"{V2}/persons", updated_since=time)] == [person]


async def test_what_has_no_time_of_change_is_in_no_window(pipe: Pipe):
    person = pipe.living("persons")[0]
    pipe.world.forget_update_time("persons", person)
    assert (await pipe.get(f"{V2}/persons/{person}"))["data"]["update_time"] is None
    changed = await pipe.walk(f"{V2}/persons", updated_since="1971-01-01T00:00:00Z", limit=500)
    assert person not in [each["id"] for each in changed]
    assert person in [each["id"] for each in await pipe.walk(f"{V2}/persons", limit=500)]


@pytest.mark.parametrize("time", ["2026-01-01", "yesterday", "2026-01-01 00:00:00"])
async def test_a_window_must_be_told_as_rfc_3339(pipe: Pipe, time: str):
    assert (await pipe.refused("GET", f"{V2}/persons", updated_since=time))[0] == 400


async def test_a_deleted_person_vanishes_from_lists_and_is_flagged_by_its_id(pipe: Pipe):
    person = pipe.living("persons")[4]
    pipe.clock.advance(60)
    pipe.world.delete("persons", person)
    since = iso(pipe.clock.ms)
    assert person not in [each["id"] for each in await pipe.walk(f"{V2}/persons", limit=500)]
    assert await pipe.walk(f"{V2}/persons", updated_since=since) == []
    found = (await pipe.get(f"{V2}/persons/{person}"))["data"]
    assert (found["is_deleted"], found["update_time"]) == (True, since)


@pytest.mark.parametrize("status", ["404", "410"])
async def test_a_deleted_record_may_also_be_answered_by_a_status(pipe: Pipe, status: str):
    pipe.world.settings.get_deleted = status
    person = pipe.living("persons")[0]
    pipe.world.delete("persons", person)
    assert (await pipe.refused("GET", f"{V2}/persons/{person}"))[0] == int(status)


async def test_deleted_deals_are_listed_by_their_status_for_thirty_days(pipe: Pipe):
    deal = pipe.living("deals")[0]
    pipe.world.delete("deals", deal)
    assert deal not in [each["id"] for each in await pipe.walk(f"{V2}/deals")]
    deleted = await pipe.walk(f"{V2}/deals", status="deleted")
    assert deal in [each["id"] for each in deleted]
    assert all(each["is_deleted"] for each in deleted)
    both = await pipe.walk(f"{V2}/deals", status="open,deleted", limit=11)
    assert [each["id"] for each in both] == sorted(each["id"] for each in both)
    pipe.clock.advance(31 * 86_400)
    assert await pipe.walk(f"{V2}/deals", status="deleted") == []
    assert (await pipe.refused("GET", f"{V2}/deals/{deal}"))[0] == 404


async def test_archived_deals_stand_in_a_list_of_their_own(pipe: Pipe):
    deal = pipe.living("deals")[0]
    pipe.world.archive("deals", deal)
    assert deal not in [each["id"] for each in await pipe.walk(f"{V2}/deals")]
    archived = await pipe.walk(f"{V2}/deals/archived")
    assert deal in [each["id"] for each in archived]
    assert all(each["is_archived"] and each["archive_time"] for each in archived)
    assert (await pipe.get(f"{V2}/deals/{deal}"))["data"]["is_archived"] is True


async def test_lists_can_be_narrowed(pipe: Pipe):
    person = next(each for each in pipe.world.truth("persons").values() if each["org_id"])
    found = await pipe.walk(f"{V2}/persons", org_id=person["org_id"])
    assert {each["org_id"] for each in found} == {person["org_id"]}
    deals = await pipe.walk(f"{V2}/deals", pipeline_id=2, status="won,lost", limit=3)
    expected = [
        each["id"] for each in pipe.world.truth("deals").values()
        if each["pipeline_id"] == 2 and each["status"] != "open"
    ]  # fmt: skip
    assert [each["id"] for each in deals] == expected
    done = await pipe.walk(f"{V2}/activities", done="false")
    assert {each["done"] for each in done} == {False}
    assert (await pipe.refused("GET", f"{V2}/deals", status="ajar"))[0] == 400


async def test_up_to_a_hundred_records_are_read_by_their_ids(pipe: Pipe):
    ids = [*pipe.living("persons")[3:6], 99_999_999]
    found = await pipe.walk(f"{V2}/persons", ids=",".join(map(str, ids)))
    assert [each["id"] for each in found] == ids[:3]
    many = ",".join(str(number) for number in range(101))
    assert (await pipe.refused("GET", f"{V2}/persons", ids=many))[0] == 400


async def test_custom_fields_without_a_value_are_null_and_can_be_chosen(pipe: Pipe):
    codes = list(pipe.world.fields["person"].custom)
    person = (await pipe.get(f"{V2}/persons/{pipe.living('persons')[0]}"))["data"]
    assert list(person["custom_fields"]) == codes
    chosen = (await pipe.get(f"{V2}/persons", custom_fields=",".join(codes[:2]), limit=3))["data"]
    assert all(list(each["custom_fields"]) == codes[:2] for each in chosen)
    many = ",".join(["a" * 40] * 16)
    assert (await pipe.refused("GET", f"{V2}/persons", custom_fields=many))[0] == 400
    pipe.world.settings.omits_empty_custom_fields = True
    again = await pipe.walk(f"{V2}/persons", limit=500)
    assert all(None not in each["custom_fields"].values() for each in again)


async def test_options_can_come_with_their_labels(pipe: Pipe):
    stage = pipe.world.fields["person"].by_name("Stage")
    person = next(e for e in pipe.world.truth("persons").values() if e["custom_fields"][stage.code])
    asked = {"include_option_labels": "true", "include_labels": "true"}
    found = (await pipe.get(f"{V2}/persons/{person['id']}", **asked))["data"]
    number = person["custom_fields"][stage.code]
    assert found["custom_fields"][stage.code] == {"id": number, "label": stage.label_of(number)}
    assert [each["id"] for each in found["labels"]] == person["label_ids"]


async def test_counters_are_included_when_asked_for(pipe: Pipe):
    organization = next(each["org_id"] for each in pipe.world.truth("persons").values() if each["org_id"])
    found = (await pipe.get(f"{V2}/organizations/{organization}", include_fields="people_count"))["data"]
    members = [each for each in pipe.world.truth("persons").values() if each["org_id"] == organization]
    assert found["people_count"] == len(members)
    assert (await pipe.refused("GET", f"{V2}/deals", include_fields="weather"))[0] == 400


async def test_pipelines_and_their_stages_are_listed(pipe: Pipe):
    pipelines = (await pipe.get(f"{V2}/pipelines"))["data"]
    assert [each["name"] for each in pipelines] == ["Sales Pipeline", "Government Contracts"]
    stages = await pipe.walk(f"{V2}/stages", pipeline_id=2, limit=2)
    assert [each["order_nr"] for each in stages] == [1, 2, 3, 4, 5]
    assert {each["pipeline_id"] for each in stages} == {2}
    assert (await pipe.get(f"{V2}/stages/{stages[0]['id']}"))["data"] == stages[0]


async def test_what_was_changed_is_written_anew(pipe: Pipe):
    person = pipe.living("persons")[0]
    await pipe.get(f"{V2}/persons", limit=500)
    pipe.world.update("persons", person, {"name": "Somebody Else"})
    page = (await pipe.get(f"{V2}/persons", limit=1))["data"]
    assert (page[0]["first_name"], page[0]["last_name"]) == ("Somebody", "Else")


async def test_an_unknown_path_and_an_unknown_id_are_refused(pipe: Pipe):
    assert (await pipe.refused("GET", f"{V2}/weather"))[0] == 404
    assert (await pipe.refused("GET", f"{V2}/persons/99999999"))[0] == 404
    assert (await pipe.refused("GET", f"{V2}/persons/me"))[0] == 400
    # What v2 has taken over is gone from v1.
    assert (await pipe.refused("GET", f"{V1}/persons"))[0] == 404


@pytest.mark.parametrize("prefix", ["/v1", "/api/v1"])
async def test_users_are_listed_with_those_switched_off(pipe: Pipe, prefix: str):
    users = (await pipe.get(f"{prefix}/users"))["data"]
    assert [each["active_flag"] for each in users] == [True] * 4 + [False]
    me = (await pipe.get(f"{prefix}/users/me"))["data"]
    assert (me["id"], me["is_you"], me["company_domain"]) == (users[0]["id"], True, "syncline-example")


async def test_notes_page_by_start_and_limit(pipe: Pipe):
    first = await pipe.get(f"{V1}/notes", limit=5)
    paging = first["additional_data"]["pagination"]
    assert paging == {"start": 0, "limit": 5, "more_items_in_collection": True, "next_start": 5}
    rest = await pipe.get(f"{V1}/notes", start=5)
    assert len(first["data"]) + len(rest["data"]) == 12
    assert rest["additional_data"]["pagination"]["more_items_in_collection"] is False
    assert len(first["data"][0]["add_time"]) == len("2026-01-01 00:00:00")


async def test_leads_have_uuids_flat_custom_fields_and_a_list_for_archived_ones(pipe: Pipe):
    page = await pipe.get(f"{V1}/leads", limit=3)
    assert page["additional_data"] == {"start": 0, "limit": 3, "more_items_in_collection": True}
    assert len((await pipe.get(f"{V1}/leads"))["data"]) == 8
    assert len((await pipe.get(f"{V1}/leads/archived"))["data"]) == 2
    source = pipe.world.code("deal", "Source")
    leads = (await pipe.get(f"{V1}/leads"))["data"]
    with_source = [each for each in leads if source in each]
    assert 0 < len(with_source) < 8
    assert with_source[0][source].isdigit()
    assert (await pipe.get(f"{V1}/leads/{leads[0]['id']}"))["data"] == leads[0]
    status, reason = await pipe.refused("GET", f"{V1}/leads/adf21080-0e10-11eb-879b-05d71fb426ec")
    assert (status, reason) == (404, "requested lead not found")


async def test_a_deal_s_past_is_in_its_change_log(pipe: Pipe):
    deal = pipe.living("deals")[0]
    pipe.world.update("deals", deal, {"value": 7})
    pipe.clock.advance(5)
    pipe.world.update("deals", deal, {"value": 8})
    log = await pipe.walk(f"{V1}/deals/{deal}/changelog", limit=1)
    told = [(each["old_value"], each["new_value"]) for each in log if each["field_key"] == "value"]
    assert told[0] == ("7", "8")
    assert told[1][1] == "7"
    flow = (await pipe.get(f"{V1}/deals/{deal}/flow"))["data"]
    assert flow[0]["data"]["field_key"] == "value"


async def test_recent_changes_leave_out_what_has_no_time_and_the_data_of_what_is_gone(pipe: Pipe):
    first, second, third = pipe.living("persons")[:3]
    pipe.world.touch("persons", [first, second])
    pipe.world.delete("persons", second)
    pipe.world.forget_update_time("persons", third)
    found = (await pipe.get(f"{V1}/recents", since_timestamp="2026-09-21 00:00:00", items="person"))["data"]
    told = {each["id"]: each["data"] for each in found}
    assert told[second] is None
    assert told[first]["id"] == first
    assert third not in told


async def test_what_else_belongs_to_a_company(pipe: Pipe):
    assert [e["key_string"] for e in (await pipe.get(f"{V1}/activityTypes"))["data"]][:2] == [
        "call",
        "meeting",
    ]
    assert {e["code"] for e in (await pipe.get(f"{V1}/currencies"))["data"]} >= {"USD", "EUR"}
    assert [e["name"] for e in (await pipe.get(f"{V1}/leadLabels"))["data"]] == ["Hot", "Warm", "Cold"]
    fields = await pipe.get(f"{V1}/leadFields", limit=10)
    assert len(fields["data"]) == 10
    assert fields["additional_data"]["more_items_in_collection"] is True
