"""People for tests: whoever runs the installation, and colleagues with a role in a tenant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from syncline.actions.access import Session, identify_session, sign_in
from syncline.actions.hub import Hub
from syncline.actions.people import add_person
from syncline.actions.tenants import create_tenant
from syncline.domain.callers import Caller, Role

PASSWORD = "four words of theirs"
HOME = "192.0.2.1"


def operator(hub: Hub) -> Caller:
    """Whoever types commands."""
    return Caller(hub.tenant_id, "admin", "somebody", "cli", is_operator=True)


async def make_tenant(hub: Hub, slug: str) -> Hub:
    """Make a tenant and return the installation as it sees it."""
    return replace(hub, tenant=await create_tenant(hub, operator(hub), slug, slug.title()))


async def add(hub: Hub, name: str, role: Role = "rep", **more: Any) -> str:
    """Take somebody in and return their address; their password is `PASSWORD`."""
    email = f"{name}@example.com"
    await add_person(hub, operator(hub), email, name.title(), role, password=PASSWORD, **more)
    return email


async def enter(hub: Hub, email: str, password: str = PASSWORD, *, address: str = HOME) -> str:
    """Sign somebody in and return their session's token."""
    return await sign_in(hub, email, password, address=address, user_agent="a browser")


async def session_of(hub: Hub, token: str) -> Session:
    return await identify_session(hub, token, address=HOME, csrf=None, source="web")


async def caller_of(hub: Hub, name: str, role: Role = "rep", **more: Any) -> Caller:
    """Take somebody in, sign them in, and return them as actions know them."""
    return (await session_of(hub, await enter(hub, await add(hub, name, role, **more)))).caller
