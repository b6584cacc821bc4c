"""What the set-based writers ask of Postgres's planner, for one transaction."""

from __future__ import annotations

from syncline.store.db import Conn

# While a table is young its statistics say it is empty, and plans made then scan it: chunks of 500 rows
# took twelve times as long as they should. Each of our lookups has its index; sort orders stay free.
PREFER_INDEXES = """
set local enable_seqscan = off; set local enable_hashjoin = off; set local enable_mergejoin = off;
set local timezone = 'UTC'; set local jit = off
"""
# A chunk's records, links, log and cursor are one transaction: what a power cut takes of the last ones is
# taken together, and read again. The run's own end waits for the disk, and with it for all before it.
COMMIT_WITHOUT_WAITING = "set local synchronous_commit = off"
# The plans of foreign keys' own checks are kept by the session, made while the parent was nearly empty.
FORGET_PLANS = "discard plans"


async def prefer_indexes(conn: Conn) -> None:
    """Plan by indexes until the transaction ends, and forget plans made when tables were empty."""
    await conn.execute(FORGET_PLANS, prepare=False)
    await conn.execute(PREFER_INDEXES, prepare=False)


async def commit_without_waiting(conn: Conn) -> None:
    """Let this transaction commit before it is on disk. For what can be read again from its source."""
    await conn.execute(COMMIT_WITHOUT_WAITING)


REFRESH_STATISTICS = "select app.refresh_statistics(%(schemas)s::text[])"


async def refresh_statistics(conn: Conn, *schemas: str) -> None:
    """Let Postgres look at tables that have grown by half since it last did; in a transaction of its own.

    Until autovacuum comes round, a freshly loaded table counts as empty: joining 29,000 contacts to 2,000
    calls took 15 s then, and 25 ms afterwards.
    """
    await conn.execute(REFRESH_STATISTICS, {"schemas": list(schemas)})
