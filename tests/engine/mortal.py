"""A process that dies at a moment chosen by a test, and what its successor finds."""

from __future__ import annotations

import sys
from contextlib import suppress

from simulated import Mirror, Watch
from test_convergence import Killed, MortalDatabase

from syncline.engine.push import drain


async def push_and_die(mirror: Mirror, *, commits: int = sys.maxsize, answered: str = "") -> bool:
    """Push as a process that is killed after so many commits, or once the account has answered a route.

    Returns whether it was killed. What it held is free afterwards.
    """
    db = MortalDatabase(mirror.db, commits)

    def kill(route: str) -> None:
        if answered and route.endswith(answered):
            db.die()

    Watch(mirror.world, kill)
    killed = True
    with suppress(Killed):
        await drain(db, await mirror.open(), mirror.settings)
        killed = False
    Watch(mirror.world, lambda _: None)
    await mirror.execute(
        "update sync.leases set expires_at = now() - interval '1 second' where tenant_id = %(tenant_id)s"
    )
    return killed
