"""`syncline user`: who may sign in, and as what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from syncline.actions.hub import DEFAULT_TENANT, Hub, open_hub
from syncline.actions.password_links import FIRST_LINK, reset_person, set_password_of
from syncline.actions.people import (
    PersonChange,
    add_person,
    change_person,
    find_person_by_email,
    list_people,
    set_active_everywhere,
    set_operator,
)
from syncline.cli.options import AsJson, Tenant
from syncline.cli.output import add_row, make_table, open_console, print_json, show_ago
from syncline.cli.passwords import PasswordStdin, base_url, link_for, read_password
from syncline.cli.person import operator
from syncline.cli.running import run
from syncline.clock import now
from syncline.config import Settings
from syncline.store.memberships import Person

T = TypeVar("T")

group = typer.Typer(no_args_is_help=True)

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="Whose.")]
Operator = Annotated[
    bool | None,
    typer.Option("--operator/--no-operator", help="May make tenants and suspend them, whatever the role."),
]

Everywhere = Annotated[bool, typer.Option("--everywhere", help="In all tenants at once.")]


@group.callback()
def _group() -> None:  # pyright: ignore[reportUnusedFunction] - registered by its decorator
    """People who sign in to the web application, and their role in a tenant: rep, manager or admin."""


@group.command("add")
def add_command(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="Their address.")],
    name: Annotated[
        str, typer.Option("--name", help="Their name; what stands before the @ if left out.")
    ] = "",
    role: Annotated[str, typer.Option("--role", help="rep, manager or admin.")] = "rep",
    operator_too: Annotated[
        bool, typer.Option("--operator", help="May make tenants and suspend them.")
    ] = False,
    password_stdin: PasswordStdin = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Take somebody into a tenant, without an invitation. Prints the link where they set their password."""
    password = read_password(password_stdin)

    async def act(hub: Hub) -> str | None:
        added = await add_person(
            hub,
            operator(hub),
            email,
            name or email.partition("@")[0],
            role,
            password=password,
            operator=operator_too,
        )
        return None if added.token is None else link_for(hub, added.token)

    link = _in(tenant, act)
    console = open_console()
    console.print(f"{email} is in the tenant {tenant} now, as {role}.", markup=False)
    if link is not None:
        console.print(f"They set their password here, within {FIRST_LINK.days} days:")
        console.print(f"\n    {link}\n", markup=False, soft_wrap=True)


@group.command("list")
def list_command(as_json: AsJson = False, tenant: Tenant = DEFAULT_TENANT) -> None:
    """List everybody of a tenant."""

    async def act(hub: Hub) -> list[Person]:
        return await list_people(hub, operator(hub))

    found = _in(tenant, act)
    if as_json:
        print_json(found)
        return
    at = now()
    table = make_table("name", "address", "role", "", "last seen")
    for each in found:
        state = "" if each.is_active else "off"
        if each.is_active and not each.has_password:
            state = "no password yet"
        add_row(table, (each.full_name, each.email, each.role, state, show_ago(each.last_login_at, at)))
    open_console().print(table)


@group.command("role")
def role_command(
    email: Email,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="rep, manager or admin.")],
    operator_too: Operator = None,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Give somebody another role. It holds from their next request on."""

    async def act(hub: Hub) -> Person:
        known = await find_person_by_email(hub, operator(hub), email)
        changed = await change_person(hub, operator(hub), known.id, PersonChange(role=role))
        if operator_too is not None:
            await set_operator(hub, operator(hub), known.id, is_operator=operator_too)
        return changed

    done = _in(tenant, act)
    open_console().print(f"{done.email} is {done.role} in the tenant {tenant}.", markup=False)


@group.command("deactivate")
def deactivate_command(email: Email, everywhere: Everywhere = False, tenant: Tenant = DEFAULT_TENANT) -> None:
    """Let somebody into a tenant no more: their sessions there end at once, and keys they made stop."""
    _switch(email, tenant, is_active=False, everywhere=everywhere)


@group.command("activate")
def activate_command(email: Email, everywhere: Everywhere = False, tenant: Tenant = DEFAULT_TENANT) -> None:
    """Let somebody in again."""
    _switch(email, tenant, is_active=True, everywhere=everywhere)


@group.command("password")
def password_command(
    email: Email, password_stdin: PasswordStdin = False, tenant: Tenant = DEFAULT_TENANT
) -> None:
    """Send somebody a link for a new password, or print it where no mail can be sent."""
    password = read_password(password_stdin)

    async def act(hub: Hub) -> str | None:
        known = await find_person_by_email(hub, operator(hub), email)
        if password is not None:
            await set_password_of(hub, operator(hub), known.id, password)
            return "The password is set, and every session of theirs has ended."
        sent = await reset_person(hub, operator(hub), known.id, base_url=base_url(hub), lasts=FIRST_LINK)
        if sent.mailed:
            return f"A link was mailed to {known.email}."
        return f"They set their password here, within {FIRST_LINK.days} days:\n\n    {sent.link}\n"

    open_console().print(_in(tenant, act), markup=False, soft_wrap=True)


def _switch(email: str, tenant: str, *, is_active: bool, everywhere: bool) -> None:
    async def act(hub: Hub) -> Person:
        known = await find_person_by_email(hub, operator(hub), email)
        if everywhere:
            return await set_active_everywhere(hub, operator(hub), known.id, is_active=is_active)
        return await change_person(hub, operator(hub), known.id, PersonChange(is_active=is_active))

    done = _in(tenant, act)
    state = "may come in to" if done.is_active else "is kept out of"
    open_console().print(f"{done.email} {state} the tenant {tenant}.", markup=False)


def _in(tenant: str, act: Callable[[Hub], Awaitable[T]]) -> T:
    async def start(settings: Settings) -> T:
        async with open_hub(settings, tenant=tenant) as hub:
            return await act(hub)

    return run(start)
