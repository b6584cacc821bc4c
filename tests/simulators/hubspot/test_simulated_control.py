"""The door beside the API: ground truth, settings and edits over HTTP, and the command that serves it all."""

import json
import subprocess
import sys
from collections.abc import Generator
from typing import Any

import httpx2
import pytest
from hub import Hub

from syncline.simulators.registry import SIMULATORS

pytestmark = pytest.mark.anyio


async def lines(hub: Hub, path: str, **query: str) -> list[dict[str, Any]]:
    answer = await hub.http.get(f"/_simulator/{path}", params=query, headers={"authorization": ""})
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


async def control(hub: Hub, action: str, **body: Any) -> dict[str, Any]:
    answer = await hub.http.post(f"/_simulator/{action}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_dump_holds_every_value_of_every_record_in_every_state(hub: Hub):
    first, second, third, fourth, *_ = hub.world.store("contacts").living
    survivor = hub.world.merge("contacts", first, second)
    hub.world.archive("contacts", third)
    hub.world.erase(fourth)
    found = await lines(hub, "dump/contacts")
    states = {int(line["id"]): line["state"] for line in found}
    assert states[survivor.id] == "living"
    assert states[third] == "archived"
    assert states[fourth] == "erased"
    assert states[first] == states[second] == "merged"
    assert len(await lines(hub, "dump/contacts", state="living")) == len(hub.world.store("contacts").living)
    line = next(line for line in found if line["id"] == str(survivor.id))
    assert line["mergedIds"] == [str(first), str(second)]
    names = [d["name"] for d in (await hub.get("/crm/v3/properties/contacts"))["results"]]
    record = await hub.get(f"/crm/v3/objects/contacts/{survivor.id}", properties=",".join(names))
    assert {k: v for k, v in record["properties"].items() if v is not None} == line["properties"]


async def test_the_dump_of_associations_equals_what_the_api_tells(hub: Hub):
    found = await lines(hub, "associations/deals/contacts")
    ids = [{"id": str(i)} for i in hub.world.store("deals").living]
    answer = await hub.post("/crm/v4/associations/deals/contacts/batch/read", {"inputs": ids})
    told = {
        (result["from"]["id"], str(to["toObjectId"]), kind["typeId"])
        for result in answer["results"]
        for to in result["to"]
        for kind in to["associationTypes"]
    }
    assert {(line["from"], line["to"], line["typeId"]) for line in found} == told


async def test_requests_are_counted_by_route_and_status(hub: Hub):
    await hub.get("/crm/v3/objects/contacts")
    await hub.get("/crm/objects/2026-03/deals/")
    await hub.refused("GET", "/crm/v3/objects/butterflies")
    stats = await hub.get("/_simulator/stats")
    assert stats["routes"] == {"GET /crm/objects/*": {"200": 2, "400": 1}}
    assert stats["counts"]["contacts"] == 230
    await control(hub, "stats/reset")
    assert (await hub.get("/_simulator/stats"))["requests"] == 0


async def test_settings_can_be_changed_while_it_runs(hub: Hub):
    changed = await control(hub, "settings", index_lag=4, rate=190, faults="0.1:429")
    assert (changed["index_lag"], changed["rate"], changed["faults"]) == (4, 190, "0.1:429")
    for body in ({"no_such": 1}, {"faults": "5"}):
        answer = await hub.http.post("/_simulator/settings", json=body)
        assert answer.status_code == 400
        assert "error" in answer.json()


async def test_every_edit_can_be_made_from_outside(hub: Hub):
    made = (await control(hub, "create", object="contacts", properties={"firstname": "Ann"}))["id"]
    other = (await control(hub, "create", object="contacts", properties={"firstname": "Bea"}))["id"]
    company = str(hub.world.store("companies").living[0])
    await control(hub, "update", object="contacts", id=made, properties={"firstname": "Anna"})
    await control(hub, "recalculate", object="contacts", id=made, properties={"hubspotscore": "9"})
    pair = {"from": "contacts", "from_id": made, "to": "companies", "to_id": company}
    await control(hub, "associate", **pair)
    assert hub.world.associated("0-1", int(made), "0-2")
    await control(hub, "dissociate", **pair)
    assert not hub.world.associated("0-1", int(made), "0-2")
    await control(hub, "archive", object="contacts", id=other)
    await control(hub, "restore", object="contacts", id=other)
    survivor = (await control(hub, "merge", object="contacts", primary=made, secondary=other))["id"]
    assert hub.world.get("contacts", int(other)).id == int(survivor)
    await control(hub, "erase", id=survivor)
    assert int(survivor) not in hub.world.store("contacts").records
    assert len((await control(hub, "colleagues", count=5))["edits"]) == 5
    assert set(await control(hub, "plant", all=True)) >= {"nul", "lone_surrogate"}


async def test_many_records_can_be_touched_with_one_time(hub: Hub):
    hub.clock.advance(5)
    touched = await control(hub, "touch", object="contacts", count=200, properties={"city": "Moved"})
    times = {hub.world.get("contacts", int(i)).updated_ms for i in touched["ids"]}
    assert (len(touched["ids"]), times) == (200, {hub.clock.ms})


async def test_tokens_can_be_made_expired_and_revoked_from_outside(hub: Hub):
    await control(hub, "tokens", token="t1", scopes=["crm.objects.contacts.read"])
    headers = {"authorization": "Bearer t1"}
    assert (await hub.http.get("/crm/v3/objects/contacts", headers=headers)).status_code == 200
    await control(hub, "tokens/expire", token="t1")
    assert (await hub.http.get("/crm/v3/objects/contacts", headers=headers)).status_code == 401
    refresh_token = (await control(hub, "tokens/refresh"))["refresh_token"]
    await control(hub, "tokens/revoke", token=refresh_token)
    assert refresh_token not in hub.world.auth.refresh_tokens


@pytest.mark.parametrize("path", ["nothing", "create", "dump/butterflies"])
async def test_a_mistaken_control_says_what_is_wrong(hub: Hub, path: str):
    method = "POST" if path == "create" else "GET"
    answer = await hub.http.request(method, f"/_simulator/{path}", json={})
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]


@pytest.fixture
def process() -> Generator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "syncline.simulators.hubspot", "--contacts", "40", "--companies", "3"]
    started = subprocess.Popen([*command, "--edits-per-minute", "6000"], stdout=subprocess.PIPE, text=True)
    yield started
    started.terminate()
    started.communicate(timeout=20)


async def test_the_command_s_first_line_says_where_it_is_and_it_keeps_living(process: subprocess.Popen[str]):
    assert process.stdout is not None
    address = json.loads(process.stdout.readline())
    assert set(address) == {"port", "url", "token"}
    assert address["url"] == f"http://127.0.0.1:{address['port']}"
    headers = {"authorization": f"Bearer {address['token']}"}
    async with httpx2.AsyncClient(base_url=address["url"], headers=headers) as http:
        page = await http.get("/crm/v3/objects/contacts", params={"limit": 100})
        assert len(page.json()["results"]) >= 38
        before = page.text
        while (await http.get("/crm/v3/objects/contacts", params={"limit": 100})).text == before:
            pass


def test_a_command_that_makes_no_sense_ends_with_a_reason(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="2"):
        SIMULATORS["hubspot"].main(["--faults", "0.1:teapot"])
    assert "teapot" in capsys.readouterr().err


def test_options_nobody_knows_are_refused():
    with pytest.raises(ValueError, match="unknown options: speed"):
        SIMULATORS["hubspot"].run(speed=9)
