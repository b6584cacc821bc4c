"""No route tells one tenant anything of another: every operation is called with the other's ids and names."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from served_doors import Doors

from syncline.actions.connect import Connected
from syncline.actions.hub import Hub
from syncline.actions.sync import sync
from syncline.api.openapi import describe
from syncline.api.routers import ROUTERS

pytestmark = pytest.mark.anyio

#: They end a session or a key, or do not end by themselves.
LEFT_OUT = {"/api/v1/events", "/api/v1/session"}


def _operations() -> list[tuple[str, str, dict[str, Any]]]:
    app = FastAPI()
    for router in ROUTERS:
        app.include_router(router)
    describe(app)
    return [
        (path, method, operation)
        for path, operations in app.openapi()["paths"].items()
        for method, operation in operations.items()
        if path not in LEFT_OUT
    ]


async def test_every_operation_with_another_tenants_ids_tells_nothing(
    doors: Doors, hub: Hub, other: Hub, connect: Callable[..., Awaitable[Connected]], admin: Any
) -> None:
    await connect("main", objects=("owners", "contacts", "companies", "deals"))
    await sync(hub)
    ids, secrets = await _collect(admin)
    async with doors.client() as ours:
        given = {"name": "told", "url": "https://hooks.example.com/x"}
        made = (await ours.post("/api/v1/subscriptions", json=given)).json()
    ids["subscription_id"] = made["subscription"]["id"]
    secrets |= {made["secret"], made["subscription"]["id"]}
    leaks: list[str] = []
    async with doors.client(hub=other) as theirs:
        for path, method, operation in _operations():
            answer = await theirs.request(
                method.upper(),
                re.sub(r"\{(\w+)\}", lambda part: ids.get(part[1], ids["record_id"]), path),
                params=_query(operation, ids),
                json=_body(operation, ids),
                headers={"if-match": '"1"'},
            )
            assert answer.status_code < 500, (method, path, answer.text)
            # What was asked for may be said again.
            text = answer.text
            for each in ids.values():
                text = text.replace(each, "")
            leaks += [f"{method} {path}: {each}" for each in secrets - set(ids.values()) if each in text]
    assert leaks == []
    assert await _count(admin, hub) == (40, 8, 1)


async def _collect(admin: Any) -> tuple[dict[str, str], set[str]]:
    """Return ids by the names of parameters, and what must be in no answer to the other."""
    one = "select id::text from {} order by id limit 1"
    contact = await _value(
        admin, "select id::text from crm.contacts where archived_at is null order by id limit 1"
    )
    ids = {
        "record_id": contact,
        "run_id": await _value(admin, one.format("sync.runs")),
        "name": "main",
        "conflict_id": str(uuid4()),
        "key_id": await _value(
            admin, "select coalesce(max(id::text), '00000000-0000-0000-0000-000000000001') from app.api_keys"
        ),
    }
    rows = await admin.execute(
        "select email from crm.contacts where email is not null union all select name from crm.companies"
        " where length(name) > 5 union all select account_id from sync.connections"
        " union all select id::text from crm.contacts union all select id::text from sync.runs"
    )
    return ids, {str(row[0]) for row in await rows.fetchall() if row[0]}


async def _value(admin: Any, statement: str) -> str:
    return str((await (await admin.execute(statement)).fetchone())[0])


def _query(operation: dict[str, Any], ids: dict[str, str]) -> dict[str, str]:
    """Fill what must be given, and whatever names a record or a connection."""
    filled: dict[str, str] = {}
    for each in operation.get("parameters", []):
        if each.get("in") != "query":
            continue
        name = each["name"]
        if name in ("record_id", "record"):
            filled[name] = ids["record_id"]
        elif name == "connection":
            filled[name] = ids["name"]
        elif each.get("required"):
            filled[name] = "example"
    return filled


def _body(operation: dict[str, Any], ids: dict[str, str]) -> Any:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    if "example" not in content:
        return None
    # Whatever id stands in an example becomes one of the other's records.
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", ids["record_id"], json.dumps(content["example"]))
    return json.loads(text)


async def _count(admin: Any, hub: Hub) -> tuple[int, int, int]:
    found = []
    for table in (
        "crm.contacts where archived_at is null and",
        "crm.companies where archived_at is null and",
        "sync.subscriptions where",
    ):
        rows = await admin.execute(f"select count(*) from {table} tenant_id = %s", [hub.tenant_id])
        found.append((await rows.fetchone())[0])
    return tuple(found)
