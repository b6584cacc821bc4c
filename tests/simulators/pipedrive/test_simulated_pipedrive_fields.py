"""Field definitions: custom fields made, renamed and deleted, options; pipelines and stages."""

import re
from typing import Any

import pytest
from pipe import V2, Pipe

from syncline.simulators.pipedrive.fields import CUSTOM_TYPES

pytestmark = pytest.mark.anyio

FIELDS = {"person": "personFields", "organization": "organizationFields", "deal": "dealFields"}


async def test_every_type_of_custom_field_is_there_to_be_met(pipe: Pipe):
    found = [each for name in FIELDS.values() for each in await pipe.walk(f"{V2}/{name}", limit=4)]
    custom = [each for each in found if each["is_custom_field"]]
    assert {each["field_type"] for each in custom} == set(CUSTOM_TYPES)
    assert all(re.fullmatch(r"[0-9a-f]{40}", each["field_code"]) for each in custom)
    assert all(bool(each["options"]) == (each["field_type"] in ("enum", "set")) for each in custom)
    # Two fields may have one name.
    assert [each["field_name"] for each in custom].count("Notes") == 2


async def test_codes_are_the_same_for_the_same_seed_and_differ_between_companies(pipe: Pipe, make_world: Any):
    same, other = make_world(3, contacts=1), make_world(4, contacts=1)
    assert pipe.world.code("deal", "Budget") == same.code("deal", "Budget") != other.code("deal", "Budget")


async def test_namespaces_come_only_when_asked_for(pipe: Pipe):
    plain = (await pipe.get(f"{V2}/dealFields", limit=1))["data"][0]
    assert "ui_visibility" not in plain
    more = (await pipe.get(f"{V2}/dealFields/title", include_fields="ui_visibility,required_fields"))["data"]
    assert {"ui_visibility", "required_fields"} <= more.keys()
    assert "important_fields" not in more
    assert (await pipe.refused("GET", f"{V2}/dealFields", include_fields="weather"))[0] == 400


async def test_a_new_field_appears_in_every_record_as_null(pipe: Pipe):
    body = {"field_name": "External id", "field_type": "varchar"}
    made = (await pipe.send("POST", f"{V2}/personFields", body))["data"]
    person = pipe.living("persons")[0]
    before = (await pipe.get(f"{V2}/persons/{person}"))["data"]
    assert before["custom_fields"][made["field_code"]] is None
    after = await pipe.change("persons", person, custom_fields={made["field_code"]: "x"})
    assert after["custom_fields"][made["field_code"]] == "x"
    assert (await pipe.get(f"{V2}/personFields/{made['field_code']}"))["data"]["field_name"] == "External id"


async def test_a_rename_keeps_the_code_and_the_type_cannot_change(pipe: Pipe):
    code = pipe.world.code("person", "Stage")
    path = f"{V2}/personFields/{code}"
    changed = (await pipe.send("PATCH", path, {"field_name": "Lifecycle"}))["data"]
    assert (changed["field_code"], changed["field_name"]) == (code, "Lifecycle")
    assert (await pipe.refused("PATCH", path, {"field_type": "text"}))[0] == 400
    assert (await pipe.refused("PATCH", f"{V2}/personFields/name", {"field_name": "X"}))[0] == 403


async def test_a_deleted_field_vanishes_from_records(pipe: Pipe):
    code = pipe.world.code("person", "Score")
    await pipe.send("DELETE", f"{V2}/personFields/{code}")
    assert (await pipe.refused("GET", f"{V2}/personFields/{code}"))[0] == 404
    person = (await pipe.get(f"{V2}/persons/{pipe.living('persons')[0]}"))["data"]
    assert code not in person["custom_fields"]


@pytest.mark.parametrize(
    "body",
    [
        {"field_type": "varchar"},
        {"field_name": "A", "field_type": "url"},
        {"field_name": "A" * 256, "field_type": "varchar"},
        {"field_name": "A", "field_type": "enum"},
        {"field_name": "A", "field_type": "varchar", "options": [{"label": "x"}]},
        {"field_name": "A", "field_type": "enum", "options": ["x"]},
        {"field_name": "A", "field_type": "varchar", "field_code": "mine"},
    ],
)
async def test_a_field_that_makes_no_sense_is_refused(pipe: Pipe, body: dict[str, Any]):
    assert (await pipe.refused("POST", f"{V2}/dealFields", body))[0] == 400


async def test_options_are_added_renamed_and_deleted_with_their_values(pipe: Pipe):
    field = pipe.world.fields["person"].by_name("Interests")
    path = f"{V2}/personFields/{field.code}/options"
    [made] = (await pipe.send("POST", path, [{"label": "Boats"}]))["data"]
    first = (field.options or [])[0].option_id
    await pipe.send("PATCH", path, [{"id": made["id"], "label": "Ships"}])
    assert field.label_of(made["id"]) == "Ships"
    person = pipe.living("persons")[0]
    await pipe.change("persons", person, custom_fields={field.code: [first, made["id"]]})
    time = pipe.world.get("persons", person).update_ms
    pipe.clock.advance(60)
    await pipe.send("DELETE", path, [{"id": first}])
    record = pipe.world.get("persons", person)
    assert (record.custom[field.code], record.update_ms) == ([made["id"]], time)
    assert (await pipe.refused("PATCH", path, [{"id": first, "label": "x"}]))[0] == 400
    plain = pipe.world.code("person", "Score")
    assert (await pipe.refused("POST", f"{V2}/personFields/{plain}/options", [{"label": "x"}]))[0] == 400


async def test_only_admins_make_fields_pipelines_and_stages(pipe: Pipe):
    pipe.world.auth.add_token("colleague", user_id=pipe.world.users[1].user_id)
    headers = {"x-api-token": "colleague"}
    for path, body in (
        ("dealFields", {"field_name": "A", "field_type": "varchar"}),
        ("pipelines", {"name": "A"}),
        ("stages", {"name": "A", "pipeline_id": 1}),
    ):
        answer = await pipe.http.post(f"{V2}/{path}", json=body, headers=headers)
        assert answer.status_code == 403


async def test_pipelines_and_stages_are_made_renamed_and_deleted(pipe: Pipe):
    pipeline = (await pipe.send("POST", f"{V2}/pipelines", {"name": "Third"}))["data"]
    stage = {"name": "First", "pipeline_id": pipeline["id"], "days_to_rotten": 3}
    made = (await pipe.send("POST", f"{V2}/stages", stage))["data"]
    assert (made["order_nr"], made["is_deal_rot_enabled"]) == (1, True)
    deal = await pipe.create("deals", title="A", pipeline_id=pipeline["id"])
    assert deal["stage_id"] == made["id"]
    changed = (await pipe.send("PATCH", f"{V2}/stages/{made['id']}", {"name": "Start"}))["data"]
    assert changed["name"] == "Start"
    await pipe.send("PATCH", f"{V2}/pipelines/{pipeline['id']}", {"name": "Renamed"})
    await pipe.send("DELETE", f"{V2}/pipelines/{pipeline['id']}")
    assert len((await pipe.get(f"{V2}/pipelines"))["data"]) == 2
    assert (await pipe.get(f"{V2}/stages/{made['id']}"))["data"]["is_deleted"] is True
    assert (await pipe.refused("POST", f"{V2}/stages", {"name": "A"}))[0] == 400
    assert (await pipe.refused("GET", f"{V2}/stages/999"))[0] == 404
