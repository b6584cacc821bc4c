"""Where a CRM's database is: the base URL taken apart, without ever repeating it. Does no I/O."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from syncline.errors import SettingInvalid

_EXAMPLE = "postgresql://user@db.example.com:5432/database?sslmode=require"
#: What may stand behind the question mark; all else could hold a password, or a file of this machine.
_PARAMETERS = frozenset({"sslmode", "connect_timeout", "pool_mode", "pgbouncer", "channel_binding"})
#: The ports on which transaction-mode poolers listen by custom: pgbouncer's own and Supabase's.
_POOLER_PORTS = frozenset({6432, 6543})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SSL_MODES = frozenset({"disable", "prefer", "require", "verify-ca", "verify-full"})
#: Without these a server that vanished holds its caller for as long as TCP likes to wait.
_DEFAULTS = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "application_name": "syncline",
    "client_encoding": "UTF8",
}


@dataclass(frozen=True, slots=True)
class Address:
    """A database as one role, without the password."""

    host: str
    port: int
    database: str
    user: str = field(repr=False)
    parameters: dict[str, str] = field(default_factory=dict[str, str])
    #: True behind a transaction-mode pooler: nothing outlives a transaction, so there is no LISTEN.
    pooled: bool = False

    @property
    def label(self) -> str:
        """Host, port and database for messages: never the user's name."""
        return f"{self.host}:{self.port}/{self.database}"

    @property
    def digest(self) -> str:
        """Stands for the database where the server tells nothing better."""
        return hashlib.sha256(self.label.encode()).hexdigest()[:16]

    def arguments(self, password: str) -> dict[str, str]:
        """Return what the driver connects by."""
        return {
            **_DEFAULTS,
            **self.parameters,
            "host": self.host,
            "port": str(self.port),
            "dbname": self.database,
            "user": self.user,
            "password": password,
        }


def read_address(base_url: str) -> Address:
    """Take a base URL apart. Raises `SettingInvalid`, which never repeats it."""
    try:
        parts = urlsplit(base_url)
        port = parts.port or 5432
    except ValueError:
        raise SettingInvalid(f"The base URL must look like {_EXAMPLE}.") from None
    database = unquote(parts.path.removeprefix("/"))
    user, host = unquote(parts.username or ""), parts.hostname or ""
    malformed = parts.scheme not in {"postgresql", "postgres"} or "@" in host or "/" in database
    if malformed or not host or not user or not database or parts.fragment or "," in parts.netloc:
        raise SettingInvalid(f"The base URL must look like {_EXAMPLE}, with a user, one host and a database.")
    asked = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.password is not None or "password" in asked:
        raise SettingInvalid(
            "The base URL must not contain a password. Leave it out, and give the password as the token."
        )
    unknown = sorted(set(asked) - _PARAMETERS)
    if unknown:
        raise SettingInvalid(
            f"The base URL has parameters that are not known here. Known: {', '.join(sorted(_PARAMETERS))}."
        )
    if asked.get("sslmode", "prefer") not in _SSL_MODES:
        raise SettingInvalid(f"sslmode must be one of {', '.join(sorted(_SSL_MODES))}.")
    if not asked.get("connect_timeout", "10").isdigit():
        raise SettingInvalid("connect_timeout must be a number of seconds.")
    pool_mode = asked.pop("pool_mode", None)
    pgbouncer = asked.pop("pgbouncer", "").lower() in {"true", "1"}
    if host not in _LOOPBACK:
        # On the way there lie a password and people's data; whoever has no TLS has to say so.
        asked.setdefault("sslmode", "require")
    pooled = pgbouncer or port in _POOLER_PORTS if pool_mode is None else pool_mode == "transaction"
    return Address(host, port, database, user, asked, pooled)
