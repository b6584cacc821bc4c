"""An imitated Supabase project as tests handle it: its addresses, and commands run in its surroundings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from command_line import Answer, Crm, syncline

from syncline.store.roles import APP, READER
from syncline.store.urls import make_url

#: Each needs its own quoting somewhere on the way.
PASSWORDS = {"postgres": "p@ss/word", APP: "a'b\\c %d", READER: "r:e#a?d", "authenticator": "auth"}
#: What the hosted service calls the one database there is.
DATABASE = "postgres"


@dataclass(frozen=True, slots=True)
class Project:
    """A database whose administrator is no superuser, reached directly and through two poolers."""

    direct_port: int
    session_port: int
    transaction_port: int
    superuser: str = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)

    def url(self, role: str, *, port: int | None = None, database: str = DATABASE) -> str:
        return make_url(
            user=role,
            password=PASSWORDS[role],
            host="127.0.0.1",
            port=port or self.direct_port,
            database=database,
        )

    def run(self, *arguments: str, **changes: str) -> Answer:
        """Run a command in this project's surroundings; a change to "" takes a setting away."""
        environment = {**self.environment, **{f"SYNCLINE_{k.upper()}": v for k, v in changes.items()}}
        return syncline({k: v for k, v in environment.items() if v}, *arguments)


@dataclass(frozen=True, slots=True)
class Synced:
    project: Project
    crm: Crm
    #: What the first, full sync said.
    first: Answer
