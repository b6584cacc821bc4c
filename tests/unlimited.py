"""Accounts that are known to have no limits: only the tests of limits wait for a second to pass."""

from __future__ import annotations

from syncline.store.db import Database

#: What every simulated HubSpot account is called, unless told otherwise.
SIMULATED = "48975575"


async def lift_limits(db: Database, account_id: str) -> None:
    """Let an account of HubSpot's have shown that it has no limits. Before its first call, or in vain."""
    async with db.transaction(tenant_id=None) as conn:
        for bucket in ("burst", "search", "associations"):
            await conn.execute(
                "insert into sync.quota_buckets (platform, account_id, bucket, budget, guess_calls, "
                "guess_window_ms, has_headers, max_calls, window_ms, source) "
                "values ('hubspot', %s, %s, 'burst', 100, 10000, true, null, 10000, 'none')"
                " on conflict do nothing",
                (account_id, bucket),
            )
