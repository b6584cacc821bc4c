"""Three CRMs of three kinds and the hub: when edits stop, all four are equal, and no value is lost unseen.

Random histories as in `test_convergence`, of people whom each CRM knows as a record of its own; they are one
contact here by their e-mail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any, TypeVar, cast
from uuid import UUID, uuid4

import pytest
import simulated
import test_pipedrive_sync as pipedrive
import test_postgres_sync as postgres
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from psycopg import sql
from pydantic import SecretStr
from simulated import Mirror
from test_convergence import Killed, MortalDatabase

from small_crm import Crm, small_crm
from syncline.config import Settings
from syncline.connectors.webhooks import WebhookEvent
from syncline.engine.hints import gather_hints
from syncline.engine.lease import hold_lease
from syncline.engine.pull import Order, pull
from syncline.engine.push import drain
from syncline.engine.reconcile import reconcile
from syncline.engine.reread import Rereading
from syncline.errors import SynclineError
from syncline.store.db import Database

#: Field → values to choose from. Names of one word: one of the CRMs takes them apart by itself.
FIELDS: dict[str, tuple[Any, ...]] = {
    "first_name": ("Ann", "Bob", "Cy"),
    "last_name": ("Lee", "Low"),
    "phone": ("+14155552671", "+14155552672", None),
}
OBJECTS = {"hubspot": "contacts", "pipedrive": "persons", "postgres": "contacts"}
PEOPLE = 2
TENANT = UUID("00000000-0000-7000-8000-000000000001")
_HUBSPOT = {"first_name": "firstname", "last_name": "lastname", "phone": "phone"}
_T = TypeVar("_T")


class Hub:
    """Three CRMs and one hub, kept from history to history; each history has people of its own."""

    def __init__(self, server: Any, template: str, folder: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self.mirrors: dict[str, Mirror] = {}
        self.crm: Crm
        self.run(self._open(server, template, folder))

    def run(self, doing: Coroutine[Any, Any, _T]) -> _T:
        return self._loop.run_until_complete(doing)

    async def _open(self, server: Any, template: str, folder: Any) -> None:
        enter = self._stack.enter_async_context
        urls = await enter(server.database(template))
        db = await enter(Database.open(urls.app, application_name="test", max_size=8))
        given = Settings(database_url=SecretStr(urls.app), home=folder / "home")
        self.crm = await enter(small_crm(server, companies=0, contacts=0, deals=0, activities=0))
        worlds = simulated.world_of(), pipedrive.world_of()
        self.mirrors = {
            "hubspot": await enter(simulated.mirror_of(worlds[0], db, given, TENANT)),
            "pipedrive": await enter(pipedrive.mirror_of(worlds[1], db, given, TENANT)),
            "postgres": await enter(postgres.mirror_of_crm(self.crm, db, given, TENANT)),
        }
        for name, mirror in self.mirrors.items():
            await mirror.pull(OBJECTS[name])
            await mirror.allow(OBJECTS[name], kind="contact")

    async def create(self, email: str) -> dict[str, str]:
        """Make one person in each CRM; returns their ids."""
        world = self.mirrors["hubspot"].world
        first = world.create("contacts", {"email": email, "firstname": "Ann", "lastname": "Lee"}).id
        second = pipedrive.world_behind(self.mirrors["pipedrive"]).create(
            "persons",
            {
                "first_name": "Ann",
                "last_name": "Lee",
                "emails": [{"value": email, "primary": True, "label": "work"}],
            },
        )
        [third] = await self.crm.run(
            "insert into contacts (email, first_name, last_name) values (%s, 'Ann', 'Lee') returning id",
            email,
        )
        return {"hubspot": str(first), "pipedrive": str(second.id), "postgres": str(third["id"])}

    async def edit(self, name: str, remote_id: str, field: str, value: Any) -> None:
        if name == "hubspot":
            self.mirrors[name].world.update("contacts", int(remote_id), {_HUBSPOT[field]: value})
        elif name == "pipedrive":
            phones = [] if value is None else [{"value": value, "primary": True, "label": "work"}]
            given = {"phones": phones} if field == "phone" else {field: value}
            world = pipedrive.world_behind(self.mirrors[name])
            if field != "phone":  # the parts of a name are written together
                now = world.truth("persons")[int(remote_id)]
                given = {each: now[each] for each in ("first_name", "last_name")} | given
            world.update("persons", int(remote_id), given)
        else:
            await self.crm.run(
                sql.SQL("update contacts set {} = %s, updated_at = clock_timestamp() where id = %s").format(
                    sql.Identifier(field)
                ),
                value,
                remote_id,
            )

    async def read(self, name: str, remote_id: str) -> dict[str, Any]:
        """Return a person as a CRM has them, in our words."""
        if name == "hubspot":
            found = simulated.truth(self.mirrors[name].world, "contacts")[remote_id]
            return {field: found.get(prop) or None for field, prop in _HUBSPOT.items()}
        if name == "pipedrive":
            person = pipedrive.world_behind(self.mirrors[name]).truth("persons")[int(remote_id)]
            phones = cast("list[dict[str, Any]]", person["phones"] or [])
            primary = next((each["value"] for each in phones if each["primary"]), None)
            return {"first_name": person["first_name"], "last_name": person["last_name"], "phone": primary}
        [row] = await self.crm.run(
            "select first_name, last_name, phone from contacts where id = %s", remote_id
        )
        return dict(row)

    def close(self) -> None:
        self.run(self._stack.aclose())
        self._loop.close()


def machine_of(hub: Hub) -> type[RuleBasedStateMachine]:
    who = st.integers(0, PEOPLE - 1)
    where = st.sampled_from(sorted(OBJECTS))
    change = st.sampled_from([(name, value) for name, values in FIELDS.items() for value in values])
    commits = st.none() | st.integers(1, 9)

    class FourSides(RuleBasedStateMachine):
        @initialize()
        def begin(self) -> None:
            self.told: list[tuple[str, str]] = []
            #: (person, field) → every value somebody gave it, with where.
            self.given: dict[tuple[int, str], list[tuple[str, Any]]] = {}
            self.emails = [f"{uuid4().hex}@example.com" for _ in range(PEOPLE)]
            self.people = [hub.run(hub.create(email)) for email in self.emails]
            for name, mirror in hub.mirrors.items():
                hub.run(mirror.pull(OBJECTS[name]))

        @rule(who=who, where=where, change=change)
        def edit_there(self, who: int, where: str, change: tuple[str, Any]) -> None:
            field, value = change
            remote_id = self.people[who][where]
            if hub.run(hub.read(where, remote_id))[field] != value:
                hub.run(hub.edit(where, remote_id, field, value))
                self.told.append((where, remote_id))
                self.given.setdefault((who, field), []).append((where, value))

        @rule(who=who, change=change)
        def edit_here(self, who: int, change: tuple[str, Any]) -> None:
            field, value = change
            hub.run(self._edit_here(self.emails[who], field, value))
            self.given.setdefault((who, field), []).append(("here", value))

        async def _edit_here(self, email: str, field: str, value: Any) -> None:
            await hub.mirrors[
                "hubspot"
            ].execute(
                "update crm.contacts set " + field + " = %(value)s where email_norm = %(email)s"  # type: ignore[arg-type]
                " and " + field + " is distinct from %(value)s",
                value=value,
                email=email,
            )

        @rule(where=where, commits=commits)
        def pull(self, where: str, commits: int | None) -> None:
            hub.run(self._as_process(where, commits, self._pull))

        @rule(where=where, commits=commits)
        def push(self, where: str, commits: int | None) -> None:
            hub.run(self._as_process(where, commits, self._push))

        @rule(commits=commits, picked=st.lists(st.integers(0, 5), min_size=1, max_size=4))
        def deliver(self, commits: int | None, picked: list[int]) -> None:
            """Some of what was told arrives: any of it, in any order, more than once, some of it never."""
            hinted = [self.told[each % len(self.told)] for each in picked if self.told]
            for name in OBJECTS:
                ids = [remote_id for where, remote_id in hinted if where == name]
                if ids:
                    hub.run(self._as_process(name, commits, lambda db, n=name, i=ids: self._reread(db, n, i)))

        @rule(kinds=st.lists(st.sampled_from(["500", "reset", "reset-after-commit"]), min_size=1, max_size=2))
        def break_calls(self, kinds: list[str]) -> None:
            hub.run(hub.mirrors["hubspot"].fail_next(kinds))

        async def _as_process(self, where: str, commits: int | None, doing: Any) -> None:
            mirror = hub.mirrors[where]
            db = mirror.db if commits is None else MortalDatabase(mirror.db, commits)
            with suppress(Killed, SynclineError):
                await (doing(db) if doing.__name__ == "<lambda>" else doing(db, where))
            if commits is not None:  # what the dead held is free once its time is over
                await mirror.execute(
                    "update sync.leases set expires_at = now() - interval '1 second'"
                    " where tenant_id = %(tenant_id)s"
                )

        async def _pull(self, db: Database, where: str) -> None:
            mirror = hub.mirrors[where]
            await pull(db, await mirror.open(), Order(OBJECTS[where], requested_by="test"), mirror.settings)

        async def _push(self, db: Database, where: str) -> None:
            await drain(db, await hub.mirrors[where].open(), hub.mirrors[where].settings)

        async def _reread(self, db: Database, where: str, ids: list[str]) -> None:
            mirror, name = hub.mirrors[where], OBJECTS[where]
            remote = await mirror.open()
            events = [WebhookEvent("", "", name, each, "changed", 0) for each in ids]
            hints = gather_hints(events, [name], ())[name]
            remote_object = await remote.connector.get_object(name)
            async with hold_lease(db, **remote.keys, purpose="webhooks", seconds=30) as lease:
                reading = await Rereading.begin(db, remote, remote_object, hints, lease, mirror.settings)
                await reading.read()
                await reading.finish()

        def teardown(self) -> None:
            if hasattr(self, "people"):
                hub.run(self._check())

        async def _check(self) -> None:
            await hub.mirrors["hubspot"].fail_next([])
            await self._come_to_rest()
            for who, ids in enumerate(self.people):
                record = await self._record(self.emails[who])
                for where, remote_id in ids.items():
                    theirs = await hub.read(where, remote_id)
                    assert theirs == {field: record[field] for field in FIELDS}, (where, remote_id)
                await self._check_traces(who, record)
                select = hub.mirrors["hubspot"].select
                waiting = (
                    "select connection_id, fields, state, last_error from sync.queue where record_id = %(id)s"
                )
                assert await select(waiting, id=record["id"]) == []
                asked = "select field from sync.conflicts where record_id = %(id)s and status = 'open'"
                assert await select(asked, id=record["id"]) == []

        async def _come_to_rest(self) -> None:
            """Read and send everything until a look at all of them finds nothing to do; it must end."""
            for turn in range(8):
                moved = 0
                for name, mirror in hub.mirrors.items():
                    run = await mirror.pull(OBJECTS[name])
                    moved += run.records_created + run.records_updated
                    await self._settle(mirror)
                    order = Order(OBJECTS[name], requested_by="test")
                    await reconcile(mirror.db, await mirror.open(), order, mirror.settings, heal_all=True)
                await self._settle(*hub.mirrors.values())
                if turn and not moved:
                    return
            raise AssertionError("The four sides do not come to rest.")

        async def _settle(self, *mirrors: Mirror) -> None:
            for _ in range(20):
                for mirror in mirrors:
                    await mirror.let_time_pass()
                    await mirror.push()
                ids = [mirror.connection_id for mirror in mirrors]
                if not await mirrors[0].select(
                    "select 1 from sync.queue where state = 'pending' and connection_id = any(%(ids)s)",
                    ids=ids,
                ):
                    return
            raise AssertionError("The queue does not become empty.")

        async def _record(self, email: str) -> dict[str, Any]:
            rows = await hub.mirrors["hubspot"].select(
                "select * from crm.contacts where email_norm = %(email)s and merged_into is null"
                " and archived_at is null",
                email=email,
            )
            assert len(rows) == 1, "one person is one contact"
            return rows[0]

        async def _check_traces(self, who: int, record: dict[str, Any]) -> None:
            """The last word of each side stands, or can be found where it was overruled."""
            select = hub.mirrors["hubspot"].select
            log = await select("select changes from crm.change_log where record_id = %(id)s", id=record["id"])
            decisions = await select(
                "select field, ours, theirs, losing from sync.decisions where record_id = %(id)s",
                id=record["id"],
            )
            for field in FIELDS:
                traces = [value for row in log for value in row["changes"].get(field, ())]
                for row in decisions:
                    if row["field"] == field:
                        traces += [row["ours"], row["theirs"], row["losing"]]
                words = self.given.get((who, field), [])
                for side in ("here", *OBJECTS):
                    for value in [value for whose, value in words if whose == side][-1:]:
                        assert value == record[field] or value in traces, (who, field, side, value)

    return FourSides


@pytest.fixture
def hub(server: Any, template: str, tmp_path: Any) -> Any:
    made = Hub(server, template, tmp_path)
    yield made
    made.close()


def _check(hub: Hub, histories: int) -> None:
    run_state_machine_as_test(
        machine_of(hub),
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


@pytest.mark.timeout(600)  # counts on a busy machine
def test_three_crms_and_the_hub_come_to_agree_after_any_history(hub: Hub):
    _check(hub, 15)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_three_crms_and_the_hub_come_to_agree_after_each_of_many_histories(hub: Hub):
    _check(hub, 1_000)
