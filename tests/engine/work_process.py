"""A worker whose jobs write down when they begin and end. Run by the tests of work.

Arguments: database URL, a file to append to. The object's name says what a job does: `quick` ends at once,
`slow` works for a second, `endless` goes on until the worker is told to stop.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from pydantic import SecretStr

from syncline.config import Settings
from syncline.engine.lease import hold_lease
from syncline.engine.work import RunJob, work
from syncline.errors import RetryLater
from syncline.store.db import Database


async def main() -> None:
    url, path = sys.argv[1:]

    def note(event: str, job: RunJob) -> None:
        with Path(path).open("a") as file:
            file.write(f"{event} {job.connection_id} {job.object_name} {os.getpid()}\n")

    async def run_job(job: RunJob) -> None:
        async with hold_lease(
            db,
            tenant_id=job.tenant_id,
            connection_id=job.connection_id,
            purpose=f"pull:{job.object_name}",
            seconds=settings.lease_seconds,
        ):
            note("begin", job)
            if job.object_name.startswith("slow"):
                await asyncio.sleep(0.3)
            if job.object_name == "endless":
                await job.stop.wait()
                note("stopped", job)
                raise RetryLater(after_seconds=0)
            note("end", job)

    settings = Settings(database_url=SecretStr(url), lease_seconds=5)
    async with Database.open(url, min_size=1, max_size=6) as db:
        print("ready", flush=True)
        await work(db, settings, run_job, concurrency=4)


if __name__ == "__main__":
    asyncio.run(main())
