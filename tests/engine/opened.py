"""A mirror of a simulated account together with an opened installation, for what actions do with both."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from psycopg import sql
from pydantic import SecretStr
from simulated import Mirror, mirror_of

from syncline.actions.hub import Hub, open_hub
from syncline.config import Settings
from syncline.domain.sealing import Vault, new_key
from syncline.simulators.hubspot import World

#: Tables that say how the machinery is doing, not what is known.
_RESTLESS = ("sync.leases", "sync.quota_%", "sync.workers", "jobs.%", "app.tenant_calls")


@asynccontextmanager
async def opened(world: World, settings: Settings) -> AsyncGenerator[tuple[Hub, Mirror]]:
    """Open an installation, and connect the account as `main`, for the length of the block."""
    key = new_key()
    keyed = settings.model_copy(update={"secret_key": SecretStr(key)})
    async with (
        open_hub(keyed, application_name="test") as hub,
        mirror_of(world, hub.db, keyed, hub.tenant_id, vault=Vault([key])) as mirror,
    ):
        yield hub, mirror


async def everything(mirror: Mirror) -> dict[str, Any]:
    """Return the content of every table as one sum each, but of those that say how the machinery is.

    Tables that the application may only reach through functions are left out.
    """
    tables = await mirror.select(
        "select n.nspname as schema, c.relname as name from pg_class c join pg_namespace n"
        " on n.oid = c.relnamespace where c.relkind in ('r', 'p') and not c.relispartition"
        " and n.nspname in ('app', 'crm', 'sync', 'raw') and has_table_privilege(c.oid, 'select')"
        " and not n.nspname || '.' || c.relname like any(%(restless)s::text[])",
        restless=list(_RESTLESS),
    )
    sums: dict[str, Any] = {}
    for table in tables:
        statement = sql.SQL(
            "select count(*), md5(string_agg(md5(t::text), '' order by md5(t::text))) as sum from {} t"
        ).format(sql.Identifier(table["schema"], table["name"]))
        [sums[f"{table['schema']}.{table['name']}"]] = await mirror.select(statement)
    return sums
