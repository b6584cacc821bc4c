"""What tests of the simulator hold in their hands: calls to an account, and the time they move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx2

from moving_clock import NOW_MS, Clock
from syncline.simulators.hubspot import World

__all__ = ["NOW_MS", "SMALL", "Clock", "Hub"]

SMALL = {
    "contacts": 230,
    "companies": 20,
    "deals": 15,
    "calls": 40,
    "meetings": 5,
    "emails": 5,
    "notes": 5,
    "tasks": 5,
    "owners": 5,
    "archived_owners": 2,
    "cars": 12,
    "archived_contacts": 6,
}


@dataclass
class Hub:
    """One account with its clock, and calls to it."""

    world: World
    clock: Clock
    http: httpx2.AsyncClient

    async def get(self, path: str, **query: Any) -> Any:
        """GET and return the decoded body of a 200."""
        answer = await self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Any, expect: int = 200) -> Any:
        """POST JSON and return the decoded body (None when there is none)."""
        answer = await self.http.post(path, json=body)
        assert answer.status_code == expect, answer.text
        return answer.json() if answer.content else None

    async def refused(self, method: str, path: str, **more: Any) -> tuple[int, dict[str, Any]]:
        """Make a call and return its status and its error."""
        answer = await self.http.request(method, path, **more)
        assert answer.status_code >= 400, answer.text
        return answer.status_code, answer.json()

    async def walk(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """Follow a list from end to end."""
        found: list[dict[str, Any]] = []
        after: dict[str, str] = {}
        while True:
            page = await self.get(path, **query, **after)
            found += page["results"]
            if "paging" not in page:
                return found
            after = {"after": page["paging"]["next"]["after"]}

    async def search(self, object_name: str, **body: Any) -> dict[str, Any]:
        found: dict[str, Any] = await self.post(f"/crm/v3/objects/{object_name}/search", body)
        return found

    async def found_ids(self, object_name: str, *filters: tuple[Any, ...], **body: Any) -> list[str]:
        """Search with filters of (property, operator[, value]) in one group; return ids in order."""
        listed: list[dict[str, Any]] = []
        for name, how, *value in filters:
            listed.append({"propertyName": name, "operator": how})
            if value:
                listed[-1]["values" if isinstance(value[0], list) else "value"] = value[0]
        answer = await self.search(object_name, filterGroups=[{"filters": listed}], **({"limit": 200} | body))
        return [record["id"] for record in answer["results"]]
