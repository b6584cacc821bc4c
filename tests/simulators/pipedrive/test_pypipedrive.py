"""A published client of Pipedrive runs against the simulator unmodified: a witness from outside.

Its host is written into it, so its requests are led here by an adapter of the HTTP library it uses. Its own
models are no Python 3.11 (`models/deals.py` nests quotes as only 3.12 allows), so the models are ours, made
with its base class as it asks those to do who have fields of their own.
"""

# pyright: basic
# It carries no types worth the name.

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack
from typing import Any

import pytest
import requests
from pypipedrive.api import V1, V2, Api
from pypipedrive.api.exceptions import ApiException
from pypipedrive.orm import fields
from pypipedrive.orm.model import Model
from requests.adapters import HTTPAdapter

from syncline.simulators.pipedrive import World
from syncline.simulators.pipedrive.auth import DEFAULT_TOKEN
from syncline.simulators.pipedrive.server import in_thread

HOST = "https://api.pipedrive.com"
COUNTS = {"contacts": 130, "organizations": 10, "deals": 15, "notes": 4, "leads": 6, "users": 3}


class Persons(Model):
    id = fields.IntegerField("id", readonly=True)
    name = fields.TextField("name")
    first_name = fields.TextField("first_name", readonly=True)
    last_name = fields.TextField("last_name", readonly=True)
    label_ids = fields.LabelIdsField("label_ids")
    add_time = fields.DatetimeField("add_time", readonly=True)
    update_time = fields.DatetimeField("update_time", readonly=True)
    is_deleted = fields.BooleanField("is_deleted", readonly=True)

    class Meta:
        entity_name = "persons"
        version = V2


class Detour(HTTPAdapter):
    """Leads requests for the real host to another."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def send(self, request: requests.PreparedRequest, *more: Any, **named: Any) -> requests.Response:
        assert request.url is not None
        request.url = request.url.replace(HOST, self._url, 1)
        return super().send(request, *more, **named)


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world(**COUNTS)


@pytest.fixture
def api_of(world: World) -> Generator[Callable[[str], Api]]:
    with in_thread(world) as url, ExitStack() as stack:

        def make(version: str) -> Api:
            return lead(Api(api_token=DEFAULT_TOKEN, version=version), url, stack)

        yield make


@pytest.fixture
def persons(world: World, monkeypatch: pytest.MonkeyPatch) -> Generator[type[Persons]]:
    """The model with its own connections, which the client keeps for good."""
    monkeypatch.setenv("PIPEDRIVE_API_TOKEN", DEFAULT_TOKEN)
    with in_thread(world) as url, ExitStack() as stack:
        stack.callback(Persons.get_api.__func__.cache_clear)
        for api in (Persons.get_api(), Persons.get_api(version=V2)):
            lead(api, url, stack)
        yield Persons


def lead(api: Api, url: str, stack: ExitStack) -> Api:
    """Let an API's requests go to the simulator until the stack ends."""
    api.session.mount(HOST, Detour(url))
    stack.callback(api.session.close)
    return api


@pytest.mark.parametrize("kind", ["persons", "organizations", "deals", "stages", "pipelines", "personFields"])
def test_it_reads_every_page_of_a_list_by_cursor(api_of: Callable[[str], Api], world: World, kind: str):
    pages = list(api_of(V2).iterator(kind, {"limit": 7}))
    found = [row for page in pages for row in page.data]
    expected = {
        "stages": len(world.stages), "pipelines": 2, "personFields": len(world.fields["person"].fields),
    }  # fmt: skip
    assert len(found) == (expected[kind] if kind in expected else len(world.truth(kind)))
    assert len(pages) == -(-len(found) // 7)


@pytest.mark.parametrize(
    ("kind", "count"), [("notes", 4), ("users", 3), ("currencies", 5), ("leadLabels", 3)]
)
def test_it_reads_what_v1_still_has(api_of: Callable[[str], Api], kind: str, count: int):
    assert len(api_of(V1).all(kind, {"limit": 3}).data) == count


def test_its_models_list_what_there_is(persons: type[Persons], world: World):
    found = persons.all(params={"limit": 60})
    truth = world.truth("persons")
    assert [(each.id, each.name) for each in found] == [(i, row["name"]) for i, row in truth.items()]


def test_its_models_make_change_and_delete_a_record(persons: type[Persons], world: World):
    made = persons(name="Ada King", label_ids=[1])
    assert made.save().created
    assert (made.first_name, made.last_name) == ("Ada", "King")
    again = persons.get(id=made.id)
    again.name = "Ada Byron"
    assert again.save().updated
    assert world.get("persons", made.id).get("last_name") == "Byron"
    assert again.delete()
    assert persons.get(id=made.id).is_deleted


def test_it_understands_how_the_simulator_refuses(api_of: Callable[[str], Api]):
    with pytest.raises(ApiException):
        api_of(V2).get("persons/99999999")
    with pytest.raises(ApiException):
        api_of(V2).post("persons", json={"name": 5})
