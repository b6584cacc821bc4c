"""A Pipedrive of a few lines: answers prepared by path, and a note of what was asked."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec

from syncline.connectors.pipedrive.connector import Pipedrive
from syncline.connectors.pipedrive.failures import explain_failure, read_quota
from syncline.connectors.transport import Request, Response

Handler = Callable[[Request], "tuple[int, Any] | Exception"]


class Tiny:
    """Answers by (method, path); a list of answers is used up one by one, and the last one stays."""

    def __init__(self, answers: Mapping[tuple[str, str], Any]) -> None:
        self.answers = dict(answers)
        self.requests: list[Request] = []
        self.connector = Pipedrive(self.send)

    async def send(self, request: Request) -> Response:
        self.requests.append(request)
        answer: Any = self.answers.get(
            (request.method, request.path), (404, {"success": False, "error": "no"})
        )
        if isinstance(answer, list):
            waiting = cast("list[Any]", answer)
            answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, Exception):
            raise answer
        status, body = cast("tuple[int, Any]", answer) if isinstance(answer, tuple) else (200, answer)
        encoded = body if isinstance(body, bytes) else msgspec.json.encode(body)
        headers = {"date": "Sat, 21 Nov 2026 12:00:00 GMT"}
        if status >= 300:
            raise explain_failure(status, headers, encoded)
        return Response(status, headers, encoded, read_quota(headers))

    def bodies(self, method: str) -> list[Any]:
        """Return what was sent by a method, in order."""
        return [each.json for each in self.requests if each.method == method]

    @property
    def cost(self) -> int:
        return sum(each.cost for each in self.requests)


def ok(data: Any, cursor: str | None = None) -> dict[str, Any]:
    return {"success": True, "data": data, "additional_data": {"next_cursor": cursor}}


def person(record_id: int, **values: Any) -> dict[str, Any]:
    data: dict[str, Any] = {
        "id": record_id,
        "name": f"First{record_id} Last{record_id}",
        "first_name": f"First{record_id}",
        "last_name": f"Last{record_id}",
        "owner_id": 1,
        "org_id": None,
        "add_time": "2026-01-02T03:04:05Z",
        "update_time": "2026-02-02T03:04:05Z",
        "emails": [{"value": f"p{record_id}@example.com", "primary": True, "label": "work"}],
        "phones": [],
        "is_deleted": False,
        "visible_to": 3,
        "label_ids": [],
        "custom_fields": {},
    }
    return data | values
