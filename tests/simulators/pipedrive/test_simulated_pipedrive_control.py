"""The door beside the API, faults on demand, the population, colleagues, and the command line."""

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pipe import SMALL, V2, Pipe

from syncline.simulators.pipedrive import Settings, World
from syncline.simulators.pipedrive.auth import DEFAULT_TOKEN
from syncline.simulators.pipedrive.faults import KINDS
from syncline.simulators.pipedrive.server import in_thread
from syncline.simulators.registry import SIMULATORS

pytestmark = pytest.mark.anyio


async def control(pipe: Pipe, path: str, **given: Any) -> Any:
    return await pipe.send("POST", f"/_simulator/{path}", given)


async def test_the_same_seed_makes_the_same_company(make_world: Callable[..., World]):
    one, other, third = make_world(5, **SMALL), make_world(5, **SMALL), make_world(6, **SMALL)
    for kind in one.stores:
        assert one.truth(kind, "living", "archived", "deleted") == other.truth(
            kind, "living", "archived", "deleted"
        )
    assert one.truth("persons") != third.truth("persons")
    assert [one.colleague_edit() for _ in range(80)] == [other.colleague_edit() for _ in range(80)]
    assert one.truth("deals") == other.truth("deals")


async def test_the_population_has_what_it_was_asked_for(pipe: Pipe):
    world = pipe.world
    sections = {kind: {name: len(each.ids) for name, each in store.sections.items()}
                for kind, store in world.stores.items()}  # fmt: skip
    assert sections["persons"] == {"living": 130, "archived": 0, "deleted": 3}
    assert sections["deals"] == {"living": 40, "archived": 4, "deleted": 5}
    assert sections["leads"] == {"living": 8, "archived": 2, "deleted": 0}
    assert [sections[kind]["living"] for kind in ("organizations", "activities", "notes")] == [20, 30, 12]
    truth = world.truth("deals").values()
    assert {each["pipeline_id"] for each in truth} == {1, 2}
    assert {each["status"] for each in truth} == {"open", "won", "lost"}
    assert all(each["update_time"] is None or each["update_time"] < "2026-09-21" for each in truth)


async def test_colleagues_do_all_kinds_of_things(pipe: Pipe):
    words = Counter(pipe.world.colleague_edit().split()[0] for _ in range(400))
    assert words.keys() >= {"person", "deal", "organization", "activity", "note"}
    assert len({event.action for event in pipe.world.events}) == 3


async def test_a_test_can_edit_delete_restore_archive_and_merge(pipe: Pipe):
    made = await control(pipe, "create", object="persons", values={"name": "Ada King"})
    person, other = made["id"], pipe.living("persons")[0]
    changed = await control(pipe, "update", object="person", id=person, values={"name": "Ada Byron"})
    assert changed["last_name"] == "Byron"
    await control(pipe, "delete", object="persons", ids=[person])
    assert pipe.world.get("persons", person).deleted_ms == pipe.clock.ms
    await control(pipe, "restore", object="persons", id=person)
    await control(pipe, "merge", object="persons", id=person, into=other)
    deal = pipe.living("deals")[0]
    await control(pipe, "associate", **{"from": "deals", "from_id": deal, "to": "persons", "to_id": other})
    assert pipe.world.get("deals", deal).get("person_id") == other
    await control(pipe, "archive", object="deals", id=deal)
    assert pipe.world.get("deals", deal).section == "archived"
    await control(pipe, "archive", object="deals", id=deal, back=True)
    touched = await control(pipe, "touch", object="persons", count=3)
    assert touched["touched"] == 3
    assert len((await control(pipe, "colleagues", count=4))["edits"]) == 4


async def test_the_truth_can_be_dumped(pipe: Pipe):
    first, second = pipe.living("persons")[:2]
    pipe.world.merge("persons", first, second)
    lines = (await pipe.http.get("/_simulator/dump/persons")).text.splitlines()
    found = [json.loads(line) for line in lines]
    assert Counter(each["state"] for each in found) == {"living": 129, "deleted": 3, "merged": 1}
    assert {"id": first, "state": "merged", "survivor": second} in found
    living = (await pipe.http.get("/_simulator/dump/deals", params={"state": "archived"})).text
    assert len(living.splitlines()) == 4


async def test_every_call_is_remembered_with_its_cost(pipe: Pipe):
    await pipe.get(f"{V2}/persons", limit=2)
    await pipe.refused("GET", f"{V2}/persons/99999999")
    calls = (await pipe.get("/_simulator/calls"))["calls"]
    assert [(each["path"], each["status"], each["cost"]) for each in calls] == [
        (f"{V2}/persons?limit=2", 200, 10), (f"{V2}/persons/99999999", 404, 1),
    ]  # fmt: skip
    stats = await pipe.get("/_simulator/stats")
    assert stats["routes"]["GET /v2/persons/*"] == {"404": 1}
    await control(pipe, "stats/reset")
    assert (await pipe.get("/_simulator/calls"))["calls"] == []


async def test_settings_are_changed_by_name(pipe: Pipe):
    assert (await control(pipe, "settings", rate=7, faults="0.5:429"))["rate"] == 7
    for given in ({"speed": 1}, {"faults": "0.5:rain"}):
        assert (await pipe.http.post("/_simulator/settings", json=given)).status_code == 400
    assert (await pipe.http.post("/_simulator/weather", json={})).status_code == 404
    assert (await pipe.http.post("/_simulator/update", content=b"{")).status_code == 400


async def test_tokens_are_made_expired_and_revoked(pipe: Pipe):
    await control(pipe, "tokens", token="app", scopes=["contacts:read"], expires_in_seconds=60)
    headers = {"x-api-token": "", "authorization": "Bearer app"}
    assert (await pipe.http.get(f"{V2}/persons", headers=headers)).status_code == 200
    await control(pipe, "tokens/expire", token="app")
    assert (await pipe.http.get(f"{V2}/persons", headers=headers)).status_code == 401
    await control(pipe, "tokens/revoke", token="app")
    assert (await control(pipe, "tokens/refresh"))["refresh_token"]


@pytest.mark.parametrize("kind", KINDS)
async def test_every_fault_looks_as_it_should(served: Pipe, kind: str):
    served.world.settings.slow_seconds = 0.01
    await control(served, "faults", kinds=[kind])
    broken = kind in ("reset", "reset-after-commit", "truncated")
    try:
        answer = await served.http.post(f"{V2}/organizations", json={"name": "Xanadu"})
    except httpx2.TransportError:
        assert broken
    else:
        expected = 200 if kind in ("slow", "html-200", "empty-200") else int(kind[-3:])
        assert (answer.status_code, broken) == (expected, False)
        assert answer.text.startswith("<!DOCTYPE") == kind.startswith("html")
        if kind == "empty-200":
            assert answer.json() == {"success": True, "data": None}
    names = [each["name"] for each in served.world.truth("organizations").values()]
    committed = kind in ("slow", "reset-after-commit", "truncated", "empty-200")
    assert ("Xanadu" in names) == committed


async def test_a_share_of_requests_goes_wrong_the_same_ones_each_time(make_world: Callable[..., World]):
    async def outcomes() -> list[int]:
        from syncline.simulators.pipedrive.app import App

        world = make_world(8, Settings(faults="0.3:429,500,html-502"), contacts=3)
        transport = httpx2.ASGITransport(app=App(world))  # pyright: ignore[reportArgumentType]
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://pipe.test", headers={"x-api-token": DEFAULT_TOKEN}
        ) as http:
            return [(await http.get(f"{V2}/persons")).status_code for _ in range(100)]

    first = await outcomes()
    assert first == await outcomes()
    assert Counter(first).keys() == {200, 429, 500, 502}


def test_synchronous_clients_are_served_from_a_thread(make_world: Callable[..., World]):
    with in_thread(make_world(contacts=3)) as url:
        answer = httpx2.get(f"{url}{V2}/persons", headers={"x-api-token": DEFAULT_TOKEN})
    assert len(answer.json()["data"]) == 3


async def start(*words: str, **environment: str) -> tuple[asyncio.subprocess.Process, dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "syncline", "simulate", "pipedrive", "--port", "0", *words,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **environment},
    )  # fmt: skip
    assert process.stdout is not None
    return process, json.loads(await process.stdout.readline())


async def test_the_command_serves_a_company_until_its_parent_ends(tmp_path: Path):
    words = ["--contacts", "30", "--organizations", "5", "--deals", "5", "--anchor", "2026-09-01", "--guided"]
    words += ["--journal", str(tmp_path / "journal"), "--edits-per-minute", "6000"]
    process, address = await start(*words)
    headers = {"x-api-token": address["token"]}
    async with asyncio.timeout(60), httpx2.AsyncClient(base_url=address["url"], headers=headers) as http:
        while True:
            calls = (await http.get("/_simulator/stats")).json()
            if calls["counts"]["persons"] != 30:
                break
        assert process.stdin is not None
        process.stdin.write(b'{"edits_per_minute": 0, "rate": 9}\n')
        while (await http.get("/_simulator/settings")).json()["rate"] != 9:
            pass
    process.stdin.close()
    await process.wait()
    assert int((tmp_path / "journal").read_text()) > 0


def test_a_command_that_makes_no_sense_ends_with_a_reason(capsys: pytest.CaptureFixture[str]):
    main = SIMULATORS["pipedrive"].main
    for words, reason in (
        (["--faults", "2"], "between 0 and 1"),
        (["--webhooks-to", "http://here.example"], "go together"),
    ):
        with pytest.raises(SystemExit):
            main(words)
        assert reason in capsys.readouterr().err
    with pytest.raises(ValueError, match="unknown options: weather"):
        SIMULATORS["pipedrive"].run(weather=1)


def test_a_small_company_has_less_of_everything():
    counts = SIMULATORS["pipedrive"].scale(200)
    assert counts["contacts"] == 200
    assert counts["organizations"] == 50
    assert counts["deleted_persons"] <= 25
