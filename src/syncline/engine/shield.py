"""Stops a field that two systems keep rewriting: its record is held until a person has looked at it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from syncline.clock import now
from syncline.engine.intents import Batch
from syncline.errors import SettingInvalid
from syncline.store import flips
from syncline.store.db import Conn
from syncline.store.queue import Aside

#: So many writes by each side within so many minutes are no conversation between people.
TIMES = 4
MINUTES = 10
#: A year; nobody looks for flips further back.
_MOST_MINUTES = 525_600


def read_limits(settings: dict[str, Any]) -> tuple[int, timedelta]:
    """Return the limits of a connection: `flip_flop` of its settings, `times` within `minutes`.

    Raises `SettingInvalid`.
    """
    given = settings.get("flip_flop")
    found = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    times, minutes = found.get("times", TIMES), found.get("minutes", MINUTES)
    whole = isinstance(times, int) and isinstance(minutes, int)
    if not whole or times < 2 or not 1 <= minutes <= _MOST_MINUTES:
        raise SettingInvalid(f"flip_flop needs times of 2 or more within 1 to {_MOST_MINUTES:,} minutes.")
    return times, timedelta(minutes=minutes)


async def hold_flips(
    conn: Conn, batch: Batch, settings: dict[str, Any], *, tenant_id: UUID, connection_id: UUID
) -> None:
    """Move items whose fields go back and forth from what is sent to what is held."""
    if not batch.items:
        return
    times, window = read_limits(settings)
    ids = [each.row.record_id for each in batch.items]
    found = await flips.list_flips(
        conn, ids, tenant_id=tenant_id, connection_id=connection_id, since=now() - window, most=times
    )
    reasons = {
        (each.record_id, each.field): f"{each.field} was written {each.pushed} times there and {each.pulled} "
        f"times here within {window // timedelta(minutes=1)} minutes: something keeps rewriting it. Decide "
        "which side shall win (`syncline mapping`), then `syncline queue retry`."
        for each in found
    }
    for item in list(batch.items):
        why = [reasons[key] for name in item.values if (key := (item.row.record_id, name)) in reasons]
        if why:
            batch.items.remove(item)
            batch.aside.append(Aside(item.row, "held", why[0]))
