"""Whole records come to agree after any history, too: made, merged, archived, deleted and brought back.

As in the histories of fields, webhooks come at random or never, calls fail, and the process dies between any
two commits or behind any answer.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from mortal import push_and_die
from simulated import Mirror, truth
from test_convergence import Killed, MortalDatabase, Site
from test_races_records import assert_settled

from syncline.connectors.hubspot.objects import EXTERNAL_ID
from syncline.connectors.webhooks import Kind, WebhookEvent
from syncline.engine.hints import gather_hints
from syncline.engine.intents import GONE
from syncline.engine.lease import hold_lease
from syncline.engine.pull import Order, pull
from syncline.engine.reread import Rereading
from syncline.errors import SynclineError
from syncline.simulators.hubspot.account import Event
from syncline.store.db import Database

FIELDS = {"first_name": "firstname", "last_name": "lastname", "job_title": "jobtitle"}
VALUES = ("Ann", "Bob", "Cy")
RECORDS = 3
#: Emptied between histories, in this order: what is deleted of records leaves traces in the later ones.
TABLES = (
    "crm.contacts",
    "sync.links",
    "sync.tombstones",
    "sync.queue",
    "sync.remote_changes",
    "sync.conflicts",
    "raw.hubspot_contacts",
)


KINDS: dict[str, Kind] = {"deletion": "archived", "restore": "restored"}


def _webhook(event: Event) -> WebhookEvent:
    what = event.kind.partition(".")[2]
    if what == "merge":
        gone = [str(each) for each in (event.details["primaryObjectId"], *event.details["mergedObjectIds"])]
        survivor = str(event.details["newObjectId"])
        return WebhookEvent("", "", "contacts", survivor, "merged", 0, tuple(gone))
    return WebhookEvent("", "", "contacts", str(event.object_id), KINDS.get(what, "changed"), 0)


def machine_of(site: Site) -> type[RuleBasedStateMachine]:
    mirror: Mirror = site.mirror
    world = mirror.world
    which = st.integers(0, 5)
    change = st.tuples(st.sampled_from(sorted(FIELDS)), st.sampled_from(VALUES))
    commits = st.none() | st.integers(1, 9)
    numbers = count(1)

    class TwoSides(RuleBasedStateMachine):
        @initialize()
        def begin(self) -> None:
            site.run(self._begin())

        async def _begin(self) -> None:
            await mirror.fail_next([])
            for each in list(world.store("contacts").records):
                world.erase(each)
            world.events.clear()
            for table in TABLES:
                await mirror.execute("delete from " + table + " where tenant_id = %(tenant_id)s")  # type: ignore[arg-type]
            self.begun = True
            for _ in range(RECORDS):
                self._make_there()
            await mirror.pull("contacts", full=True)

        def _email(self) -> str:
            return f"c{next(numbers)}@here.example"

        def _make_there(self) -> None:
            world.create("contacts", {"email": self._email(), "firstname": "Ann", "lastname": "Lee"})

        @rule()
        def make_there(self) -> None:
            self._make_there()

        @rule()
        def make_here(self) -> None:
            site.run(
                mirror.execute(
                    "insert into crm.contacts (tenant_id, id, email, first_name) values (%(tenant_id)s,"
                    " gen_random_uuid(), %(email)s, 'Ann')",
                    email=self._email(),
                )
            )

        def _theirs(self, which: int) -> int | None:
            living = world.store("contacts").living
            return living[which % len(living)] if living else None

        @rule(which=which, change=change)
        def edit_there(self, which: int, change: tuple[str, str]) -> None:
            remote_id = self._theirs(which)
            if remote_id is not None:
                world.update("contacts", remote_id, {FIELDS[change[0]]: change[1]})

        @rule(which=which, change=change)
        def edit_here(self, which: int, change: tuple[str, str]) -> None:
            self._do(which, "update crm.contacts set " + change[0] + " = %(value)s", value=change[1])

        @rule(which=which)
        def archive_here(self, which: int) -> None:
            self._do(which, "update crm.contacts set archived_at = now()")

        @rule(which=which)
        def delete_here(self, which: int) -> None:
            self._do(which, "delete from crm.contacts")

        def _do(self, which: int, what: str, **values: Any) -> None:
            site.run(self._do_one(which, what, values))

        async def _do_one(self, which: int, what: str, values: dict[str, Any]) -> None:
            rows = await mirror.select(
                "select id from crm.contacts where archived_at is null and merged_into is null order by email"
            )
            if rows:
                chosen = rows[which % len(rows)]["id"]
                await mirror.execute(what + " where id = %(id)s", id=chosen, **values)  # type: ignore[arg-type]

        @rule(which=which)
        def archive_there(self, which: int) -> None:
            remote_id = self._theirs(which)
            if remote_id is not None:
                world.archive("contacts", remote_id)

        @rule(which=which)
        def restore_there(self, which: int) -> None:
            store = world.store("contacts")
            archived = [i for i, each in store.records.items() if each.archived_ms is not None]
            if archived:
                world.restore("contacts", archived[which % len(archived)])

        @rule(which=which)
        def merge_there(self, which: int) -> None:
            living = world.store("contacts").living
            if len(living) > 1:
                one, two = living[which % len(living)], living[(which + 1) % len(living)]
                world.merge("contacts", one, two)

        @rule(commits=commits)
        def pull(self, commits: int | None) -> None:
            site.run(self._as_process(commits, self._pull))

        @rule(commits=st.integers(1, 60))
        def push(self, commits: int) -> None:
            site.run(self._push(commits, ""))

        @rule(call=st.sampled_from(["batch/read", "batch/update", "batch/upsert", "batch/archive"]))
        def push_and_die(self, call: str) -> None:
            site.run(self._push(10_000, call))

        async def _push(self, commits: int, call: str) -> None:
            await mirror.execute(
                "update sync.queue set not_before = queued_at where tenant_id = %(tenant_id)s"
            )
            with suppress(SynclineError):
                await push_and_die(mirror, commits=commits, answered=call)

        @rule(picked=st.lists(st.integers(0, 11), min_size=1, max_size=4), commits=commits)
        def deliver(self, picked: list[int], commits: int | None) -> None:
            """Some of what happened lately is told."""
            recent = list(world.events)[-12:]
            told = [_webhook(recent[each % len(recent)]) for each in picked if recent]
            if told:
                site.run(self._as_process(commits, lambda db: self._reread(db, told)))

        @rule(
            kinds=st.lists(st.sampled_from(["500", "reset", "reset-after-commit", "truncated"]), max_size=2)
        )
        def break_calls(self, kinds: list[str]) -> None:
            site.run(mirror.fail_next(kinds))

        async def _as_process(self, commits: int | None, doing: Any) -> None:
            db = mirror.db if commits is None else MortalDatabase(mirror.db, commits)
            with suppress(Killed, SynclineError):
                await doing(db)
            if commits is not None:
                await mirror.execute(
                    "update sync.leases set expires_at = now() - interval '1 second'"
                    " where tenant_id = %(tenant_id)s"
                )

        async def _pull(self, db: Database) -> None:
            await pull(db, await mirror.open(), Order("contacts", requested_by="test"), mirror.settings)

        async def _reread(self, db: Database, told: list[WebhookEvent]) -> None:
            remote = await mirror.open()
            hints = gather_hints(told, ["contacts"], ())["contacts"]
            remote_object = await remote.connector.get_object("contacts")
            async with hold_lease(db, **remote.keys, purpose="webhooks", seconds=30) as lease:
                reading = await Rereading.begin(db, remote, remote_object, hints, lease, mirror.settings)
                await reading.read()
                await reading.finish()

        def teardown(self) -> None:
            if hasattr(self, "begun"):
                site.run(self._check())

        async def _check(self) -> None:
            await mirror.fail_next([])
            for _ in range(3):
                await mirror.pull("contacts", full=True)
                # Pushed while a record was in the bin, and nobody had noticed before it was taken out again.
                await mirror.execute(
                    "update sync.queue set state = 'pending', attempts = 0 where state = 'parked'"
                    " and tenant_id = %(tenant_id)s and last_error = %(reason)s",
                    reason=GONE,
                )
                await mirror.settle()
            await assert_settled(mirror)
            theirs = truth(world, "contacts")
            buried = {
                row["remote_id"] for row in await mirror.select("select remote_id from sync.tombstones")
            }
            records = await mirror.records("contacts", "contacts")
            living = {i: each for i, each in records.items() if each["archived_at"] is None}
            assert living.keys() == theirs.keys() - buried
            assert len({each["id"] for each in living.values()}) == len(living)
            for remote_id, record in living.items():
                for name, prop in FIELDS.items():
                    assert record[name] == (theirs[remote_id][prop] or None), (remote_id, name)
            # Nobody lives here whom the CRM does not have.
            [alone] = await mirror.select(
                "select count(*) from crm.contacts where archived_at is null and merged_into is null"
            )
            assert alone["count"] == len(living)
            # Nobody was made twice there.
            own = [each[EXTERNAL_ID] for each in theirs.values() if each.get(EXTERNAL_ID)]
            assert len(set(own)) == len(own)
            rows = await mirror.select("select * from sync.remote_changes")
            assert all(row["remote_id"] for row in rows if row["state"] == "done")

    return TwoSides


@pytest.fixture
def site(server: Any, template: str, tmp_path: Any) -> Any:
    made = Site(server, template, tmp_path)

    async def prepare() -> None:
        await made.mirror.make_unique("contacts")
        await made.mirror.allow("contacts", "create", "archive", fields=())

    made.run(prepare())
    yield made
    made.close()


def _check(site: Site, histories: int) -> None:
    run_state_machine_as_test(
        machine_of(site),
        settings=settings(
            max_examples=histories,
            stateful_step_count=16,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            report_multiple_bugs=False,
            phases=[Phase.explicit, Phase.generate],
        ),
    )


@pytest.mark.first
def test_records_come_to_agree_after_any_history(site: Site):
    _check(site, 20)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_records_come_to_agree_after_each_of_many_histories(site: Site):
    _check(site, 1_500)
