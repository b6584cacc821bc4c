"""No page tells one tenant anything of another, or changes it: every route is called with its ids."""

from __future__ import annotations

import re
from typing import Any, LiteralString
from uuid import UUID

import httpx2
import pytest
from fastapi.routing import APIRoute
from site_process import REP
from visiting import Site, enter, find_token

from syncline.web.app import ROUTERS

pytestmark = pytest.mark.anyio

#: They end the session or the tenant that the test goes by, or do not end by themselves.
_PASSED_OVER = frozenset({"/sign-out", "/tenant", "/live", "/sign-in"})
_SUBSCRIPTION = UUID("01900000-0000-7000-8000-0000000000b1")
_STATE: tuple[LiteralString, ...] = (
    # What its CRM says goes on meanwhile.
    "select count(*) from crm.change_log where tenant_id = %(tenant)s and source = 'web'",
    "select count(*) from crm.contacts where tenant_id = %(tenant)s and archived_at is null",
    "select count(*) from sync.conflicts where tenant_id = %(tenant)s and resolved_by is not null",
    "select count(*) from sync.runs where tenant_id = %(tenant)s and requested_by = 'ada@example.com'",
    "select name, status, settings::text from sync.connections where tenant_id = %(tenant)s",
    "select name, url, status from sync.subscriptions where tenant_id = %(tenant)s",
    "select user_id, role, is_active from app.memberships where tenant_id = %(tenant)s order by user_id",
    "select count(*) from sync.erasures where tenant_id = %(tenant)s",
    "select subject, keep_days from app.retention where tenant_id = %(tenant)s order by subject",
)


async def test_no_page_tells_or_changes_anything_of_another_tenant(own_site: Site) -> None:
    ids, told = _collect(own_site)
    before = _state(own_site, ids["tenant"])
    leaks: list[str] = []
    async with httpx2.AsyncClient(base_url=own_site.url, timeout=60) as client:
        token = await enter(client)
        await client.post("/tenant", data={"csrf_token": token, "tenant": ids["empty"], "next": "/"})
        token = await find_token(client)
        for method, path in _routes():
            concrete = re.sub(r"\{(\w+)(:\w+)?\}", lambda part: ids.get(part[1], ids["record_id"]), path)
            form = {**_form(ids), "csrf_token": token}
            answer = await client.request(method, concrete, data=form if method == "POST" else None)
            assert answer.status_code < 500, (method, concrete, answer.text[:500])
            text = answer.text + str(answer.headers)
            # What was asked for may be said again.
            for each in ids.values():
                text = text.replace(each, "")
            leaks += [f"{method} {path}: {each}" for each in told if each in text]
    assert leaks == []
    assert _state(own_site, ids["tenant"]) == before


def _routes() -> list[tuple[str, str]]:
    found = [
        (method, route.path)
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and route.path not in _PASSED_OVER
        for method in route.methods or ()
    ]
    assert len(found) > 100
    # What only looks comes first.
    return sorted(set(found))


def _collect(site: Site) -> tuple[dict[str, str], set[str]]:
    """Return the filled tenant's ids by the names of parameters, and what no answer may hold."""
    tenants = dict(site.execute("select slug, tenant_id::text from app.tenants"))
    filled = tenants["default"]
    site.execute(
        "insert into sync.subscriptions (tenant_id, id, name, url, secret, events, record_types, told_since,"
        " created_by, created_at, updated_at) values (%(tenant)s, %(id)s, 'told of the filled one',"
        " 'https://hooks.example.com/filled', '\\x00', '{}', '{}', now(), 'test', now(), now())",
        tenant=filled,
        id=_SUBSCRIPTION,
    )
    contact = _one(site, "select id::text from crm.contacts where archived_at is null order by id limit 1")
    ids = {
        "tenant": filled,
        "empty": tenants["empty"],
        "record_id": contact,
        "one": contact,
        "other": _one(site, "select id::text from crm.contacts order by id desc limit 1"),
        "run_id": _one(site, "select id::text from sync.runs order by id limit 1"),
        "conflict_id": _one(site, "select id::text from sync.conflicts where status = 'open' limit 1"),
        "user_id": _one(site, "select id::text from app.users where email = %(email)s", email=REP),
        "subscription_id": str(_SUBSCRIPTION),
        "deal": _one(site, "select id::text from crm.deals limit 1"),
        "stage": _one(site, "select id::text from crm.stages limit 1"),
        "name": "acme",
        "connection": "acme",
        "object_name": "contacts",
        "platform": "hubspot",
    }
    rows = site.execute(
        "select email from crm.contacts where email is not null union select name from crm.companies"
        " where length(name) > 5 union select id::text from crm.contacts union select id::text from sync.runs"
        " union select id::text from sync.conflicts union select account_id from sync.connections"
        " union select 'told of the filled one' union select %(rep)s",
        rep=REP,
    )
    return ids, {str(row[0]) for row in rows if row[0]} - set(ids.values())


def _one(site: Site, statement: str, **values: Any) -> str:
    return str(site.execute(statement, **values)[0][0])


def _form(ids: dict[str, str]) -> dict[str, str]:
    """Return what forms name things of a tenant by."""
    return {
        "id": ids["record_id"],
        "record_id": ids["record_id"],
        "who": ids["record_id"],
        "confirm": ids["record_id"],
        "deal": ids["deal"],
        "stage": ids["stage"],
        "survivor": ids["one"],
        "connection": ids["connection"],
        "object": ids["object_name"],
        "field": "first_name",
        f"choice:{ids['conflict_id']}": "ours",
        "side": "ours",
        "contact_id": ids["record_id"],
        "first_name": "Somebody",
        "following": "here",
    }


def _state(site: Site, tenant: str) -> list[Any]:
    return [site.execute(each, tenant=tenant) for each in _STATE]
