"""Whether something may be sent to a CRM: asked in what commits to it, and once more when the call leaves.

Between the two a call may wait long for its quota, in a process that is stopped meanwhile. Knows the lease,
the stops and what was allowed; nothing of what is sent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from uuid import UUID

from syncline.engine.write import Target
from syncline.errors import StopForOperator
from syncline.store import allowances, creates
from syncline.store.allowances import Allowance
from syncline.store.db import Conn

#: How long a create may wait for its quota before it is noted to leave later than it was written down.
_NOTE_SECONDS = 2.0


class WritingStopped(StopForOperator):
    """Nothing may be written to the CRM now."""


class TermsChanged(Exception):
    """What may be written was changed since a sender was opened: its rows go by another one, opened anew."""


class Permit:
    """The right of one run to send records of one object, as it was when its sender was opened."""

    def __init__(self, target: Target, allowance: Allowance) -> None:
        self._target = target
        #: What may be written.
        self.allowance = allowance

    async def require_unchanged(self, conn: Conn) -> None:
        """Raise `LeaseLost`, `WritingStopped` or `TermsChanged`: asked in what commits to sending.

        A row that was queued by a permission is listed after it, and so never judged by what held before.
        """
        await self.require(conn)
        if await allowances.find_allowance(conn, **self._target.object_keys) != self.allowance:
            raise TermsChanged

    async def require(self, conn: Conn) -> None:
        """Raise `LeaseLost` or `WritingStopped`."""
        await self._target.prove_lease(conn)
        reason = await allowances.find_stop(conn, **self._target.keys)
        if reason is not None:
            raise WritingStopped(reason)

    def look_again(self, making: Sequence[UUID] = ()) -> Callable[[], Awaitable[None]]:
        """Return what raises `LeaseLost` or `WritingStopped` where a call must not be sent any more.

        `making` are the changes of creates that are looked for, should the answer be lost: they are noted to
        leave only now, since whoever looks for them reckons from then.
        """
        noted = monotonic()

        async def look() -> None:
            nonlocal noted
            async with self._target.db.transaction(tenant_id=self._target.tenant_id) as conn:
                await self.require(conn)
                if making and monotonic() - noted > _NOTE_SECONDS:
                    await creates.note_lost(conn, making, tenant_id=self._target.tenant_id)
                    noted = monotonic()

        return look
