"""Incremental: reads what changed since the last run, and a second time later for an index that lags."""

from __future__ import annotations

from functools import partial

from syncline.clock import from_ms, now, to_ms
from syncline.connectors.base import Connector
from syncline.engine.prepare import list_unreadable, prepare_page
from syncline.engine.write import Target
from syncline.store import cursors
from syncline.store.db import Conn

KIND = "incremental"
SECOND_PASS = "second_pass"  # noqa: S105 - no password


class Follower:
    """Follows one object's changes from its watermark on."""

    def __init__(self, target: Target, connector: Connector, properties: list[str]) -> None:
        self._target = target
        self._connector = connector
        self._properties = properties
        #: Ids written in this run, for what is read along with them (associations).
        self.touched: list[str] = []

    async def run(self, since_ms: int) -> None:
        """Read changes from `since_ms` (CRM's clock) less the overlap, then those the second pass is due for.

        The overlap catches an index that lags by up to its length; the second pass reads each change once
        more when even a slow index must have it. Unchanged records cost a comparison.
        """
        capabilities = self._connector.capabilities
        overlap_ms = int(capabilities.overlap.total_seconds() * 1000)
        await self._read(KIND, max(0, since_ms - overlap_ms), None)
        horizon_ms = to_ms(now()) - int(capabilities.second_pass_after.total_seconds() * 1000)
        async with self._target.db.transaction(tenant_id=self._target.tenant_id) as conn:
            state = await cursors.find_state(conn, **self._target.cursor_keys(SECOND_PASS))
        second_ms = int(state["watermark_ms"]) if state else since_ms
        if second_ms < horizon_ms:
            await self._read(SECOND_PASS, max(0, second_ms - overlap_ms), horizon_ms)

    async def _read(self, kind: str, since_ms: int, until_ms: int | None) -> None:
        target = self._target
        watermark_ms = since_ms
        async for page in self._connector.changed_pages(
            target.object_name, self._properties, since_ms, until_ms
        ):
            records = prepare_page(page, target.mapper)
            self.touched.extend(record.remote_id for record in records)
            if page.complete_to_ms is not None:
                watermark_ms = max(watermark_ms, page.complete_to_ms)
            for start in range(0, max(1, len(records)), target.chunk_rows):
                await target.commit(
                    records[start : start + target.chunk_rows],
                    list_unreadable(page) if start == 0 else (),
                    also=partial(self._advance, kind=kind, watermark_ms=watermark_ms),
                )
        if until_ms is not None:
            async with target.db.transaction(tenant_id=target.tenant_id) as conn:
                await self._advance(conn, kind, until_ms)

    async def _advance(self, conn: Conn, kind: str, watermark_ms: int) -> None:
        await cursors.put(
            conn,
            {"watermark_ms": watermark_ms, "watermark": from_ms(watermark_ms).isoformat()},
            now=now(),
            **self._target.cursor_keys(kind),
        )


async def find_watermark(conn: Conn, target: Target) -> int | None:
    """Return from where changes are to be read (ms since 1970, CRM's clock); None before a first backfill."""
    state = await cursors.find_state(conn, **target.cursor_keys(KIND))
    return int(state["watermark_ms"]) if state else None


async def begin_following(conn: Conn, target: Target, watermark_ms: int) -> None:
    """Let the next incremental run read from `watermark_ms` on. Called before a backfill begins to read."""
    for kind in (KIND, SECOND_PASS):
        await cursors.put(
            conn,
            {"watermark_ms": watermark_ms, "watermark": from_ms(watermark_ms).isoformat()},
            now=now(),
            **target.cursor_keys(kind),
        )
