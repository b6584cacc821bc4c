"""The three database roles: who may create, who may work, who may only look.

Knows Postgres roles; migrations only grant to these names, and only an administrator creates them.
"""

from __future__ import annotations

from typing import Any, LiteralString

from psycopg import AsyncConnection, errors, sql

from syncline.errors import DatabaseUnsuitable, RoleUnsuitable

#: Owns the schemas and runs the migrations. Never a superuser.
OWNER = "syncline_owner"
#: The application: owns nothing, is no superuser and is held by row-level security.
APP = "syncline_app"
#: Analysts and `syncline psql`: reads only.
READER = "syncline_reader"

_ROLES = (OWNER, APP, READER)
#: Keeps two set-ups from creating the same role at once.
_LOCK = 6_032_718_113

_GRANTS: tuple[LiteralString, ...] = (
    "grant {owner} to current_user",
    "grant connect, create, temporary on database {database} to {owner}",
    "grant connect, temporary on database {database} to {app}",
    "grant connect on database {database} to {reader}",
    "alter role {reader} set default_transaction_read_only = on",
    # By role, not by session: a transaction-mode pooler keeps no session.
    "alter role {owner} set timezone = 'UTC'",
    "alter role {app} set timezone = 'UTC'",
    "alter role {reader} set timezone = 'UTC'",
)

_MISSING_ROLES = """
select name from unnest(%(names)s::text[]) with ordinality as wanted (name, position)
where not exists (select from pg_catalog.pg_roles where rolname = name)
order by position
"""


async def prepare_roles(
    conn: AsyncConnection[Any],
    *,
    app_password: str | None = None,
    reader_password: str | None = None,
    owner_password: str | None = None,
) -> list[str]:
    """Create the roles that are missing, let them into the current database, and return what was created.

    `conn` belongs to an administrator: a superuser, or a role with CREATEROLE that owns the database
    (Supabase's `postgres`), who becomes a member of `syncline_owner`. A password that is given is set, also
    for an existing role; without one the application and the reader cannot log in yet. Idempotent, and safe
    to run twice at once. Passwords leave this process only as SCRAM verifiers.
    Raises `DatabaseUnsuitable` when `conn` may not do this.
    """
    created = await create_roles(
        conn, app_password=app_password, reader_password=reader_password, owner_password=owner_password
    )
    await admit_roles(conn)
    return created


async def create_roles(
    conn: AsyncConnection[Any],
    *,
    app_password: str | None = None,
    reader_password: str | None = None,
    owner_password: str | None = None,
) -> list[str]:
    """Create the missing roles of the server and set the given passwords. See `prepare_roles`."""
    passwords = {OWNER: owner_password, APP: app_password, READER: reader_password}
    try:
        async with conn.transaction():
            await _lock(conn)
            cursor = await conn.execute(_MISSING_ROLES, {"names": list(_ROLES)})
            missing = [str(row[0]) for row in await cursor.fetchall()]
            for name in missing:
                await conn.execute(_create_statement(name))
            for name, password in passwords.items():
                if password is not None:
                    await conn.execute(_password_statement(conn, name, password))
    except errors.InsufficientPrivilege as exc:
        raise _not_allowed() from exc
    return missing


_MAY_CREATE = """
select pg_catalog.has_database_privilege(%(owner)s, pg_catalog.current_database(), 'create')
"""


async def admit_roles(conn: AsyncConnection[Any]) -> None:
    """Let the roles into the database of `conn`. Idempotent. See `prepare_roles`."""
    try:
        async with conn.transaction():
            await _lock(conn)
            for statement in _GRANTS:
                await conn.execute(_compose(statement, conn.info.dbname))
            # Who has a right without the right to pass it on is only warned by GRANT.
            row = await (await conn.execute(_MAY_CREATE, {"owner": OWNER})).fetchone()
            if row != (True,):
                raise _not_allowed()
    except errors.InsufficientPrivilege as exc:
        raise _not_allowed() from exc


def roles_sql(database: str) -> str:
    """Return what `prepare_roles` does as text for a DBA, who sets the passwords afterwards."""
    lines = [f"-- Run once in the database {database} as a superuser, or as its owner with CREATEROLE."]
    lines += [_create_statement(name).as_string() + ";" for name in _ROLES]
    lines += [_compose(statement, database).as_string() + ";" for statement in _GRANTS]
    lines += [f"-- Then give each login its password, in psql: \\password {name}" for name in (APP, READER)]
    return "\n".join(lines) + "\n"


async def require_roles(conn: AsyncConnection[Any]) -> None:
    """Raise `DatabaseUnsuitable` when a role is missing on the server of `conn`."""
    cursor = await conn.execute(_MISSING_ROLES, {"names": list(_ROLES)})
    missing = [str(row[0]) for row in await cursor.fetchall()]
    if missing:
        raise DatabaseUnsuitable(
            f"The server lacks the role {missing[0]}. Run `syncline init` as an administrator first."
        )


_INSPECT_ROLE = """
select r.rolsuper, r.rolbypassrls,
  (select n.nspname || '.' || c.relname
   from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
   where n.nspname in ('app', 'crm', 'sync', 'raw') and c.relkind in ('r', 'p')
     and pg_catalog.pg_has_role(current_user, c.relowner, 'usage')
   limit 1)
from pg_catalog.pg_roles r where r.rolname = current_user
"""


async def inspect_role(conn: AsyncConnection[Any]) -> None:
    """Raise `RoleUnsuitable` when row-level security would not hold the role of `conn`."""
    cursor = await conn.execute(_INSPECT_ROLE)
    row = await cursor.fetchone()
    superuser, bypasses, owned = row or (False, False, None)
    if superuser:
        reason = "is a superuser"
    elif bypasses:
        reason = "has BYPASSRLS"
    elif owned:
        reason = f"owns {owned} or is a member of its owner"
    else:
        return
    raise RoleUnsuitable(
        f"The role {conn.info.user} {reason}, so row-level security would not hold it. "
        f"Let SYNCLINE_DATABASE_URL log in as {APP}; `syncline init` creates that role."
    )


_LOCK_ROLES = "select pg_catalog.pg_advisory_xact_lock(%(lock)s)"


async def _lock(conn: AsyncConnection[Any]) -> None:
    await conn.execute(_LOCK_ROLES, {"lock": _LOCK})


def _create_statement(name: str) -> sql.Composed:
    login: LiteralString = "nologin" if name == OWNER else "login"
    return sql.SQL("create role {} {}").format(sql.Identifier(name), sql.SQL(login))


def _password_statement(conn: AsyncConnection[Any], name: str, password: str) -> sql.Composed:
    verifier = conn.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
    return sql.SQL("alter role {} login password {}").format(sql.Identifier(name), sql.Literal(verifier))


def _compose(statement: LiteralString, database: str) -> sql.Composed:
    return sql.SQL(statement).format(
        owner=sql.Identifier(OWNER),
        app=sql.Identifier(APP),
        reader=sql.Identifier(READER),
        database=sql.Identifier(database),
    )


def _not_allowed() -> DatabaseUnsuitable:
    return DatabaseUnsuitable(
        "The administrator's role may not create roles or admit them to this database. Let "
        "SYNCLINE_ADMIN_DATABASE_URL log in as the database's owner with CREATEROLE, or have a DBA run the "
        "statements that `syncline init --sql` prints."
    )
