"""A psql session on one tenant's data: read-only as an analyst, or as the schema's owner to mend it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from syncline.actions.hub import DEFAULT_TENANT
from syncline.config import Settings
from syncline.store.db import connect
from syncline.store.location import locate_database
from syncline.store.psql import psql_command, require_options
from syncline.store.roles import OWNER
from syncline.store.tenants import get_tenant


@dataclass(frozen=True, slots=True)
class PsqlCall:
    """A command line and its environment. The password is in the environment only."""

    command: list[str]
    environment: Mapping[str, str] = field(repr=False)


@asynccontextmanager
async def prepare_psql(
    settings: Settings, arguments: Sequence[str], *, tenant: str = DEFAULT_TENANT, as_owner: bool = False
) -> AsyncGenerator[PsqlCall]:
    """Return how to start psql; the embedded server stays up for the length of the block.

    Raises `SettingInvalid` where the URL of the role is not set, `DatabaseUnsuitable` where it leads through
    a pooler, `NotFound` for an unknown tenant.
    """
    async with locate_database(settings) as location:
        url = await (location.admin_url() if as_owner else location.reader_url())
        # The reader may not ask for tenants by name; the application may.
        async with await connect(await location.app_url(), pooler=settings.database_pooler) as conn:
            tenant_id = (await get_tenant(conn, tenant)).tenant_id
        if location.embedded is None:
            setting = "SYNCLINE_ADMIN_DATABASE_URL" if as_owner else "SYNCLINE_READER_DATABASE_URL"
            await require_options(url, tenant_id=tenant_id, setting=setting)
        command, environment = psql_command(url, tenant_id=tenant_id, postgres_bin=settings.postgres_bin)
        if as_owner:
            environment["PGOPTIONS"] += f" -c role={OWNER}"
        yield PsqlCall([*command, *arguments], environment)
