"""When edits stop, both sides are equal and every value that lost can be found, whatever happened before.

Random histories: people edit on both sides, field by field; webhooks come late, twice, in disorder or never;
calls fail; the process dies between any two commits. Values are few, so that both sides often mean the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from pydantic import SecretStr
from simulated import Mirror, mirror_of, truth, world_of

from syncline.config import Settings
from syncline.connectors.webhooks import WebhookEvent
from syncline.engine.hints import gather_hints
from syncline.engine.lease import hold_lease
from syncline.engine.pull import Order, pull
from syncline.engine.push import drain
from syncline.engine.reconcile import reconcile
from syncline.engine.reread import Rereading
from syncline.errors import SynclineError
from syncline.store.db import Conn, Database

#: Field → its property, and values to choose from.
FIELDS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "first_name": ("firstname", ("Ann", "Bob", "Cy", None)),
    "job_title": ("jobtitle", ("Chair", "Chief", None)),
    "status": ("hs_lead_status", ("NEW", "OPEN", None)),
    "last_name": ("lastname", ("Lee", "Low")),
}
RECORDS = 2
_T = TypeVar("_T")


class Killed(BaseException):
    """The process is dead: nothing of it goes on."""


class MortalDatabase(Database):
    """A database as a process sees it that dies after so many commits."""

    def __init__(self, db: Database, commits: int) -> None:
        self._db = db
        self._left = commits

    @property
    def pooled(self) -> bool:
        return self._db.pooled

    @asynccontextmanager
    async def transaction(self, *, tenant_id: UUID | None, bulk: bool = False) -> AsyncGenerator[Conn]:
        self._require_alive()
        async with self._db.transaction(tenant_id=tenant_id, bulk=bulk) as conn:
            yield conn
        self._left -= 1
        self._require_alive()

    @asynccontextmanager
    async def statement(self) -> AsyncGenerator[Conn]:
        self._require_alive()
        async with self._db.statement() as conn:
            yield conn

    def die(self) -> None:
        """Let nothing be begun any more."""
        self._left = 0

    def _require_alive(self) -> None:
        if self._left <= 0:
            raise Killed


class Site:
    """One account and its mirror, kept from history to history; each has records of its own."""

    def __init__(self, server: Any, template: str, folder: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self.mirror = self.run(self._open(server, template, folder))

    def run(self, doing: Coroutine[Any, Any, _T]) -> _T:
        return self._loop.run_until_complete(doing)

    async def _open(self, server: Any, template: str, folder: Any) -> Mirror:
        urls = await self._stack.enter_async_context(server.database(template))
        db = await self._stack.enter_async_context(
            Database.open(urls.app, application_name="test", max_size=8)
        )
        given = Settings(database_url=SecretStr(urls.app), home=folder / "home")
        mirror = await self._stack.enter_async_context(
            mirror_of(world_of(), db, given, UUID("00000000-0000-7000-8000-000000000001"))
        )
        await mirror.pull("contacts")
        await mirror.allow("contacts")
        return mirror

    def close(self) -> None:
        self.run(self._stack.aclose())
        self._loop.close()


def machine_of(site: Site) -> type[RuleBasedStateMachine]:
    which = st.integers(0, RECORDS - 1)
    change = st.sampled_from([(name, value) for name, (_, values) in FIELDS.items() for value in values])
    commits = st.none() | st.integers(1, 9)

    class TwoSides(RuleBasedStateMachine):
        @initialize()
        def begin(self) -> None:
            mirror = site.mirror
            site.run(mirror.fail_next([]))
            self.told: list[str] = []
            #: (record, field) → every value a person gave it, by side.
            self.given: dict[tuple[int, str], list[tuple[str, Any]]] = {}
            self.ids = [
                mirror.world.create("contacts", {"firstname": "Ann", "lastname": "Lee"}).id
                for _ in range(RECORDS)
            ]
            site.run(mirror.pull("contacts"))

        @rule(which=which, change=change)
        def edit_there(self, which: int, change: tuple[str, Any]) -> None:
            name, value = change
            mirror, remote_id = site.mirror, self.ids[which]
            prop = FIELDS[name][0]
            if truth(mirror.world, "contacts")[str(remote_id)].get(prop) != value:
                mirror.world.update("contacts", remote_id, {prop: value})
                self.told.append(str(remote_id))
                self.given.setdefault((remote_id, name), []).append(("theirs", value))

        @rule(which=which, change=change)
        def edit_here(self, which: int, change: tuple[str, Any]) -> None:
            name, value = change
            site.run(self._edit_here(self.ids[which], name, value))
            self.given.setdefault((self.ids[which], name), []).append(("ours", value))

        async def _edit_here(self, remote_id: int, name: str, value: Any) -> None:
            await site.mirror.execute(
                "update crm.contacts c set " + name + " = %(value)s from sync.links l"  # type: ignore[arg-type]
                " where l.record_id = c.id and l.remote_id = %(remote_id)s and l.object = 'contacts'"
                " and c." + name + " is distinct from %(value)s",
                value=value,
                remote_id=str(remote_id),
            )

        @rule(commits=commits)
        def pull(self, commits: int | None) -> None:
            site.run(self._as_process(commits, self._pull))

        @rule(commits=commits)
        def push(self, commits: int | None) -> None:
            site.run(self._as_process(commits, self._push))

        @rule(commits=commits, picked=st.lists(st.integers(0, 5), min_size=1, max_size=4))
        def deliver(self, commits: int | None, picked: list[int]) -> None:
            """Some of what was told arrives: any of it, in any order, more than once, some of it never."""
            hinted = [self.told[each % len(self.told)] for each in picked if self.told]
            if hinted:
                site.run(self._as_process(commits, lambda db: self._reread(db, hinted)))

        @rule(
            kinds=st.lists(
                st.sampled_from(["500", "reset", "reset-after-commit", "truncated"]), min_size=1, max_size=2
            )
        )
        def break_calls(self, kinds: list[str]) -> None:
            site.run(site.mirror.fail_next(kinds))

        async def _as_process(self, commits: int | None, doing: Any) -> None:
            mirror = site.mirror
            db = mirror.db if commits is None else MortalDatabase(mirror.db, commits)
            with suppress(Killed, SynclineError):
                await doing(db)
            if commits is not None:  # what the dead held is free once its time is over
                await mirror.execute(
                    "update sync.leases set expires_at = now() - interval '1 second'"
                    " where tenant_id = %(tenant_id)s"
                )

        async def _pull(self, db: Database) -> None:
            mirror = site.mirror
            await pull(db, await mirror.open(), Order("contacts", requested_by="test"), mirror.settings)

        async def _push(self, db: Database) -> None:
            await drain(db, await site.mirror.open(), site.mirror.settings)

        async def _reread(self, db: Database, ids: list[str]) -> None:
            mirror = site.mirror
            remote = await mirror.open()
            events = [WebhookEvent("", "", "contacts", each, "changed", 0) for each in ids]
            hints = gather_hints(events, ["contacts"], ())["contacts"]
            remote_object = await remote.connector.get_object("contacts")
            async with hold_lease(db, **remote.keys, purpose="webhooks", seconds=30) as lease:
                reading = await Rereading.begin(db, remote, remote_object, hints, lease, mirror.settings)
                await reading.read()
                await reading.finish()

        def teardown(self) -> None:
            if hasattr(self, "ids"):
                site.run(self._check())

        async def _check(self) -> None:
            mirror = site.mirror
            await mirror.fail_next([])
            await mirror.pull("contacts")
            await mirror.settle()
            order = Order("contacts", requested_by="test")
            await reconcile(mirror.db, await mirror.open(), order, mirror.settings, heal_all=True)
            await mirror.settle()
            ours = await mirror.records("contacts", "contacts")
            theirs = truth(mirror.world, "contacts")
            for remote_id in map(str, self.ids):
                record = ours[remote_id]
                for name, (prop, _) in FIELDS.items():
                    assert record[name] == (theirs[remote_id].get(prop) or None), (remote_id, name)
                await self._check_traces(int(remote_id), record)
            ids = [record["id"] for i, record in ours.items() if int(i) in self.ids]
            waiting = "select state, last_error from sync.queue where record_id = any(%(ids)s)"
            assert await mirror.select(waiting, ids=ids) == []
            unanswered = "select sent from sync.links where record_id = any(%(ids)s) and sent is not null"
            assert await mirror.select(unanswered, ids=ids) == []

        async def _check_traces(self, remote_id: int, record: dict[str, Any]) -> None:
            """The last word of each side stands, or can be found where it was overruled."""
            log = await site.mirror.select(
                "select changes from crm.change_log where record_id = %(id)s", id=record["id"]
            )
            decisions = await site.mirror.select(
                "select field, ours, theirs, losing from sync.decisions where record_id = %(id)s",
                id=record["id"],
            )
            for name in FIELDS:
                traces = [value for row in log for value in row["changes"].get(name, ())]
                for row in decisions:
                    if row["field"] == name:
                        traces += [row["ours"], row["theirs"], row["losing"]]
                words = self.given.get((remote_id, name), [])
                for side in ("ours", "theirs"):
                    last = [value for whose, value in words if whose == side][-1:]
                    for value in last:
                        assert value == record[name] or value in traces, (remote_id, name, side, value)

    return TwoSides


@pytest.fixture
def site(server: Any, template: str, tmp_path: Any) -> Any:
    made = Site(server, template, tmp_path)
    yield made
    made.close()


def _check(site: Site, histories: int) -> None:
    run_state_machine_as_test(
        machine_of(site),
        settings=settings(
            max_examples=histories,
            stateful_step_count=14,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            report_multiple_bugs=False,
            phases=[Phase.explicit, Phase.generate],
        ),
    )


@pytest.mark.timeout(600)  # counts on a busy machine; in itself it takes about one minute
@pytest.mark.first
def test_both_sides_come_to_agree_after_any_history(site: Site):
    _check(site, 100)


@pytest.mark.nightly
@pytest.mark.timeout(7200)  # its own word counts for more than the command's
def test_both_sides_come_to_agree_after_each_of_many_histories(site: Site):
    _check(site, 2_000)
