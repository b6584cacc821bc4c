"""Writing: strict types, names, addresses, custom fields; deleting, archiving, merging; leads and notes."""

from typing import Any

import pytest
from pipe import V1, V2, Pipe

from syncline.simulators.times import iso

pytestmark = pytest.mark.anyio

#: Type of a custom field of deals → a value as it is written and read.
VALUES: dict[str, Any] = {
    "SAM notice id": "a1b2", "Scope of work": "Line\nline", "Reference": "R-1", "Win chance": 12.5,
    "Budget": {"value": 200.5, "currency": "EUR"}, "Site phone": "+1 555",
    "Call at": {"value": "12:30:00", "timezone_id": None, "timezone_name": None},
    "Site hours": {"value": "09:00:00", "until": "17:00:00", "timezone_id": 310, "timezone_name": None},
    "Kick-off": "2026-02-28", "Period of performance": {"value": "2026-01-01", "until": "2026-06-30"},
}  # fmt: skip


async def refusal(pipe: Pipe, kind: str, body: dict[str, Any], record_id: int | None = None) -> str:
    """Return why a write is refused."""
    path, method = (f"{V2}/{kind}", "POST") if record_id is None else (f"{V2}/{kind}/{record_id}", "PATCH")
    status, reason = await pipe.refused(method, path, body)
    assert status == 400
    return reason.removeprefix("Validation failed: ")


async def test_a_person_is_made_with_what_pipedrive_adds(pipe: Pipe):
    made = await pipe.create("persons", name="  Ada   King Lovelace ", emails=[{"value": "ada@x.example "}])
    assert (made["name"], made["first_name"], made["last_name"]) == (
        "Ada King Lovelace",
        "Ada",
        "King Lovelace",
    )
    assert made["emails"] == [{"value": "ada@x.example", "primary": True, "label": "work"}]
    assert (made["owner_id"], made["visible_to"], made["is_deleted"]) == (
        pipe.world.users[0].user_id,
        3,
        False,
    )
    assert made["add_time"] == made["update_time"] == iso(pipe.clock.ms)
    assert (await pipe.get(f"{V2}/persons/{made['id']}"))["data"] == made


async def test_trimming_and_other_tidying_can_be_switched(pipe: Pipe):
    settings = pipe.world.settings
    settings.trims, settings.lowercases_emails, settings.strips_phones = False, True, True
    made = await pipe.create(
        "persons", name=" Ada  King", emails=[{"value": "Ada@X.example"}], phones=[{"value": "+1 (212) 555"}]
    )
    assert made["name"] == " Ada  King"
    assert made["emails"][0]["value"] == "ada@x.example"
    assert made["phones"][0]["value"] == "+1212555"


async def test_a_name_comes_whole_or_in_both_parts(pipe: Pipe):
    made = await pipe.create("persons", first_name="Ada", last_name="King")
    assert made["name"] == "Ada King"
    changed = await pipe.change("persons", made["id"], first_name="Augusta", last_name="")
    assert (changed["name"], changed["last_name"]) == ("Augusta", None)
    assert "cannot be combined" in await refusal(
        pipe, "persons", {"name": "A B", "first_name": "A", "last_name": "B"}
    )
    assert "both are needed" in await refusal(pipe, "persons", {"first_name": "A"}, made["id"])
    assert "not both empty" in await refusal(pipe, "persons", {"first_name": "", "last_name": ""})
    assert "is required" in await refusal(pipe, "persons", {"emails": []})


async def test_addresses_are_replaced_as_a_whole(pipe: Pipe):
    made = await pipe.create("persons", name="A", emails=[{"value": "a@x.example"}, {"value": "b@x.example"}])
    new = [{"value": "c@x.example", "label": "home"}, {"value": "d@x.example", "primary": True}]
    changed = await pipe.change("persons", made["id"], emails=new)
    assert changed["emails"] == [
        {"value": "c@x.example", "primary": False, "label": "home"},
        {"value": "d@x.example", "primary": True, "label": "work"},
    ]
    assert (await pipe.change("persons", made["id"], emails=[]))["emails"] == []


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        ("persons", {"name": 5}, "name: expected string, received number"),
        ("persons", {"name": "A", "owner_id": "12"}, "owner_id: expected number, received string"),
        ("persons", {"name": "A", "org_id": True}, "org_id: expected number, received boolean"),
        ("persons", {"name": "A", "org_id": 99999999}, "org_id: organizations 99999999 does not exist"),
        ("persons", {"name": "A", "emails": "a@x.example"}, "emails: expected array, received string"),
        ("persons", {"name": "A", "emails": [{"label": "x"}]}, "emails.value: expected string"),
        ("persons", {"name": "A", "emails": [{"value": "a", "type": 1}]}, "emails: type is not known"),
        ("persons", {"name": "A", "email": []}, "email: is not known"),
        ("persons", {"name": "A", "id": 5}, "id: cannot be written"),
        ("persons", {"name": "A", "label_ids": [77]}, "label_ids: a label does not exist"),
        ("persons", {"name": "A", "visible_to": 2}, "visible_to: expected one of 1, 3, 5, 7, received 2"),
        ("organizations", {"website": "x"}, "name: is required"),
        ("organizations", {"name": "  "}, "name: must not be empty"),
        ("organizations", {"name": "A", "address": "Street"}, "address: expected object, received string"),
        ("organizations", {"name": "A", "employee_count": 1.5}, "employee_count: expected integer"),
        ("deals", {"value": 5}, "title: is required"),
        ("deals", {"title": "A", "value": "5"}, "value: expected number, received string"),
        ("deals", {"title": "A", "currency": "XXX"}, "currency: currency 'XXX' does not exist"),
        ("deals", {"title": "A", "stage_id": 2, "pipeline_id": 2}, "stage_id: does not belong"),
        ("deals", {"title": "A", "status": "deleted"}, "status: expected one of open, won, lost"),
        ("deals", {"title": "A", "is_deleted": True}, "is_deleted: cannot be written"),
        ("deals", {"title": "A", "lost_reason": "Price"}, "lost_reason: the deal is not lost"),
        ("deals", {"title": "A", "expected_close_date": "2026-02-30"}, "expected_close_date: '2026"),
        ("activities", {"subject": "A", "type": "dance"}, "type: expected one of call"),
        ("activities", {"subject": "A", "done": "yes"}, "done: expected boolean, received string"),
        ("activities", {"subject": "A", "due_time": "25:00"}, "due_time: '25:00' is no time"),
        ("activities", {"subject": "A", "person_id": 1}, "person_id: cannot be written"),
    ],
)  # fmt: skip
async def test_types_are_strict_and_links_must_lead_somewhere(pipe: Pipe, kind: str, body: Any, reason: str):
    assert (await refusal(pipe, kind, body)).startswith(reason)


async def test_a_deleted_record_is_no_target_and_cannot_be_changed(pipe: Pipe):
    organization = pipe.living("organizations")[0]
    await pipe.send("DELETE", f"{V2}/organizations/{organization}")
    assert "does not exist" in await refusal(pipe, "persons", {"name": "A", "org_id": organization})
    for method in ("PATCH", "DELETE"):
        status, _ = await pipe.refused(method, f"{V2}/organizations/{organization}", {"name": "B"})
        assert status == 410
    assert (await pipe.refused("PATCH", f"{V2}/organizations/99999999", {"name": "B"}))[0] == 404


async def test_deleting_moves_the_time_of_change(pipe: Pipe):
    deal = pipe.living("deals")[0]
    pipe.clock.advance(100)
    assert await pipe.send("DELETE", f"{V2}/deals/{deal}") == {"success": True, "data": {"id": deal}}
    found = (await pipe.get(f"{V2}/deals/{deal}"))["data"]
    assert (found["is_deleted"], found["update_time"]) == (True, iso(pipe.clock.ms))


async def test_a_change_that_changes_nothing_moves_no_time(pipe: Pipe):
    made = await pipe.create("organizations", name="A")
    pipe.clock.advance(60)
    assert await pipe.change("organizations", made["id"], name="A") == made


async def test_an_address_leaves_out_what_is_not_said(pipe: Pipe):
    made = await pipe.create("organizations", name="A", address={"value": "1 Main St", "country": "USA"})
    assert made["address"]["country"] == "USA"
    changed = await pipe.change("organizations", made["id"], address={"value": "2 Main St"})
    assert (changed["address"]["value"], changed["address"]["country"]) == ("2 Main St", None)
    assert (await pipe.change("organizations", made["id"], address=None))["address"] is None


async def test_stage_and_pipeline_go_together(pipe: Pipe):
    made = await pipe.create("deals", title="A")
    assert (made["pipeline_id"], made["stage_id"], made["currency"], made["status"]) == (1, 1, "USD", "open")
    assert (await pipe.change("deals", made["id"], pipeline_id=2))["stage_id"] == 6
    pipe.clock.advance(5)
    moved = await pipe.change("deals", made["id"], stage_id=3)
    assert (moved["pipeline_id"], moved["stage_change_time"]) == (1, iso(pipe.clock.ms))


async def test_closing_a_deal_sets_its_times_and_opening_it_clears_them(pipe: Pipe):
    made = await pipe.create("deals", title="A")
    now = iso(pipe.clock.ms)
    lost = await pipe.change("deals", made["id"], status="lost", lost_reason="Price")
    assert (lost["lost_time"], lost["close_time"], lost["local_lost_date"]) == (now, now, now[:10])
    won = await pipe.change("deals", made["id"], status="won", won_time="2026-01-02T03:04:05Z")
    assert (won["won_time"], won["lost_time"], won["lost_reason"]) == ("2026-01-02T03:04:05Z", None, None)
    opened = await pipe.change("deals", made["id"], status="open")
    assert [opened[key] for key in ("won_time", "close_time", "local_won_date")] == [None] * 3


async def test_a_deal_is_archived_by_a_change(pipe: Pipe):
    made = await pipe.create("deals", title="A")
    changed = await pipe.change("deals", made["id"], is_archived=True, archive_time="2026-01-02 03:04:05")
    assert changed["archive_time"] == "2026-01-02T03:04:05Z"
    assert (await pipe.change("deals", made["id"], is_archived=False))["archive_time"] is None


async def test_an_activity_s_person_follows_its_participants(pipe: Pipe):
    first, second = pipe.living("persons")[:2]
    people = [{"person_id": first}, {"person_id": second, "primary": True}]
    made = await pipe.create("activities", subject="A", type="call", participants=people, due_time="09:30")
    assert (made["person_id"], made["due_time"], made["done"]) == (second, "09:30:00", False)
    assert [each["primary"] for each in made["participants"]] == [False, True]
    done = await pipe.change("activities", made["id"], done=True)
    assert done["marked_as_done_time"] == iso(pipe.clock.ms)
    assert "attendees" not in done
    await pipe.change("activities", made["id"], attendees=[{"email": "a@x.example"}])
    found = await pipe.get(f"{V2}/activities/{made['id']}", include_fields="attendees")
    assert found["data"]["attendees"] == [{"email": "a@x.example"}]


@pytest.mark.parametrize("name", VALUES)
async def test_a_custom_field_reads_back_as_written_and_is_cleared_by_null(pipe: Pipe, name: str):
    code = pipe.world.code("deal", name)
    made = await pipe.create("deals", title="A", custom_fields={code: VALUES[name]})
    assert made["custom_fields"][code] == VALUES[name]
    assert (await pipe.change("deals", made["id"], custom_fields={code: None}))["custom_fields"][code] is None


async def test_custom_fields_that_point_to_something_take_its_number(pipe: Pipe):
    world = pipe.world
    deal, organization, person = (pipe.living(k)[0] for k in ("deals", "organizations", "persons"))
    tags = [option.option_id for option in world.fields["deal"].by_name("Tags").options or ()]
    values = {
        "Source": world.fields["deal"].by_name("Source").option_of("Event"), "Tags": [tags[1], tags[0]],
        "Engineer": world.users[1].user_id, "Partner organization": organization, "Decision maker": person,
    }  # fmt: skip
    written = {world.code("deal", name): value for name, value in values.items()}
    found = (await pipe.change("deals", deal, custom_fields=written))["custom_fields"]
    assert {code: found[code] for code in written} == written | {world.code("deal", "Tags"): tags[:2]}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SAM notice id", 5), ("SAM notice id", "x" * 256), ("Win chance", "5"), ("Budget", 5),
        ("Budget", {"value": "5", "currency": "USD"}), ("Budget", {"value": 5}), ("Source", "Website"),
        ("Source", 999), ("Tags", []), ("Tags", [999]), ("Tags", 5), ("Engineer", 1),
        ("Partner organization", "1"), ("Decision maker", 99999999), ("Kick-off", "28.02.2026"),
        ("Period of performance", {"value": "2026-01-01"}), ("Call at", "12:30:00"),
        ("Site hours", {"value": "09:00:00", "until": "25:00:00"}), ("Site address", {"town": "X"}),
    ],
)  # fmt: skip
async def test_a_custom_field_refuses_what_its_type_is_not_and_is_named(pipe: Pipe, name: str, value: Any):
    code = pipe.world.code("deal", name)
    answer = await pipe.http.post(f"{V2}/deals", json={"title": "A", "custom_fields": {code: value}})
    assert (answer.status_code, answer.json()["field_code"]) == (400, code)


async def test_a_custom_field_there_is_not_is_refused(pipe: Pipe):
    assert "is not known" in await refusal(pipe, "deals", {"title": "A", "custom_fields": {"f" * 40: 1}})
    assert "is not known" in await refusal(pipe, "deals", {"title": "A", "custom_fields": {"value": 1}})
    assert "is not known" in await refusal(pipe, "activities", {"subject": "A", "custom_fields": {}})


async def test_fields_of_contact_sync_are_forbidden_without_it(pipe: Pipe):
    person = pipe.living("persons")[0]
    assert (await pipe.refused("PATCH", f"{V2}/persons/{person}", {"job_title": "Boss"}))[0] == 403
    pipe.world.settings.contact_sync = True
    assert (await pipe.change("persons", person, job_title="Boss"))["job_title"] == "Boss"
    assert (await pipe.get(f"{V2}/persons/{person}"))["data"]["birthday"] is None


async def test_a_body_that_is_no_json_or_no_object_is_refused(pipe: Pipe):
    for body in (b"{", b"[]", b"5"):
        answer = await pipe.http.post(f"{V2}/persons", content=body)
        assert (answer.status_code, answer.json()["success"]) == (400, False)


async def test_a_create_may_answer_201(pipe: Pipe):
    pipe.world.settings.created_status = 201
    await pipe.send("POST", f"{V2}/organizations", {"name": "A"}, expect=201)


async def test_the_record_of_the_path_is_merged_into_the_one_named(pipe: Pipe):
    score = pipe.world.code("person", "Score")
    loser = await pipe.create(
        "persons",
        name="Ada King",
        emails=[{"value": "ada@x.example"}],
        phones=[{"value": "1"}],
        custom_fields={score: 5},
    )
    survivor = await pipe.create("persons", name="A. King", emails=[{"value": "king@x.example"}])
    deal = await pipe.create("deals", title="D", person_id=loser["id"])
    merged = await pipe.send("PUT", f"{V1}/persons/{loser['id']}/merge", {"merge_with_id": survivor["id"]})
    assert (merged["data"]["id"], merged["data"]["merge_what_id"]) == (survivor["id"], loser["id"])
    found = (await pipe.get(f"{V2}/persons/{survivor['id']}"))["data"]
    assert found["name"] == "A. King"
    assert [each["value"] for each in found["emails"]] == ["king@x.example", "ada@x.example"]
    assert [each["primary"] for each in found["emails"]] == [True, False]
    assert found["custom_fields"][score] == 5
    assert (await pipe.refused("GET", f"{V2}/persons/{loser['id']}"))[0] == 404
    assert (await pipe.get(f"{V2}/deals/{deal['id']}"))["data"]["person_id"] == survivor["id"]


async def test_merges_that_make_no_sense_are_refused(pipe: Pipe):
    first, second = pipe.living("organizations")[:2]
    path = f"{V1}/organizations/{first}/merge"
    assert (await pipe.refused("PUT", path, {"merge_with_id": first}))[0] == 400
    assert (await pipe.refused("PUT", path, {"merge_with_id": str(second)}))[0] == 400
    assert (await pipe.refused("PUT", path, {"merge_with_id": 99999999}))[0] == 404


async def test_a_note_is_about_something_and_deleting_it_hides_it(pipe: Pipe):
    person = pipe.living("persons")[0]
    assert (await pipe.refused("POST", f"{V1}/notes", {"content": "<p>x</p>"}))[0] == 400
    made = (await pipe.send("POST", f"{V1}/notes", {"content": "<p>x</p>", "person_id": person}))["data"]
    assert made["person"]["name"] == pipe.world.get("persons", person).get("name")
    await pipe.send("PUT", f"{V1}/notes/{made['id']}", {"content": "y", "pinned_to_person_flag": 1})
    found = (await pipe.get(f"{V1}/notes/{made['id']}"))["data"]
    assert (found["content"], found["pinned_to_person_flag"]) == ("y", True)
    assert (await pipe.send("DELETE", f"{V1}/notes/{made['id']}"))["data"] is True
    assert made["id"] not in [each["id"] for each in (await pipe.get(f"{V1}/notes", limit=500))["data"]]


async def test_a_lead_is_made_changed_archived_and_deleted(pipe: Pipe):
    person = pipe.living("persons")[0]
    assert (await pipe.refused("POST", f"{V1}/leads", {"title": "L"}))[0] == 400
    source = pipe.world.fields["deal"].by_name("Source")
    body = {"title": "L", "person_id": person, "value": {"amount": 5, "currency": "USD"},
            source.code: source.option_of("Event")}  # fmt: skip
    made = (await pipe.send("POST", f"{V1}/leads", body, expect=201))["data"]
    assert made[source.code] == str(source.option_of("Event"))
    await pipe.send("PATCH", f"{V1}/leads/{made['id']}", {"is_archived": True})
    archived = (await pipe.get(f"{V1}/leads/archived"))["data"]
    assert made["id"] in [each["id"] for each in archived]
    assert (await pipe.send("DELETE", f"{V1}/leads/{made['id']}"))["data"] == {"id": made["id"]}
    assert (await pipe.refused("GET", f"{V1}/leads/{made['id']}"))[0] == 404


async def test_a_lead_is_converted_into_a_deal(pipe: Pipe):
    lead = (await pipe.get(f"{V1}/leads"))["data"][0]
    path = f"{V2}/leads/{lead['id']}/convert"
    conversion = (await pipe.send("POST", f"{path}/deal", {"stage_id": 7}))["data"]["conversion_id"]
    told = (await pipe.get(f"{path}/status/{conversion}"))["data"]
    deal = (await pipe.get(f"{V2}/deals/{told['deal_id']}"))["data"]
    assert (told["status"], deal["title"], deal["stage_id"]) == ("completed", lead["title"], 7)
    assert deal["source_lead_id"] == lead["id"]
    assert (await pipe.refused("GET", f"{V1}/leads/{lead['id']}"))[0] == 404
