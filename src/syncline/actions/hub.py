"""An opened installation: settings, database, tenant and key, as every action needs them.

Refuses an older or newer schema and a role that row-level security would not hold. Knows no command line.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from syncline.actions.secret_key import find_keys, require_keys
from syncline.config import Settings
from syncline.domain.sealing import Vault
from syncline.engine.remotes import Remotes
from syncline.errors import NotFound
from syncline.store import connections, tenants
from syncline.store.connections import Connection
from syncline.store.db import Database, require_current_schema
from syncline.store.location import Location, locate_database
from syncline.store.roles import inspect_role
from syncline.store.tenants import Tenant

#: The tenant that the first migration makes, and that is meant where none is named.
DEFAULT_TENANT = "default"


@dataclass(frozen=True, slots=True)
class Hub:
    """One installation, opened for one tenant."""

    settings: Settings
    location: Location
    db: Database
    tenant: Tenant

    @property
    def tenant_id(self) -> UUID:
        return self.tenant.tenant_id

    @property
    def is_embedded(self) -> bool:
        return self.location.embedded is not None

    def vault(self) -> Vault:
        """Return what opens the stored credentials; the embedded set-up makes its key at first need.

        Raises `SettingInvalid` where a key has to be given and is not.
        """
        keys = require_keys(self.settings, embedded=self.is_embedded)
        return Vault(keys, lambda: find_keys(self.settings))

    @asynccontextmanager
    async def remotes(self, ending: asyncio.Event | None = None) -> AsyncGenerator[Remotes]:
        """Open what leads to the CRMs for the length of the block; `ending` as in `Remotes`."""
        async with Remotes(self.db, self.vault(), ending) as remotes:
            yield remotes

    async def list_connections(self, names: Sequence[str] = ()) -> list[Connection]:
        """Return the connections called `names`, or all of the tenant. Raises `NotFound`."""
        async with self.db.transaction(tenant_id=self.tenant_id) as conn:
            found = await connections.list_all(conn, tenant_id=self.tenant_id)
        if not names:
            return found
        by_name = {each.name: each for each in found}
        for name in names:
            if name not in by_name:
                raise NotFound(_no_connection(name, list(by_name)))
        return [by_name[name] for name in dict.fromkeys(names)]

    async def get_connection(self, name: str) -> Connection:
        """Return a connection by name. Raises `NotFound`, saying which exist."""
        return (await self.list_connections([name]))[0]


@asynccontextmanager
async def open_hub(
    settings: Settings, *, tenant: str = DEFAULT_TENANT, application_name: str = "syncline"
) -> AsyncGenerator[Hub]:
    """Open the installation that the settings describe, for the length of the block.

    Raises `DatabaseUnreachable`, `DatabaseUnsuitable`, `SchemaOutdated`, `RoleUnsuitable`, `HomeUnusable`
    or `SettingInvalid`, and `NotFound` for an unknown tenant; each says what to do.
    """
    async with (
        locate_database(settings) as location,
        Database.open(
            location.app_url,
            application_name=application_name,
            max_size=settings.pool_size,
            pooler=settings.database_pooler,
        ) as db,
    ):
        async with db.statement() as conn:
            await require_current_schema(conn)
            await inspect_role(conn)
            found = await tenants.get_tenant(conn, tenant)
        yield Hub(settings, location, db, found)


def _no_connection(name: str, known: list[str]) -> str:
    if not known:
        return f"There is no connection called {name!r}, nor any other. Make one: `syncline connect`."
    return f"There is no connection called {name!r}. There are: {', '.join(known)}."
