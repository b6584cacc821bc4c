"""The floor: three lists fetched at once by their cursors, COPY, one upsert into columns and jsonb.

No change detection, no mapping, no history, no tenant: what any loader must at least do. Under a quota it
sends no more calls than that allows, since refused ones would only cost it time. Run by pipedrive.py.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import httpx2
import msgspec
import psycopg

from upsert import Row, Writing, create

PAGE = 500
WINDOW_SECONDS = 2.0
COLUMNS: dict[str, tuple[str, ...]] = {
    "organizations": ("name", "website", "owner_id", "add_time", "update_time"),
    "persons": ("name", "email", "phone", "owner_id", "org_id", "add_time", "update_time"),
    "deals": ("title", "value", "currency", "stage_id", "status", "person_id", "org_id", "update_time"),
}


class Answer(msgspec.Struct):
    data: list[msgspec.Raw]
    additional_data: dict[str, Any] | None = None


decode = msgspec.json.Decoder(Answer).decode
decode_record = msgspec.json.Decoder(dict[str, Any]).decode


def make_row(name: str, raw: msgspec.Raw) -> Row:
    record = decode_record(raw)
    for one, many in (("email", "emails"), ("phone", "phones")):
        listed = record.get(many)
        record[one] = listed[0]["value"] if listed else None
    values = (record.get(each) for each in COLUMNS[name])
    return (
        str(record["id"]),
        *(None if each is None else str(each) for each in values),
        bytes(raw).decode(),
    )


class Pace:
    """Lets as many calls out as the account allows in any two seconds; 0 lets all out."""

    def __init__(self, rate: int) -> None:
        self._free = asyncio.Semaphore(rate) if rate else None

    async def get(self, client: httpx2.AsyncClient, path: str, query: dict[str, str]) -> Answer:
        if self._free is not None:
            await self._free.acquire()
        response = await client.get(path, params=query)
        if self._free is not None:
            asyncio.get_running_loop().call_later(WINDOW_SECONDS + 0.01, self._free.release)
        response.raise_for_status()
        return decode(response.content)


async def load(client: httpx2.AsyncClient, pace: Pace, database: str, name: str) -> int:
    """Load one object by its cursor, while what came is being written."""
    writing = Writing(database, name, COLUMNS[name], 16)
    query = {"limit": str(PAGE), "sort_by": "id", "sort_direction": "asc"}
    while True:
        answer = await pace.get(client, f"/api/v2/{name}", query)
        await writing.put([make_row(name, each) for each in answer.data])
        cursor = (answer.additional_data or {}).get("next_cursor")
        if cursor is None:
            return await writing.end()
        query["cursor"] = cursor


async def main() -> None:
    job = json.loads(sys.argv[1])
    async with httpx2.AsyncClient(
        base_url=job["url"], headers={"x-api-token": job["token"]}, timeout=60
    ) as client:
        async with await psycopg.AsyncConnection.connect(job["database"], autocommit=True) as conn:
            for name in job["objects"]:
                await create(conn, name, COLUMNS[name])
        pace = Pace(job["rate"])
        loaded = await asyncio.gather(*(load(client, pace, job["database"], name) for name in job["objects"]))
    print(json.dumps({"records": sum(loaded)}))


asyncio.run(main())
