"""Tallybook for the contract's tests: the service of the page that shows how a connector is written."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, ClassVar

from imitated import Crm, Failure, Imitation, Way
from tallybook_service import KEY, Service, serving
from the_page import load_platform

from syncline.connectors.base import Connector
from syncline.connectors.registry import open_transport
from syncline.connectors.transport import Token, Transport


class ServedTallybook(Crm):
    platform = load_platform()
    crowded = "people"
    crowd = 250
    ways = (Way("", "people", "serial"), Way("crowded", "people", "serial"), Way("", "users", "serial"))
    failures = ("unavailable", "garbled", "truncated", "limited", "token", "forbidden")
    emptied: ClassVar[Mapping[str, str]] = {"firms": "website", "people": "phone", "sales": "amount"}

    def __init__(self, service: Service, transport: Transport) -> None:
        self.service = service
        super().__init__(transport, Token(KEY))

    async def living(self, object_name: str) -> set[str]:
        return set(self.service.items[object_name])

    def unknown_id(self, object_name: str) -> str:
        del object_name
        return "999999"

    async def add(self, object_name: str, count: int = 1) -> list[str]:
        name = {"firms": "name", "people": "first_name", "sales": "title", "users": "email"}[object_name]
        more = {"book_id": "main", "stage_id": "open"} if object_name == "sales" else {}
        return [
            self.service.add(object_name, {name: f"Added {number}", **more})["id"] for number in range(count)
        ]

    async def touch(self, object_name: str, remote_ids: Sequence[str]) -> None:
        at = self.service.tick()
        for each in remote_ids:
            self.service.change(object_name, each, {}, at)

    async def end(self, object_name: str, remote_id: str) -> None:
        del self.service.items[object_name][remote_id]

    async def plant(self, object_name: str, text: str) -> str | None:
        return str(self.service.add(object_name, {"last_name": text})["id"])

    def spoiled(self, object_name: str, word: str) -> Mapping[str, str]:
        del object_name
        return {"owner_id": word}

    @asynccontextmanager
    async def meeting(self, failure: Failure, word: str) -> AsyncGenerator[Connector]:
        token = self.token
        if failure in ("token", "forbidden"):
            self.token = Token(word)
            if failure == "forbidden":
                self.service.keys[word] = False
        else:
            self.service.fault = failure
        yield self.fresh()
        self.service.fault, self.token = "", token

    def refusal(self, status: int, word: str) -> tuple[Mapping[str, str], bytes]:
        del status
        error = {"code": "no_such_record", "field": "owner_id", "message": f"“{word}” does not exist"}
        return {}, json.dumps({"error": error}, ensure_ascii=False).encode()


@asynccontextmanager
async def open_tallybook(server: Any, variant: str) -> AsyncGenerator[Crm]:
    service = Service()
    async with serving(service) as url, aclosing(open_transport(ServedTallybook.platform, url)) as transport:
        crm = ServedTallybook(service, transport)
        for name in ("users", "firms", "people", "sales"):
            await crm.add(name, crm.crowd if variant and name == crm.crowded else 5)
        yield crm


IMITATION = Imitation(ServedTallybook, open_tallybook)
