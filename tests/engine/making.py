"""Activities, tasks and notes of ours that are to be made at a simulated Pipedrive account."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from simulated import Mirror
from test_pipedrive_sync import sync, world_behind

from syncline.clock import new_id

MADE = ("activities", "tasks", "notes")
HAPPENED = "2026-03-04 05:06:07+00"


async def find_parents(mirror: Mirror) -> dict[str, tuple[int, UUID]]:
    """Return (remote id, our id) of one deal, one contact and one company."""
    found: dict[str, tuple[int, UUID]] = {}
    for name, table in (("deals", "deals"), ("persons", "contacts"), ("organizations", "companies")):
        remote_id, record = min((await mirror.records(name, table)).items(), key=lambda each: int(each[0]))
        found[table] = (int(remote_id), record["id"])
    return found


async def write_note(mirror: Mirror, body: str, deal: UUID | None, at: str = HAPPENED) -> UUID:
    record_id = new_id()
    await mirror.execute(
        "insert into crm.activities (tenant_id, id, type, body, occurred_at, deal_id)"
        " values (%(tenant_id)s, %(id)s, 'note', %(body)s, %(at)s, %(deal)s)",
        id=record_id,
        body=body,
        at=at,
        deal=deal,
    )
    return record_id


async def write_call(mirror: Mirror, subject: str, contact: UUID | None, body: str | None = None) -> UUID:
    record_id = new_id()
    await mirror.execute(
        "insert into crm.activities"
        " (tenant_id, id, type, subject, body, occurred_at, duration_ms, contact_id)"
        " values (%(tenant_id)s, %(id)s, 'call', %(subject)s, %(body)s, %(at)s, 95000, %(contact)s)",
        id=record_id,
        subject=subject,
        body=body,
        at=HAPPENED,
        contact=contact,
    )
    return record_id


async def write_task(mirror: Mirror, subject: str, contact: UUID | None) -> UUID:
    record_id = new_id()
    await mirror.execute(
        "insert into crm.tasks (tenant_id, id, subject, due_at, status, contact_id)"
        " values (%(tenant_id)s, %(id)s, %(subject)s, '2027-03-04 05:06:07+00', 'NOT_STARTED', %(contact)s)",
        id=record_id,
        subject=subject,
        contact=contact,
    )
    return record_id


def notes(mirror: Mirror) -> list[dict[str, Any]]:
    return list(world_behind(mirror).truth("notes").values())


def activities(mirror: Mirror) -> list[dict[str, Any]]:
    return list(world_behind(mirror).truth("activities").values())


async def left(mirror: Mirror) -> list[tuple[str, str]]:
    """Return what waits: its state and why."""
    rows = await mirror.select("select state, last_error from sync.queue order by queued_at")
    return [(row["state"], row["last_error"] or "") for row in rows]


async def links(mirror: Mirror, record_id: UUID) -> list[str]:
    rows = await mirror.select("select remote_id from sync.links where record_id = %(id)s", id=record_id)
    return [row["remote_id"] for row in rows]


async def count_here(mirror: Mirror) -> int:
    [row] = await mirror.select(
        "select (select count(*) from crm.activities where archived_at is null)"
        " + (select count(*) from crm.tasks where archived_at is null) as n"
    )
    return int(row["n"])


async def assert_settled(mirror: Mirror) -> None:
    """Nothing waits, everything was answered, both sides have the same, and it stays so."""
    for _ in range(2):
        assert await left(mirror) == []
        assert await mirror.select("select 1 from sync.remote_changes where state = 'sent'") == []
        assert await mirror.select("select 1 from sync.links where sent is not null") == []
        assert await count_here(mirror) == len(notes(mirror)) + len(activities(mirror))
        await sync(mirror)
        await mirror.settle()


async def forget_leases(mirror: Mirror) -> None:
    await mirror.execute(
        "update sync.leases set expires_at = now() - interval '1 second' where tenant_id = %(tenant_id)s"
    )
