"""Preparing a database for Syncline: roles, schema, key. What needs an administrator, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from syncline.actions.secret_key import find_keys, key_file, make_key_file
from syncline.config import Settings
from syncline.domain.sealing import new_key
from syncline.errors import Invalid, SettingInvalid
from syncline.store import migrate
from syncline.store.db import connect, list_revisions
from syncline.store.embedded import stop_server
from syncline.store.location import Location, locate_database
from syncline.store.roles import APP, OWNER, READER, inspect_role, prepare_roles, roles_sql
from syncline.store.urls import describe, parse

_EXAMPLE_DATABASE = "syncline"


@dataclass(frozen=True, slots=True)
class Initialized:
    """What `initialize` did. `new_key` is set when the operator has to keep it himself."""

    database: str
    embedded: bool
    created_roles: list[str]
    applied: list[str]
    revision: str
    key_source: str
    new_key: str | None


async def initialize(settings: Settings) -> Initialized:
    """Make the roles, bring the schema up and see that there is a key. Safe to repeat.

    For a database of the user's own, SYNCLINE_ADMIN_DATABASE_URL logs in as its administrator, and the roles
    get the passwords that the other two URLs already hold. Raises `SettingInvalid`, `DatabaseUnsuitable`.
    """
    async with locate_database(settings) as location:
        admin_url = await location.admin_url()
        created = [] if location.embedded is not None else await _make_roles(settings, admin_url)
        applied = await migrate.upgrade(admin_url)
        app_url = await location.app_url()
        await _require_application(app_url, settings)
        source, key = _provide_key(settings, embedded=location.embedded is not None)
        return Initialized(
            database=_name(location, app_url),
            embedded=location.embedded is not None,
            created_roles=created,
            applied=applied,
            revision=list_revisions()[-1],
            key_source=source,
            new_key=key,
        )


def initialization_sql(settings: Settings) -> str:
    """Return what a DBA has to run first: the roles of the database that the settings name."""
    url = settings.admin_database_url or settings.database_url
    name = parse(url.get_secret_value()).get("dbname") if url is not None else None
    return roles_sql(name or _EXAMPLE_DATABASE)


@dataclass(frozen=True, slots=True)
class Migrated:
    """The versions that were applied (or taken back), and where the schema is now (None: nowhere)."""

    database: str
    versions: list[str]
    revision: str | None


async def migrate_up(settings: Settings, target: str = "head") -> Migrated:
    """Apply the missing versions of the schema. Raises `Busy`, `DatabaseUnsuitable`, `SchemaOutdated`."""
    async with locate_database(settings) as location:
        admin_url = await location.admin_url()
        versions = await migrate.upgrade(admin_url, target)
        return Migrated(_name(location, admin_url), versions, await migrate.current(admin_url))


async def migrate_down(settings: Settings, target: str) -> Migrated:
    """Take versions back down to `target`, with everything that the tables of those versions hold."""
    async with locate_database(settings) as location:
        admin_url = await location.admin_url()
        versions = await migrate.downgrade(admin_url, target)
        return Migrated(_name(location, admin_url), versions, await migrate.current(admin_url))


def migration_sql(start: str = "base", target: str = "head") -> str:
    """Return the SQL from one revision to another, for a DBA. Needs no database."""
    return migrate.offline_sql(start=start, target=target)


async def _make_roles(settings: Settings, admin_url: str) -> list[str]:
    async with await connect(admin_url, application_name="syncline init") as conn:
        if conn.info.user == OWNER:
            return []  # a DBA has made the roles, and may have kept the right to do so
        return await prepare_roles(
            conn,
            app_password=_password_of(settings, "database_url", APP),
            reader_password=_password_of(settings, "reader_database_url", READER),
        )


def _password_of(settings: Settings, name: str, role: str) -> str | None:
    """Return the password that a URL gives for one of our roles, so that the role can be given it."""
    secret = getattr(settings, name)
    if secret is None:
        return None
    parts = parse(secret.get_secret_value(), setting=f"SYNCLINE_{name.upper()}")
    # Supabase's pooler wants the project's name behind the role's.
    return parts.get("password") if parts.get("user", "").partition(".")[0] == role else None


async def _require_application(app_url: str, settings: Settings) -> None:
    async with await connect(
        app_url, application_name="syncline init", pooler=settings.database_pooler
    ) as conn:
        await inspect_role(conn)


def _provide_key(settings: Settings, *, embedded: bool) -> tuple[str, str | None]:
    """Return where the key is, and a new one when the operator has to put it somewhere himself."""
    if settings.secret_key is not None:
        return "SYNCLINE_SECRET_KEY", None
    if find_keys(settings):
        return str(key_file(settings.home)), None
    if embedded:
        make_key_file(settings.home)
        return str(key_file(settings.home)), None
    return "SYNCLINE_SECRET_KEY", new_key()


def _name(location: Location, url: str) -> str:
    if location.embedded is not None:
        return "the embedded Postgres"
    try:
        return describe(url)
    except SettingInvalid:
        return "the database"


async def stop_embedded(settings: Settings, *, force: bool) -> bool:
    """Stop the embedded Postgres; False when it was not running. Raises `Busy` while programs use it."""
    if settings.database_url is not None:
        raise Invalid("SYNCLINE_DATABASE_URL names a server of your own, which is not ours to stop.")
    if not (settings.home / "postgres").is_dir():
        return False
    return await stop_server(settings.home, even_if_used=force)
