"""Reconcile: compares everything of an object with what the CRM has, and mends or reports what differs.

A walk of its own reads the object from end to end beside every other run. What was missed is taken in by the
way of every pull; what differs all the same is written down field by field, and mended once the whole is
known, if it is little. Much is only reported: then something else is wrong, and a person has to look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, cast

from syncline.clock import now
from syncline.config import Settings
from syncline.connectors.base import RemoteObject
from syncline.engine import walk
from syncline.engine.absence import Absence
from syncline.engine.compare import compare
from syncline.engine.lookups import refresh_properties
from syncline.engine.mend import Mender, in_batches
from syncline.engine.prepare import Prepared, list_unreadable, prepare_page
from syncline.engine.pull import Order, carry_out
from syncline.engine.readings import READINGS
from syncline.engine.remotes import Remote
from syncline.engine.terms import set_terms
from syncline.engine.write import AlsoCommit, Target
from syncline.errors import Invalid, SettingInvalid
from syncline.store import cursors, definitions, drift, notifications, payloads, planner, runs, standing
from syncline.store.db import Conn, Database
from syncline.store.drift import WHOLE, Cause, DriftCount, Finding
from syncline.store.notifications import Notification
from syncline.store.parked import Parked
from syncline.store.runs import Run, RunCounts

MODE = "reconcile"
#: The cursors of a walk that is under way, and of what it belongs to.
KIND = "reconcile"
_ROUND = "reconcile_round"
#: A walk that was cut off longer ago than this is begun anew: what it compared is no news any more.
_ROUND_LASTS = timedelta(hours=24)
_RECIPIENT = "manager"


@dataclass(frozen=True, slots=True)
class HealLimit:
    """Up to how many records are mended: those within either of the two."""

    count: int = 50
    #: Of the records compared, 0 to 1.
    share: float = 0.01

    def allows(self, drifted: int, compared: int) -> bool:
        return drifted <= self.count or drifted <= self.share * compared


def read_limit(settings: dict[str, Any]) -> HealLimit:
    """Return a connection's limit: `reconcile` of its settings over the default. Raises `SettingInvalid`."""
    given = settings.get("reconcile")
    plain = HealLimit()
    if not isinstance(given, dict):
        return plain
    values = cast("dict[str, Any]", given)
    count, share = values.get("count", plain.count), values.get("share", plain.share)
    if not isinstance(count, int) or not isinstance(share, int | float) or count < 0 or not 0 <= share <= 1:
        raise SettingInvalid("The setting `reconcile` needs a count of 0 or more and a share of 0 to 1.")
    return HealLimit(count, float(share))


def lease_purpose(object_name: str) -> str:
    """Name the lease that makes two reconciles of one object impossible; pulls go on beside."""
    return f"{MODE}:{object_name}"


async def reconcile(
    db: Database,
    remote: Remote,
    order: Order,
    settings: Settings,
    *,
    report_only: bool = False,
    heal_all: bool = False,
) -> Run:
    """Reconcile one object and return the run as written down; one that was cut off is taken up again.

    `report_only` changes nothing but what is known of the drift; `heal_all` mends however much it is.
    Raises `Invalid` for what is no object or has not been read yet, `Busy`, and as `pull` does.
    """
    if order.object_name in READINGS:
        raise Invalid(f"{order.object_name} are read anew by each sync; there is nothing to reconcile.")
    limit = read_limit(remote.connection.settings)
    remote_object = await remote.connector.get_object(order.object_name)
    await _require_read(db, remote, order.object_name)
    reading = Reconciliation(remote_object, limit, report_only=report_only, heal_all=heal_all)
    order.mode, order.excludes = MODE, (MODE,)
    return await carry_out(
        db,
        remote,
        order,
        reading,
        settings,
        purpose=lease_purpose(order.object_name),
        tell=reading.tell,
    )


async def is_read(db: Database, remote: Remote, object_name: str) -> bool:
    """Tell whether an object has been read to its end once: before that there is nothing to compare."""
    async with db.transaction(tenant_id=remote.tenant_id) as conn:
        return await runs.find_last_success(conn, **remote.keys, object_name=object_name) is not None


async def _require_read(db: Database, remote: Remote, object_name: str) -> None:
    if not await is_read(db, remote, object_name):
        raise Invalid(
            f"{object_name} of {remote.name} has not been read to its end yet; there is nothing to "
            f"compare. `syncline sync {remote.name} --object {object_name}` reads it."
        )


@dataclass(slots=True)
class _Round:
    """One comparison of everything, from its first page to its last, over however many runs."""

    began_at: datetime
    report_only: bool

    @classmethod
    def of(cls, state: dict[str, Any]) -> _Round:
        return cls(datetime.fromisoformat(state["began_at"]), bool(state["report_only"]))

    def state(self) -> dict[str, object]:
        return {"began_at": self.began_at.isoformat(), "report_only": self.report_only}


class Reconciliation:
    """The reading of a reconcile run. See `readings.Reading`."""

    def __init__(
        self, remote_object: RemoteObject, limit: HealLimit, *, report_only: bool, heal_all: bool
    ) -> None:
        self.remote_object = remote_object
        self._limit = limit
        self._report_only = report_only
        self._heal_all = heal_all
        self._round = _Round(now(), report_only)
        #: Ids that the walk has brought, readable or not.
        self._listed: set[str] = set()
        #: Links to records that are no more: nothing is made of them before it is decided.
        self._lost: set[str] = set()
        self._details: dict[str, Any] = {}

    def tell(self) -> dict[str, Any]:
        """Return what the run's details are to say: nothing where both sides agree."""
        return self._details

    async def read(self, target: Target, remote: Remote, *, full: bool) -> None:
        remote.calls.lane = "backfill"
        properties = await self._prepare(target, remote)
        await self._begin(target, anew=full)
        comparing = walk.Backfill(
            target, remote.connector, properties, kind=KIND, write=partial(self._write, target)
        )
        await comparing.run()
        absence = Absence(target, remote.connector, properties)
        suspects = await absence.find_suspects(None if comparing.is_resumed else self._listed)
        await self._ask(target, absence, suspects.unlisted + suspects.strangers)
        await self._look_at_links(target, absence)
        await self._mend_or_report(target, remote, Mender(target, absence), suspects.listed)
        await self._end(target, await remote.connector.count(target.object_name), suspects.listed)

    async def _prepare(self, target: Target, remote: Remote) -> list[str]:
        """Set the terms that hold now; return the properties to ask for."""
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            names = await definitions.list_property_names(conn, **target.object_keys)
        if not names:
            names = await refresh_properties(target.db, remote.connector, self.remote_object, **target.keys)
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            await set_terms(conn, target, remote)
        return names

    async def _begin(self, target: Target, *, anew: bool) -> None:
        """Take up the round that was cut off, or begin one."""
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            await target.prove_lease(conn)
            state = await cursors.find_state(conn, **target.cursor_keys(_ROUND))
            earlier = None if state is None or anew else _Round.of(state)
            if earlier is not None and self._goes_on(earlier):
                self._round = earlier
            else:
                await cursors.remove(conn, **target.cursor_keys(KIND))
            await cursors.put(conn, self._round.state(), now=now(), **target.cursor_keys(_ROUND))
            if target.mapper is not None:
                kind = target.mapper.record_type
                self._lost = set(await standing.list_lost(conn, kind, keys=target.object_keys))
                await self._put(
                    conn, target, [Finding(each, WHOLE, "open", "record_lost") for each in self._lost], now()
                )

    def _goes_on(self, earlier: _Round) -> bool:
        is_fresh = self._round.began_at - earlier.began_at < _ROUND_LASTS
        return is_fresh and earlier.report_only == self._report_only

    async def _put(self, conn: Conn, target: Target, findings: Sequence[Finding], at: datetime) -> None:
        await drift.put(conn, findings, keys=target.object_keys, run_id=target.run_id, now=at)

    async def _write(
        self,
        target: Target,
        records: Sequence[Prepared],
        unreadable: Sequence[Parked],
        also: AlsoCommit | None,
    ) -> None:
        """Take in what was missed, compare, and commit it with the walk's cursor."""
        await target.persist(partial(self._write_chunk, target, records, unreadable, also))
        self._listed.update(record.remote_id for record in records)
        self._listed.update(each.remote_id for each in unreadable)
        target.on_progress()
        target.check_stop()

    async def _write_chunk(
        self,
        target: Target,
        records: Sequence[Prepared],
        unreadable: Sequence[Parked],
        also: AlsoCommit | None,
    ) -> None:
        counts = RunCounts(read=len(records) + len(unreadable))
        async with target.db.transaction(tenant_id=target.tenant_id, bulk=True) as conn:
            await planner.commit_without_waiting(conn)
            await target.prove_lease(conn)
            if not self._report_only:
                sound = [record for record in records if record.remote_id not in self._lost]
                await target.write_chunk(conn, sound, unreadable, counts)
            at = now()
            await self._put(conn, target, await compare(conn, target, records), at)
            await drift.remove_unchecked(
                conn,
                keys=target.object_keys,
                before=self._round.began_at,
                remote_ids=[record.remote_id for record in records],
            )
            if also is not None:
                await also(conn)
            await target.record_counts(conn, counts)
        target.counts.add(counts)

    async def _ask(self, target: Target, absence: Absence, ids: Sequence[str]) -> None:
        """Ask by its id for each that only one side has; write down which the CRM has no more."""
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            living = await payloads.filter_living(conn, target.table, ids, **target.keys)
        for batch in in_batches(ids, absence.batch):
            page, gone = await absence.ask(batch)
            found = prepare_page(page, target.mapper)
            if found or page.unreadable:
                await self._write(target, found, list_unreadable(page), None)
            missing = [Finding(each, WHOLE, "open", "missing_there") for each in gone if each in living]
            if missing:
                async with target.db.transaction(tenant_id=target.tenant_id) as conn:
                    await target.prove_lease(conn)
                    await self._put(conn, target, missing, now())

    async def _look_at_links(self, target: Target, absence: Absence) -> None:
        """Find links of which one end is gone or was never told."""
        if target.mapper is None:
            return
        kind = target.mapper.record_type
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            unmirrored = await standing.list_unmirrored(conn, kind, target.table, keys=target.object_keys)
        for batch in in_batches(unmirrored, absence.batch):
            page, gone = await absence.ask(batch)
            await self._write(target, prepare_page(page, target.mapper), list_unreadable(page), None)
            async with target.db.transaction(tenant_id=target.tenant_id) as conn:
                await target.prove_lease(conn)
                findings = [Finding(each, WHOLE, "open", "missing_there") for each in gone]
                await self._put(conn, target, findings, now())
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            await target.prove_lease(conn)
            unarchived = await standing.list_unarchived(conn, kind, target.table, keys=target.object_keys)
            await self._put(conn, target, [_unarchived(each) for each in unarchived], now())

    async def _mend_or_report(self, target: Target, remote: Remote, mender: Mender, compared: int) -> None:
        since = self._round.began_at
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            found, _ = await drift.count_records(conn, keys=target.object_keys, since=since)
        mends = not self._report_only and (self._heal_all or self._limit.allows(found, compared))
        if mends and found:
            await mender.mend(since)
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            counts = await drift.list_counts(conn, keys=target.object_keys, since=since)
            left, drifted = await drift.count_records(conn, keys=target.object_keys, since=since)
            if drifted:
                self._details = {"drift": _tell(counts), "compared": compared, "open": left}
            if not left or self._report_only:
                return
            target.is_partial = True
            reason = _describe(remote.name, target.object_name, self._limit, left, compared, mends=mends)
            self._details["error"] = reason
            await notifications.insert_many(
                conn,
                [Notification("email", "drift", _RECIPIENT, _subject(remote.name, target, left), reason)],
                tenant_id=target.tenant_id,
                now=now(),
            )

    async def _end(self, target: Target, at_source: int | None, listed: int) -> None:
        """Close the round: counts of both sides, and no word of what holds no longer."""
        keys, at = target.object_keys, now()
        records: int | None = None
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            await target.prove_lease(conn)
            await drift.remove_unchecked(conn, keys=keys, before=self._round.began_at)
            left, drifted = await drift.count_records(conn, keys=keys, since=self._round.began_at)
            if target.mapper is not None:
                records = await standing.count_linked_living(conn, target.mapper.record_type, keys=keys)
            await drift.put_source_count(
                conn,
                keys=keys,
                run_id=target.run_id,
                at_source=at_source,
                listed=listed,
                mirrored=await payloads.count_living(conn, target.table, **target.keys),
                records=records,
                drifted=drifted,
                open_records=left,
                now=at,
            )
            for kind in (KIND, _ROUND):
                await cursors.remove(conn, **target.cursor_keys(kind))


def _unarchived(each: standing.Unarchived) -> Finding:
    state: drift.State = "open"
    cause: Cause = "archived_there"
    if each.was_told or each.is_explained:
        state, cause = "kept", "restored_here"
    return Finding(each.remote_id, "archived_at", state, cause, None, each.archived_at.isoformat())


def _tell(counts: Sequence[DriftCount]) -> dict[str, dict[str, int]]:
    told: dict[str, dict[str, int]] = {}
    for each in counts:
        told.setdefault(each.state, {})[each.cause] = each.records
    return told


def _describe(
    connection: str, object_name: str, limit: HealLimit, left: int, compared: int, *, mends: bool
) -> str:
    look = f"`syncline drift {connection} --object {object_name}` shows them"
    if mends:
        return f"{left:,} of {compared:,} {object_name} still differ after they were mended. {look}."
    return (
        f"{left:,} of {compared:,} {object_name} differ, more than {limit.count:,} and {limit.share:.0%}: "
        f"nothing was mended. {look}; `syncline reconcile {connection} --object {object_name} --heal-all` "
        "mends them all."
    )


def _subject(connection: str, target: Target, left: int) -> str:
    return f"{left:,} {target.object_name} differ between {connection} and here"
