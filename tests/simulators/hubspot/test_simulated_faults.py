"""Faults on demand, over a real connection."""

import asyncio
from collections.abc import AsyncGenerator, Callable

import httpx2
import pytest
from hub import Hub

from syncline.simulators.faults import Faults, read_plan
from syncline.simulators.hubspot import Settings, World
from syncline.simulators.hubspot.auth import DEFAULT_TOKEN
from syncline.simulators.hubspot.faults import KINDS
from syncline.simulators.hubspot.server import in_loop

pytestmark = pytest.mark.anyio

CONTACTS = "/crm/v3/objects/contacts"
HEADERS = {"authorization": f"Bearer {DEFAULT_TOKEN}"}


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world(settings=Settings(slow_seconds=0.05), contacts=30)


@pytest.fixture
async def http(world: World) -> AsyncGenerator[httpx2.AsyncClient]:
    async with (
        in_loop(world) as url,
        httpx2.AsyncClient(base_url=url, headers=HEADERS) as client,
    ):
        yield client


async def meet(http: httpx2.AsyncClient, kind: str) -> None:
    answer = await http.post("/_simulator/faults", json={"kinds": [kind]})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("kind", ["429", "423", "477", "500", "502", "503", "504", "524"])
async def test_a_status_can_stand_in_for_an_answer_once(http: httpx2.AsyncClient, kind: str):
    await meet(http, kind)
    answer = await http.get(CONTACTS)
    assert answer.status_code == int(kind)
    assert ("retry-after" in answer.headers) == (kind == "477")
    assert (await http.get(CONTACTS)).status_code == 200


@pytest.mark.parametrize(("kind", "status"), [("html-200", 200), ("html-502", 502)])
async def test_a_page_for_people_can_stand_in_for_json(http: httpx2.AsyncClient, kind: str, status: int):
    await meet(http, kind)
    answer = await http.get(CONTACTS)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.text.startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("kind", "made"), [("reset", 0), ("reset-after-commit", 1), ("500", 0), ("truncated", 1)]
)
async def test_a_broken_answer_may_hide_that_the_record_was_made(
    http: httpx2.AsyncClient, world: World, kind: str, made: int
):
    before = len(world.store("contacts").living)
    await meet(http, kind)
    try:
        answer = await http.post(CONTACTS, json={"properties": {"firstname": "Ann"}})
        assert answer.status_code == 500
    except (httpx2.ReadError, httpx2.RemoteProtocolError):
        assert kind != "500"
    assert len(world.store("contacts").living) == before + made


async def test_a_truncated_answer_promised_more_than_came(http: httpx2.AsyncClient):
    await meet(http, "truncated")
    with pytest.raises(httpx2.RemoteProtocolError):
        await http.get(CONTACTS)


async def test_a_broken_connection_is_a_reset_and_not_an_end(http: httpx2.AsyncClient):
    await meet(http, "reset")
    with pytest.raises(httpx2.ReadError):
        await http.get(CONTACTS)


async def test_a_slow_answer_is_right_all_the_same(http: httpx2.AsyncClient):
    await meet(http, "slow")
    assert (await http.get(CONTACTS)).json()["results"]


async def test_others_are_served_while_an_answer_waits(http: httpx2.AsyncClient, world: World):
    world.settings.latency_ms = 40
    answers = await asyncio.gather(*(http.get(CONTACTS) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}


async def test_a_share_of_requests_meets_every_kind_in_turn(hub: Hub):
    hub.world.settings.faults = "0.5:429,500,503"
    seen = [(await hub.http.get(CONTACTS)).status_code for _ in range(60)]
    failed = [status for status in seen if status != 200]
    assert failed == ([429, 500, 503] * 20)[: len(failed)]
    assert 15 < len(failed) < 45


def test_the_same_seed_fails_the_same_requests():
    one, other = Faults(5, KINDS), Faults(5, KINDS)
    assert [one.next("0.2") for _ in range(200)] == [other.next("0.2") for _ in range(200)]


def test_every_kind_comes_up_when_none_is_chosen():
    faults = Faults(1, KINDS)
    assert [faults.next("1") for _ in KINDS] == list(KINDS)


@pytest.mark.parametrize("text", ["2", "-1", "0.1:429,teapot", "often"])
def test_a_plan_that_makes_no_sense_is_refused(text: str):
    with pytest.raises(ValueError, match=r"fault|float"):
        read_plan(text, KINDS)
