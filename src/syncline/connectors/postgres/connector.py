"""A CRM in Postgres behind the contract of `base`: who does what. Knows operations, and no statement."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

import msgspec

from syncline.clock import from_ms, now, to_ms
from syncline.connectors.base import RemoteObject
from syncline.connectors.defaults import Plain
from syncline.connectors.postgres import describing, sending
from syncline.connectors.postgres.catalogue import INTEGERS, Table
from syncline.connectors.postgres.decode import page_of, read_answer
from syncline.connectors.postgres.failures import missing_external_id
from syncline.connectors.postgres.objects import (
    CAPABILITIES,
    OBJECTS,
    PAGE_IDS,
    PAGE_ROWS,
    REFERENCES,
    USERS,
    find_object,
)
from syncline.connectors.postgres.places import Places
from syncline.connectors.postgres.virtual import DEALS, PIPELINE
from syncline.connectors.postgres.wire import (
    AddColumn,
    AskServer,
    AskTable,
    Changes,
    Ids,
    Names,
    Position,
    ReadByIds,
    ReadChanged,
    ReadLinks,
    ReadRows,
    Rows,
    Server,
    Watch,
    Watched,
)
from syncline.connectors.reads import SERIAL, Account, Association, Page, Pipeline, PropertyDefinition, Walk
from syncline.connectors.records import RemoteRecord
from syncline.connectors.transport import Request, Send
from syncline.connectors.webhooks import WebhookEvent
from syncline.connectors.writes import (
    PropertyPlan,
    RemoteLink,
    RemoteWrite,
    WantedProperty,
    WriteOutcome,
)
from syncline.errors import Invalid, NotFound, SettingInvalid, Unavailable

T = TypeVar("T")

#: Older ones cannot replace a trigger in place.
_OLDEST = 140000
_WATCH_SECONDS = 20.0
_TYPE = "references"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


class Postgres(Plain):
    """One connection's tables. See `base.Connector` for what each method promises.

    Rows have no history, and are not merged: what refers to them is not known.
    """

    capabilities = CAPABILITIES

    def __init__(self, send: Send, places: Places) -> None:
        self._send = send
        self._places = places

    async def check(self) -> Account:
        began = now()
        server = await self._ask("/server", AskServer(self._all()), Server)
        took = (now() - began).total_seconds()
        if server.version < _OLDEST:
            raise SettingInvalid("The CRM's database is older than Postgres 14, which is needed.")
        if server.is_ours:
            raise SettingInvalid(
                "The base URL leads to Syncline's own database. A CRM is kept in another one."
            )
        if not {"companies", "contacts", DEALS}.intersection(server.found):
            raise SettingInvalid(
                f"The schema {self._places.schema} has no table of companies, contacts or deals that this "
                "role sees. Name the schema and the tables in the connection's settings."
            )
        skew = server.now_ms / 1000 - (began.timestamp() + took / 2)
        return Account(
            account_id=server.account_id,
            name=server.database,
            time_zone=None,
            currency=None,
            url=None,
            clock_skew_seconds=round(skew, 1),
            scopes=None,
            daily_used=None,
            daily_limit=None,
        )

    async def get_object(self, object_name: str) -> RemoteObject:
        known = find_object(object_name)
        if known is None and not _NAME.fullmatch(object_name):
            raise NotFound(f"{object_name} is no name of a table that can be mirrored.")
        table = await self._table(object_name, fresh=True)
        found = known or RemoteObject(object_name, None, self._places.modified)
        modified = table.modified
        return replace(
            found,
            incremental=found.incremental and modified is not None,
            modified_property=self._places.modified if modified is None else modified.name,
            associates_with=await self._existing(found.associates_with),
        )

    async def _existing(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the objects whose tables are there: nobody is asked about ties to those that are not."""
        existing: list[str] = []
        for name in names:
            with suppress(NotFound):
                await self._table(name)
                existing.append(name)
        return tuple(existing)

    async def describe(self, object_name: str) -> list[PropertyDefinition]:
        table = await self._table(object_name, fresh=True)
        has_users = bool(await self._existing((USERS,)))
        return describing.describe(object_name, table, has_users=has_users)

    async def list_pipelines(self, object_name: str) -> list[Pipeline]:
        if object_name != DEALS:
            return []
        table = await self._table(DEALS)
        stage, pipeline = table.find(describing.STAGE), table.find(PIPELINE)
        if stage is None:
            return []
        if stage.labels:
            stages: Sequence[str] = self._places.stages or stage.labels
        else:
            stages = self._places.stages
        names = (PIPELINE, describing.STAGE) if pipeline is not None else (describing.STAGE,)
        asked = AskTable(table.place, columns=names)
        values = await self._ask("/values", asked, list[list[str | None]])
        if pipeline is None:
            values = [[DEALS, None], *([DEALS, each[0]] for each in values)]
        return describing.list_pipelines(values, stages)

    async def plan_walk(self, object_name: str) -> Walk:
        table = await self._table(object_name)
        total = await self.count(object_name)
        if table.key.base not in INTEGERS:
            return Walk("serial", total=total)
        first, last = await self._ask("/ends", AskTable(table.place), tuple[str | None, str | None])
        if first is None or last is None or int(first) < 1:
            return Walk("serial", total=total)
        return Walk("list", int(first), int(last), total)

    async def find_bounds(self, object_name: str, walk: Walk, parts: int) -> AsyncIterator[int]:
        if walk.kind == "serial":
            return
        after = "0"
        for _ in range(parts - 1):
            asked = AskTable(self._places.of(object_name), after=after, parts=parts)
            bounds = (await self._ask("/bounds", asked, Names)).names
            if not bounds:
                return
            after = bounds[0]
            yield int(after)

    async def walk_page(
        self, object_name: str, properties: Sequence[str], walk: Walk, after: str, until: str
    ) -> Page:
        del properties  # a row is read whole
        bound = "" if walk.kind == "serial" else until
        return await self._page(object_name, ReadRows(self._places.of(object_name), after, bound, PAGE_ROWS))

    async def list_ids(
        self, object_name: str, after: str, until: str, walk: Walk = SERIAL
    ) -> tuple[list[str], str | None]:
        bound = "" if walk.kind == "serial" else until
        asked = ReadRows(self._places.of(object_name), after, bound, PAGE_IDS, narrow=True)
        found = await self._ask("/rows", asked, Ids)
        return found.ids, found.ids[-1] if found.more else None

    async def archived_page(self, object_name: str, properties: Sequence[str], after: str) -> Page:
        del properties
        place = self._places.of(object_name)
        return await self._page(object_name, ReadRows(place, after, "", PAGE_ROWS, archived=True))

    async def changed_pages(
        self, object_name: str, properties: Sequence[str], since_ms: int, until_ms: int | None
    ) -> AsyncIterator[Page]:
        del properties
        table = await self._table(object_name)
        if table.modified is None:
            raise Invalid(f"{object_name} cannot be followed by modified time: list it.")
        asked = ReadChanged(
            table.place,
            from_ms(max(0, since_ms)).isoformat(),
            None if until_ms is None else from_ms(until_ms + 1).isoformat(),
            limit=PAGE_ROWS,
        )
        first_ms: int | None = None
        while True:
            began_ms = to_ms(now())
            rows = await self._ask("/changed", asked, Rows)
            # A row that changes while we read moves behind us or to the end: complete is what was before
            # the first look, once everything has been read.
            first_ms = first_ms or rows.now_ms
            if not rows.more:
                complete_ms = first_ms if until_ms is None else min(first_ms, until_ms + 1)
                yield page_of(object_name, rows, began_ms, None, complete_ms)
                return
            if rows.last is None or rows.last == asked.after:
                raise Unavailable("The CRM's database repeats its page; it was left.")
            last_ms = rows.rows[-1].modified_ms
            yield page_of(object_name, rows, began_ms, None, last_ms)
            asked = msgspec.structs.replace(asked, after=rows.last)

    async def count(self, object_name: str) -> int | None:
        return await self._ask("/count", AskTable(self._places.of(object_name)), int)

    async def read_many(self, object_name: str, remote_ids: Sequence[str], properties: Sequence[str]) -> Page:
        del properties
        if len(remote_ids) > CAPABILITIES.read_batch:
            raise Invalid(f"At most {CAPABILITIES.read_batch} records can be read at once.")
        began_ms = to_ms(now())
        asked = ReadByIds(self._places.of(object_name), list(remote_ids))
        return page_of(object_name, await self._ask("/by-ids", asked, Rows), began_ms, None, None)

    async def read_associations(
        self, from_object: str, to_object: str, remote_ids: Sequence[str]
    ) -> list[Association]:
        column, reverse = REFERENCES.get((from_object, to_object)), False
        near = from_object
        if column is None:
            column, reverse, near = REFERENCES.get((to_object, from_object)), True, to_object
        if column is None:
            return []
        asked = ReadLinks(self._places.of(near), column[0], list(remote_ids), reverse)
        found = await self._ask("/links", asked, list[tuple[str, str]])
        pairs = [(to_id, from_id) for from_id, to_id in found] if reverse else found
        return [Association(a, b, 0, f"{from_object}_{to_object}", _TYPE, None) for a, b in pairs]

    async def write_many(self, object_name: str, writes: Sequence[RemoteWrite]) -> list[WriteOutcome]:
        _check_writable(object_name, len(writes))
        return await sending.write_many(self._send, object_name, await self._table(object_name), writes)

    async def archive_many(self, object_name: str, remote_ids: Sequence[str]) -> list[WriteOutcome]:
        _check_writable(object_name, len(remote_ids))
        return await sending.archive_many(self._send, self._places.of(object_name), remote_ids)

    async def associate_many(
        self, from_object: str, to_object: str, links: Sequence[RemoteLink]
    ) -> list[WriteOutcome]:
        return await self._refer("/refer", from_object, to_object, links)

    async def dissociate_many(
        self, from_object: str, to_object: str, links: Sequence[RemoteLink]
    ) -> list[WriteOutcome]:
        return await self._refer("/unrefer", from_object, to_object, links)

    async def find_by_external_id(
        self, object_name: str, external_ids: Sequence[str], properties: Sequence[str] = ()
    ) -> dict[str, RemoteRecord]:
        del properties
        _check_writable(object_name, len(external_ids))
        table = await self._table(object_name)
        if table.external is None:
            raise missing_external_id(table.place)
        asked = ReadByIds(table.place, list(external_ids), external=True)
        page = page_of(object_name, await self._ask("/by-ids", asked, Rows), to_ms(now()), None, None)
        by_id = {str(each.external_id).lower(): each for each in page.records if each.archived_ms is None}
        return {each: by_id[each.lower()] for each in external_ids if each.lower() in by_id}

    async def ensure_webhooks(self, address: str, secret: str) -> list[str]:
        """Make the tables note their changes for `listen`. Neither address nor secret is needed for that."""
        del address, secret
        asked = Watched(self._places.schema, self._all())
        found = await self._ask("/install", asked, Names)
        return [f"{name}: rows that are made, changed and deleted" for name in found.names]

    async def remove_webhooks(self, address: str) -> int:
        del address
        asked = Watched(self._places.schema, self._all())
        return len((await self._ask("/uninstall", asked, Names)).names)

    async def listen(self) -> AsyncIterator[Sequence[WebhookEvent]]:
        position: Position | None = None
        while True:
            asked = Watch(self._places.schema, self._all(), position, _WATCH_SECONDS)
            found = await self._ask("/watch", asked, Changes)
            position = found.position
            yield [
                WebhookEvent(
                    each.id,
                    "",
                    self._places.object_of(each.object),
                    each.key,
                    "archived" if each.op == "delete" else "changed",
                    each.at_ms,
                )
                for each in found.changes
            ]

    async def erase_many(self, object_name: str, remote_ids: Sequence[str]) -> list[WriteOutcome]:
        if object_name not in CAPABILITIES.persons:
            raise Invalid(f"Only contacts can be erased, not {object_name}.")
        _check_writable(object_name, len(remote_ids))
        place = self._places.of(object_name)
        return await sending.erase_many(self._send, place, self._places.erased, remote_ids)

    def external_id_property(self, object_name: str) -> WantedProperty | None:
        return None if object_name == USERS else describing.EXTERNAL_ID_PROPERTY

    async def plan_properties(self, object_name: str, wanted: Sequence[WantedProperty]) -> list[PropertyPlan]:
        _check_writable(object_name)
        table = await self._table(object_name, fresh=True)
        return [describing.plan(each, table) for each in wanted]

    async def apply_properties(
        self, object_name: str, wanted: Sequence[WantedProperty]
    ) -> list[PropertyPlan]:
        plans = await self.plan_properties(object_name, wanted)
        applied: list[PropertyPlan] = []
        for each in plans:
            if each.state != "create":
                applied.append(each)
                continue
            kind = describing.type_of(each.wanted)
            column = AddColumn(
                self._places.of(object_name),
                each.wanted.name,
                kind,
                each.wanted.unique,
                each.wanted.description,
            )
            try:
                await self._ask("/add-column", column, Names)
            except Invalid as error:
                applied.append(PropertyPlan(each.wanted, "refused", str(error)))
            else:
                applied.append(PropertyPlan(each.wanted, "created"))
        return applied

    async def _refer(
        self, path: str, from_object: str, to_object: str, links: Sequence[RemoteLink]
    ) -> list[WriteOutcome]:
        _check_writable(from_object, len(links), CAPABILITIES.association_batch)
        return await sending.refer_many(self._send, self._places, path, (from_object, to_object), links)

    async def _page(self, object_name: str, asked: ReadRows) -> Page:
        began_ms = to_ms(now())
        rows = await self._ask("/rows", asked, Rows)
        after = rows.rows[-1].id if rows.more else None
        if after is not None and after == asked.after:
            raise Unavailable("The CRM's database repeats its page; it was left.")
        return page_of(object_name, rows, began_ms, after, None)

    async def _table(self, object_name: str, *, fresh: bool = False) -> Table:
        return await self._ask("/table", AskTable(self._places.of(object_name), fresh=fresh), Table)

    def _all(self) -> dict[str, Any]:
        return {each.name: self._places.of(each.name) for each in OBJECTS}

    async def _ask(self, path: str, asked: msgspec.Struct, kind: type[T]) -> T:
        return read_answer(await self._send(Request("POST", path, json=asked, template=path)), kind)


def _check_writable(object_name: str, count: int = 0, most: int = CAPABILITIES.write_batch) -> None:
    if object_name == USERS:
        raise Invalid("Users of the CRM are not written.")
    if count > most:
        raise Invalid(f"At most {most} can be written at once.")
