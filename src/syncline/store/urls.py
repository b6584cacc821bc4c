"""Database URLs: whose they are, what may be said of them aloud, and whether a pooler stands before them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, quote

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from syncline.errors import SettingInvalid

#: A URL, or what gives the URL of the moment (the embedded server may come back on another port).
UrlSource = str | Callable[[], Awaitable[str]]

#: The ports on which transaction-mode poolers listen by custom: pgbouncer's own and Supabase's.
_POOLER_PORTS = frozenset({"6432", "6543"})
#: URL parameters that are meant for us and that libpq would refuse.
_OWN_PARAMETERS = frozenset({"pool_mode", "pgbouncer"})


@dataclass(frozen=True, slots=True)
class DatabaseUrls:
    """One database of the embedded server, by role. `repr` shows nothing: there are passwords inside."""

    #: The application: owns nothing and is held by row-level security.
    app: str = field(repr=False)
    #: `syncline_owner`: migrates, backs up, erases.
    admin: str = field(repr=False)
    #: Reads only.
    reader: str = field(repr=False)
    #: The server's own administrator, who makes databases and roles.
    superuser: str = field(repr=False)


def make_url(*, user: str, password: str, host: str, port: int, database: str) -> str:
    """Return a postgresql:// URL with every part quoted."""
    return (
        f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}"
        f"@{host}:{port}/{quote(database, safe='')}"
    )


def with_database(url: str, database: str) -> str:
    """Return `url` pointing to another database of the same server, as the same role."""
    base, question, query = url.partition("?")
    scheme, _, rest = base.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/{quote(database, safe='')}{question}{query}"


def for_driver(url: str) -> str:
    """Return `url` without the parameters that only Syncline understands."""
    base, _, query = url.partition("?")
    kept = [pair for pair in query.split("&") if pair and pair.partition("=")[0] not in _OWN_PARAMETERS]
    return f"{base}?{'&'.join(kept)}" if kept else base


def describe(url: str) -> str:
    """Return host, port and database of `url` for messages: never the user's name or password."""
    try:
        parts = parse(url)
    except SettingInvalid:
        return "an unreadable URL"
    return f"{parts.get('host') or 'localhost'}:{parts.get('port') or 5432}/{parts.get('dbname') or ''}"


def parse(url: str, *, setting: str = "SYNCLINE_DATABASE_URL") -> dict[str, str]:
    """Return the driver's parameters of `url`. Raises `SettingInvalid`, which never repeats the URL."""
    try:
        parts = {k: str(v) for k, v in conninfo_to_dict(for_driver(url)).items() if v is not None}
    except (ProgrammingError, ValueError):
        parts = {"port": "unreadable"}
    # A password with an unwritten @ or / ends up in these, and from there in messages.
    misplaced = "@" in parts.get("host", "") or "@" in parts.get("dbname", "")
    if misplaced or not parts.get("port", "5432").replace(",", "").isdigit():
        raise SettingInvalid(
            f"{setting} is not a valid Postgres URL. It looks like "
            "postgresql://USER:PASSWORD@HOST:5432/DATABASE; characters such as @ : / # in the password are "
            "written %40 %3A %2F %23."
        )
    return parts


def uses_transaction_pooler(url: str, setting: Literal["auto", "none", "transaction"] = "auto") -> bool:
    """Tell whether consecutive transactions may run on different server connections.

    The setting decides unless it is `auto`; then `pool_mode=transaction` (or Supabase's `pgbouncer=true`)
    in the URL does, and last the ports 6432 (pgbouncer) and 6543 (Supabase). Through such a pooler no
    statement is prepared and nothing outlives a transaction: no LISTEN, no session setting.
    """
    if setting != "auto":
        return setting == "transaction"
    asked = dict(parse_qsl(url.partition("?")[2]))
    if "pool_mode" in asked:
        return asked["pool_mode"] == "transaction"
    if asked.get("pgbouncer", "").lower() in {"true", "1"}:
        return True
    return not _POOLER_PORTS.isdisjoint(parse(url).get("port", "").split(","))
