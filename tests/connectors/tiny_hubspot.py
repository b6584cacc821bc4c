"""A HubSpot of a few dozen lines, for what the simulator rightly does not do: behave oddly on purpose."""

import json
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from syncline.connectors.hubspot.failures import explain_failure, read_quota
from syncline.connectors.transport import Request, Response
from syncline.errors import SynclineError


def iso(ms: int) -> str:
    moment = datetime.fromtimestamp(ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


@dataclass
class TinyHubSpot:
    """Holds contacts (id → modified ms) and answers requests like `base.Send` does."""

    modified: dict[int, int]
    cursor: str = "inclusive"
    server_date: str = "Sat, 21 Nov 2026 10:00:00 GMT"
    before_search: Callable[["TinyHubSpot", dict[str, Any]], None] | None = None
    legacy_only: bool = False
    requests: list[Request] = field(default_factory=list)

    async def send(self, request: Request) -> Response:
        self.requests.append(request)
        if self.legacy_only and "/2026-03/" in request.path:
            raise self.fail(404, b"<html><body>404 Not Found</body></html>")
        if request.path.endswith("/search"):
            if self.before_search is not None:
                self.before_search(self, request.json)
            return self.answer(self.search(json.loads(json.dumps(request.json))))
        if request.path.endswith("/batch/read"):
            ids = [int(each["id"]) for each in request.json["inputs"]]
            found = [
                self.record(each, request.json["properties"])
                for each in reversed(ids)
                if each in self.modified
            ]
            return self.answer(
                {"status": "COMPLETE", "results": found}, 200 if len(found) == len(ids) else 207
            )
        return self.answer(self.list(dict(request.query)))

    def answer(self, body: Any, status: int = 200) -> Response:
        return Response(status, {"date": self.server_date}, json.dumps(body).encode())

    def fail(self, status: int, body: bytes) -> SynclineError:
        assert read_quota({}) is not None
        return explain_failure(status, {}, body)

    def record(self, number: int, names: list[str]) -> dict[str, Any]:
        known = {
            "hs_object_id": str(number),
            "lastmodifieddate": iso(self.modified[number]),
            "hs_lastmodifieddate": iso(self.modified[number]),
        }
        properties = known | {name: None for name in names if name not in known}
        time = iso(self.modified[number])
        return {
            "id": str(number),
            "properties": properties,
            "createdAt": iso(1_000),
            "updatedAt": time,
            "archived": False,
        }

    def list(self, query: dict[str, str]) -> dict[str, Any]:
        ids, limit, after = sorted(self.modified), int(query["limit"]), query.get("after")
        if after is not None and not after.isdigit() and self.cursor != "opaque":
            raise self.fail(400, b'{"status":"error","message":"Cannot deserialize value of type `long`"}')
        start = {
            "inclusive": lambda: [each for each in ids if each >= int(after or 0)],
            "next": lambda: [each for each in ids if each >= int(after or 0)],
            "exclusive": lambda: [each for each in ids if each > int(after or 0)],
            "offset": lambda: ids[int(after or 0) :],
            "opaque": lambda: ids[int((after or "c0")[1:] or 0) if (after or "c0")[0] == "c" else 0 :],
            "stuck": lambda: ids,
        }[self.cursor]()
        page = start[:limit]
        body: dict[str, Any] = {
            "results": [self.record(each, query["properties"].split(",")) for each in page]
        }
        if len(start) > limit:
            position = ids.index(page[-1]) + 1
            following = {
                "inclusive": str(page[-1] + 1),
                "next": str(ids[min(position, len(ids) - 1)]),
                "exclusive": str(page[-1]),
                "offset": str(position),
                "opaque": f"c{position}",
                "stuck": after or "7",
            }[self.cursor]
            body["paging"] = {"next": {"after": following, "link": "https://example.com"}}
        return body

    def search(self, body: dict[str, Any]) -> dict[str, Any]:
        if len(json.dumps(body, separators=(",", ":"))) > 3000 or body["limit"] > 200:
            raise self.fail(400, b'{"status":"error","category":"VALIDATION_ERROR","message":"too long"}')
        rows = [(each, {"hs_object_id": each, "lastmodifieddate": ms}) for each, ms in self.modified.items()]
        for group in body["filterGroups"]:
            for item in group["filters"]:
                compare = {"EQ": operator.eq, "GT": operator.gt, "GTE": operator.ge, "LTE": operator.le}[
                    item["operator"]
                ]
                rows = [row for row in rows if compare(row[1][item["propertyName"]], int(item["value"]))]
        [sort] = body["sorts"]
        rows.sort(key=lambda row: row[1][sort["propertyName"]], reverse=sort["direction"] == "DESCENDING")
        start = int(body.get("after", 0))
        if start + body["limit"] > 10_000:
            raise self.fail(400, b'{"status":"error","message":"paging beyond 10000"}')
        page = rows[start : start + body["limit"]]
        found: dict[str, Any] = {
            "total": len(rows),
            "results": [self.record(each, body["properties"]) for each, _ in page],
        }
        if len(rows) > start + body["limit"]:
            found["paging"] = {"next": {"after": str(start + body["limit"])}}
        return found
