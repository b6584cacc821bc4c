"""Brakes: a run that would write more to a CRM than is usual is held back until a person lets it go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from syncline.clock import now
from syncline.engine.remotes import Remote
from syncline.errors import SettingInvalid
from syncline.store import overrides, queue
from syncline.store.db import Database
from syncline.store.queue import Waiting

#: How many rows are let through between two looks at what waits.
_LOOK_EVERY = 1_000


@dataclass(frozen=True, slots=True)
class Limit:
    """A run is held when it would go beyond both: a few changes in a small account are no accident."""

    count: int
    #: Of the records of that kind which the connection's CRM has, 0 to 1.
    share: float


DEFAULTS = {"create": Limit(100, 0.25), "change": Limit(100, 0.25), "delete": Limit(20, 0.05)}
_WORDS = {"create": "make", "change": "change", "delete": "archive"}


@dataclass(frozen=True, slots=True)
class Stop:
    record_type: str
    object_name: str
    reason: str
    held: int


def read_limits(settings: dict[str, Any]) -> dict[str, Limit]:
    """Return the limits of a connection: `brakes` of its settings over the defaults.

    Raises `SettingInvalid` for what is no limit.
    """
    limits = dict(DEFAULTS)
    given = settings.get("brakes")
    if not isinstance(given, dict):
        return limits
    for kind, values in cast("dict[str, Any]", given).items():
        if kind not in DEFAULTS or not isinstance(values, dict):
            raise SettingInvalid(f"There is no brake {kind!r}. Brakes are create, change and delete.")
        limit = cast("dict[str, Any]", values)
        count, share = limit.get("count", DEFAULTS[kind].count), limit.get("share", DEFAULTS[kind].share)
        if (
            not isinstance(count, int)
            or not isinstance(share, int | float)
            or count < 0
            or not 0 <= share <= 1
        ):
            raise SettingInvalid(f"The brake {kind!r} needs a count of 0 or more and a share of 0 to 1.")
        limits[kind] = Limit(count, float(share))
    return limits


class Brakes:
    """Watches one drain."""

    def __init__(self, db: Database, remote: Remote) -> None:
        self._db = db
        self._remote = remote
        self._limits = read_limits(remote.connection.settings)
        #: Kind of record → what this drain has let through, by what becomes of it.
        self._passed: dict[tuple[str, str], int] = {}
        self._unseen = _LOOK_EVERY
        self._released: set[str] = set()

    async def check(self, rows: Sequence[Waiting]) -> list[Stop]:
        """Look whether what waits, with what this drain has sent, goes beyond a limit; hold it if so."""
        if not rows:
            return []
        self._unseen += len(rows)
        stops: list[Stop] = []
        if self._unseen >= _LOOK_EVERY:
            self._unseen = 0
            stops = await self._look()
        stopped = {each.record_type for each in stops}
        for row in rows:
            if row.record_type not in stopped:
                key = (row.record_type, _kind_of(row))
                self._passed[key] = self._passed.get(key, 0) + 1
        return stops

    async def _look(self) -> list[Stop]:
        remote, stops = self._remote, dict[str, Stop]()
        async with self._db.transaction(tenant_id=remote.tenant_id) as conn:
            for due in await queue.count_due(conn, **remote.keys):
                if due.record_type in stops or due.record_type in self._released:
                    continue
                limit = self._limits[due.kind]
                total = due.count + self._passed.get((due.record_type, due.kind), 0)
                if total <= limit.count:
                    continue
                there = await queue.count_linked(conn, **remote.keys, record_type=due.record_type)
                if total <= limit.share * there:
                    continue
                if await overrides.use(conn, **remote.keys, record_type=due.record_type, now=now()):
                    self._released.add(due.record_type)
                    continue
                reason = (
                    f"This would {_WORDS[due.kind]} {total:,} of {there:,} {due.record_type} records at "
                    f"{remote.name}, more than {limit.share:.0%} and {limit.count:,}. Look at `syncline plan "
                    f"{remote.name}`; `syncline push {remote.name} --past-brake` lets one run go on."
                )
                held = await queue.hold(conn, **remote.keys, record_type=due.record_type, reason=reason)
                object_name = next(
                    (name for name, kind in remote.record_types.items() if kind == due.record_type), ""
                )
                stops[due.record_type] = Stop(due.record_type, object_name, reason, held)
        return list(stops.values())


def _kind_of(row: Waiting) -> str:
    if row.what == "deleted" or ("archived_at" in row.fields and row.object is not None):
        return "delete"
    return "create" if row.object is None else "change"
