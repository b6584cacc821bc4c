"""Every simulated operation of API v2 against the vendor's own description of it, where that is at hand.

What is loosened, and why: every property may be null, since recorded answers are full of nulls that the
description does not allow; and properties are allowed that stand in its examples but not in its schemas.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from jsonschema import Draft7Validator
from pipe import V1, V2, Pipe

from syncline.simulators.pipedrive.routing import ROUTES

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        "PIPEDRIVE_OPENAPI_FILE" not in os.environ,
        reason="PIPEDRIVE_OPENAPI_FILE does not name the OpenAPI description of Pipedrive's API v2",
    ),
]

#: Properties of real answers that neither schemas nor examples have everywhere.
FORGOTTEN = {"additional_data", "labels", "address"}


@cache
def description() -> dict[str, Any]:
    return yaml.load(Path(os.environ["PIPEDRIVE_OPENAPI_FILE"]).read_text(), Loader=yaml.CSafeLoader)


def operation_of(route: str) -> dict[str, Any] | None:
    """Return the description's operation for a route of ours, None where it has none."""
    method, _, path = route.partition(" ")
    pattern = path.removeprefix("/v2").replace("*", "{}")
    for known, operations in description()["paths"].items():
        if re.sub(r"\{\w+\}", "{}", known) == pattern:
            return operations.get(method.lower())
    return None


def resolved(schema: Any) -> dict[str, Any]:
    """Return a schema with its reference followed and its parts put together."""
    if "$ref" in schema:
        found: Any = description()
        for part in schema["$ref"][2:].split("/"):
            found = found[part]
        return resolved(found)
    if "allOf" not in schema:
        return schema
    parts = [resolved(part) for part in schema["allOf"]]
    return {
        "type": "object",
        "properties": {name: each for part in parts for name, each in part.get("properties", {}).items()},
        "required": [name for part in parts for name in part.get("required", [])],
    }


def loosened(given: Any, example: Any = None, name: str = "") -> dict[str, Any]:
    """Return a schema of OpenAPI 3.0 as one of JSON Schema: all nullable, closed but for its example."""
    schema = resolved(given)
    for word in ("oneOf", "anyOf"):
        if word in schema:
            return {"anyOf": [*(loosened(each, example) for each in schema[word]), {"type": "null"}]}
    made: dict[str, Any] = {"required": schema["required"]} if schema.get("required") else {}
    if "type" in schema:
        # An amount is described as whole where it is found by searching only.
        is_amount = name == "value" and schema["type"] == "integer"
        made["type"] = ["number" if is_amount else schema["type"], "null"]
    if "enum" in schema:
        made["enum"] = [*schema["enum"], None]
    if "items" in schema:
        first = example[0] if isinstance(example, list) and example else None
        made["items"] = loosened(schema["items"], first)
    if schema.get("properties"):
        examples = example if isinstance(example, dict) else {}
        made["properties"] = {
            key: loosened(each, examples.get(key), key) for key, each in schema["properties"].items()
        }
        made["properties"] |= {key: {} for key in {*examples, *FORGOTTEN} - made["properties"].keys()}
        made["additionalProperties"] = False
    return made


class Checked:
    """Makes calls, and holds each answer against the description."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self.seen: set[str] = set()

    async def __call__(self, route: str, *ids: Any, body: Any = None, expect: int = 200, **query: Any) -> Any:
        method, _, path = route.partition(" ")
        for each in ids:
            path = path.replace("*", str(each), 1)
        answer = await self._pipe.http.request(method, path.replace("/v2", V2, 1), json=body, params=query)
        assert answer.status_code == expect, answer.text
        self.seen.add(route)
        self._hold(route, answer)
        return answer.json()

    def _hold(self, route: str, answer: httpx2.Response) -> None:
        operation = operation_of(route)
        assert operation is not None, f"{route} is not in the description"
        told = operation["responses"].get(str(answer.status_code))
        assert told is not None, f"{route} does not answer {answer.status_code}"
        content = told["content"]["application/json"]
        schema = loosened(content["schema"], content.get("example"))
        problems = [
            f"{'/'.join(map(str, each.absolute_path))}: {each.message}"
            for each in Draft7Validator(schema).iter_errors(answer.json())
        ]
        assert problems == [], f"{route}: {problems[:5]}"


async def _walk_records(call: Checked, pipe: Pipe) -> None:
    bodies: dict[str, dict[str, Any]] = {
        "persons": {"name": "Ada King", "emails": [{"value": "a@x.example"}]},
        "organizations": {"name": "Analytical Engines", "address": {"value": "1 Main St"}},
        "deals": {"title": "Engine", "value": 5, "status": "won"},
        "activities": {"subject": "Call", "type": "call",
                       "participants": [{"person_id": pipe.living("persons")[0]}]},
    }  # fmt: skip
    for kind, body in bodies.items():
        await call(f"GET /v2/{kind}", limit=20)
        asked = {} if kind == "activities" else {"include_labels": "true", "include_option_labels": "true"}
        made = (await call(f"POST /v2/{kind}", body=body))["data"]["id"]
        await call(f"GET /v2/{kind}/*", made, **asked)
        await call(f"PATCH /v2/{kind}/*", made, body={"owner_id": pipe.world.users[1].user_id})
        await call(f"DELETE /v2/{kind}/*", made)
    await call("GET /v2/deals/archived", limit=20)


async def _walk_fields(call: Checked) -> None:
    for entity in ("person", "organization", "deal"):
        name = f"{entity}Fields"
        body = {"field_name": "Colour", "field_type": "enum", "options": [{"label": "Red"}]}
        await call(f"GET /v2/{name}", include_fields="ui_visibility,important_fields,required_fields")
        code = (await call(f"POST /v2/{name}", body=body))["data"]["field_code"]
        await call(f"GET /v2/{name}/*", code)
        await call(f"PATCH /v2/{name}/*", code, body={"field_name": "Tint"})
        [option] = (await call(f"POST /v2/{name}/*/options", code, body=[{"label": "Blue"}]))["data"]
        renamed = [{"id": option["id"], "label": "Green"}]
        await call(f"PATCH /v2/{name}/*/options", code, body=renamed)
        await call(f"DELETE /v2/{name}/*/options", code, body=[{"id": option["id"]}])
        await call(f"DELETE /v2/{name}/*", code)
    await call("GET /v2/activityFields", include_fields="ui_visibility")
    await call("GET /v2/activityFields/*", "subject")


async def _walk_rest(call: Checked, pipe: Pipe) -> None:
    for kind in ("persons", "organizations", "deals", "leads"):
        found = await call(f"GET /v2/{kind}/search", term="ea", limit=10)
        assert kind == "organizations" or found["data"]["items"]
    await call("GET /v2/itemSearch", term="ea")
    code = pipe.world.code("organization", "Domain")
    await call(
        "GET /v2/itemSearch/field", term="exam", field=code, entity_type="organization", match="middle"
    )
    for kind, body in (("pipelines", {"name": "P"}), ("stages", {"name": "S", "pipeline_id": 1})):
        await call(f"GET /v2/{kind}")
        made = (await call(f"POST /v2/{kind}", body=body))["data"]["id"]
        await call(f"GET /v2/{kind}/*", made)
        await call(f"PATCH /v2/{kind}/*", made, body={"name": "Q"})
        await call(f"DELETE /v2/{kind}/*", made)
    lead = (await pipe.get(f"{V1}/leads"))["data"][0]["id"]
    told = await call("POST /v2/leads/*/convert/deal", lead)
    await call("GET /v2/leads/*/convert/status/*", lead, told["data"]["conversion_id"])
    await call("POST /v2/leads/*/convert/deal", lead, expect=404)


async def test_every_operation_answers_as_described(pipe: Pipe):
    call = Checked(pipe)
    await _walk_records(call, pipe)
    await _walk_fields(call)
    await _walk_rest(call, pipe)
    assert call.seen == {route.name for route in ROUTES if " /v2/" in route.name}


async def test_every_operation_costs_and_asks_for_what_is_described():
    for route in ROUTES:
        if " /v2/" not in route.name:
            continue
        operation = operation_of(route.name)
        assert operation is not None, route.name
        assert route.cost == operation["x-token-cost"], route.name
        scopes = [set(each["oauth2"]) for each in operation["security"] if "oauth2" in each]
        assert set(route.scopes) == scopes[0], route.name
