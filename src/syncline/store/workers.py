"""Workers: which processes serve this installation, and when each last gave a sign of life."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class Worker:
    id: UUID
    host: str
    pid: int
    version: str
    #: Jobs it runs at once at most.
    concurrency: int
    started_at: datetime
    seen_at: datetime


BEAT = """
insert into sync.workers (id, host, pid, version, concurrency, started_at, seen_at)
values (%(id)s, %(host)s, %(pid)s, %(version)s, %(concurrency)s, now(), now())
on conflict on constraint workers_pkey do update set seen_at = now()
"""


async def beat(conn: Conn, worker_id: UUID, *, host: str, pid: int, version: str, concurrency: int) -> None:
    """Show that a worker lives; the first time this enters it."""
    await conn.execute(
        BEAT, {"id": worker_id, "host": host, "pid": pid, "version": version, "concurrency": concurrency}
    )


REMOVE = "delete from sync.workers where id = %(id)s"


async def remove(conn: Conn, worker_id: UUID) -> None:
    """Strike out a worker that has ended."""
    await conn.execute(REMOVE, {"id": worker_id})


FORGET_SILENT = "delete from sync.workers where seen_at < now() - interval '1 day'"


async def forget_silent(conn: Conn) -> None:
    """Strike out workers that have given no sign of life for a day."""
    await conn.execute(FORGET_SILENT)


LIST_WORKERS = """
select id, host, pid, version, concurrency, started_at, seen_at from sync.workers order by started_at, id
"""


async def list_workers(conn: Conn) -> list[Worker]:
    """Return all workers, oldest first; `seen_at` (the database's clock) tells which of them live."""
    async with conn.cursor(row_factory=class_row(Worker)) as cursor:
        await cursor.execute(LIST_WORKERS)
        return await cursor.fetchall()
