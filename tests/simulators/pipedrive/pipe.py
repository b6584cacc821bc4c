"""What tests of the simulator hold in their hands: calls to a company, and the time they move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx2

from moving_clock import Clock
from syncline.simulators.pipedrive import World

SMALL = {
    "contacts": 130,
    "organizations": 20,
    "deals": 40,
    "archived_deals": 4,
    "deleted_deals": 5,
    "activities": 30,
    "notes": 12,
    "leads": 8,
    "archived_leads": 2,
    "users": 4,
    "inactive_users": 1,
    "deleted_persons": 3,
}
V1, V2 = "/v1", "/api/v2"


@dataclass
class Pipe:
    """One company with its clock, and calls to it."""

    world: World
    clock: Clock
    http: httpx2.AsyncClient

    async def get(self, path: str, **query: Any) -> Any:
        """GET and return the decoded body of a 200."""
        answer = await self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def send(self, method: str, path: str, body: Any = None, expect: int = 200) -> Any:
        """Send JSON and return the decoded body."""
        answer = await self.http.request(method, path, json=body)
        assert answer.status_code == expect, answer.text
        return answer.json()

    async def create(self, kind: str, **body: Any) -> dict[str, Any]:
        return (await self.send("POST", f"{V2}/{kind}", body))["data"]

    async def change(self, kind: str, record_id: int, **body: Any) -> dict[str, Any]:
        return (await self.send("PATCH", f"{V2}/{kind}/{record_id}", body))["data"]

    async def refused(self, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, str]:
        """Make a call and return its status and its reason."""
        answer = await self.http.request(method, path, json=body, params=query)
        assert answer.status_code >= 400, answer.text
        assert answer.json()["success"] is False
        return answer.status_code, answer.json()["error"]

    async def walk(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """Follow a list from end to end."""
        found: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            page = await self.get(path, **query, **cursor)
            found += page["data"]
            if page["additional_data"]["next_cursor"] is None:
                return found
            cursor = {"cursor": page["additional_data"]["next_cursor"]}

    def living(self, kind: str) -> list[int]:
        """Return the ids of what lists show."""
        return self.world.stores[kind].sections["living"].ids
