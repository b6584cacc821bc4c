"""Rows of a file planned: their cells read, what they refer to looked up, the record each means found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from syncline.actions.hub import Hub
from syncline.actions.seeing import may_see, owners_seen
from syncline.domain.callers import Caller
from syncline.domain.filters import read_sort
from syncline.domain.record_fields import Field, RecordFields
from syncline.domain.record_values import read_values
from syncline.domain.records import RECORD_TYPES
from syncline.domain.resolving import value_of
from syncline.domain.tables import Manner, read_cell
from syncline.domain.undoing import stands
from syncline.domain.values import Unreadable
from syncline.errors import Invalid
from syncline.store import names, recognising, record_lists
from syncline.store.batch_rows import Action, Row
from syncline.store.batches import Batch
from syncline.store.db import Conn
from syncline.store.record_lists import Listing

#: Kind → the field that tells who a row is, where it names no id.
IDENTITY: Mapping[str, str] = {"contact": "email", "company": "domain"}
#: How a row is known that names neither an id nor an identity: as the line of its file.
BY_LINE = "line"
#: Kind → what its records may be named by in a file, besides their id: the first that knows one.
_NAMED_BY: Mapping[str, tuple[str, ...]] = {
    "owner": ("email",),
    "contact": ("email",),
    "company": ("domain", "name"),
    "deal": ("name",),
}


class Planner:
    """Plans the rows of one file, some at a time, in their order."""

    def __init__(self, conn: Conn, hub: Hub, caller: Caller, fields: RecordFields, batch: Batch) -> None:
        terms = batch.terms
        self._conn = conn
        self._hub = hub
        self._caller = caller
        self._fields = fields
        self._batch = batch
        self._columns: list[str] = list(terms["columns"])
        mapping: dict[str, str | None] = dict(terms["mapping"])
        self._mapped = {index: mapping.get(name) for index, name in enumerate(self._columns)}
        self._manner = Manner(**terms["manner"])
        #: What a row was known by → its line.
        self._seen: dict[str, int] = {}

    async def plan(self, rows: Sequence[Row]) -> list[Row]:
        """Return rows with what is to be done about each."""
        given: list[dict[str, Any]] = []
        faults: list[dict[str, str]] = []
        for row in rows:
            values, wrong = self._read_cells(row)
            given.append(values)
            faults.append(wrong)
        await self._resolve(given, faults)
        ways, ids = await self._recognise(rows, given, faults)
        wanted = sorted({each for each in ids if each is not None})
        listing = Listing(self._fields, archived="any", ids=wanted)
        listed = await record_lists.list_page(
            self._conn,
            listing,
            read_sort(self._fields, None),
            after=None,
            limit=len(wanted) + 1,
            tenant_id=self._hub.tenant_id,
        )
        found = {UUID(each.row["id"]): each.row for each in listed}
        return [
            self._judge(row, values, wrong, (way, record_id), found)
            for row, values, wrong, way, record_id in zip(rows, given, faults, ways, ids, strict=True)
        ]

    def _read_cells(self, row: Row) -> tuple[dict[str, Any], dict[str, str]]:
        values: dict[str, Any] = {}
        faults: dict[str, str] = {}
        cells: list[str] = list((row.values or {}).get("cells") or ())
        for index, name in self._mapped.items():
            if name is None:
                continue
            text = cells[index].strip() if index < len(cells) else ""
            if name == "id":
                values["id"] = text
                continue
            each = self._fields.find(name)
            if each is None or (not text and not self._manner.clears):
                continue
            try:
                values[name] = read_cell(each, text, self._manner) or None
            except Unreadable as fault:
                faults[name] = str(fault)
        return values, faults

    async def _resolve(self, given: Sequence[dict[str, Any]], faults: Sequence[dict[str, str]]) -> None:
        """Turn what references are named by into ids."""
        for name in {each for values in given for each in values}:
            each = self._fields.fields.get(name)
            if each is None or each.refers_to is None:
                continue
            texts = {str(values[name]) for values in given if values.get(name)}
            known = await self._find_referred(each, texts)
            for values, wrong in zip(given, faults, strict=True):
                if values.get(name):
                    found = known.get(str(values[name]), [])
                    if len(found) == 1:
                        values[name] = str(found[0])
                        continue
                    del values[name]
                    many = f"Several {each.refers_to} records are called so; name one by its id."
                    wrong[name] = many if found else f"There is no such {each.refers_to}."

    async def _find_referred(self, each: Field, texts: set[str]) -> dict[str, list[UUID]]:
        kind = RECORD_TYPES[each.refers_to or ""]
        ids = {text: found for text in texts if (found := _as_id(text)) is not None}
        tenant_id, owner_ids = self._hub.tenant_id, owners_seen(self._caller)
        seen = None if owner_ids is None else sorted(owner_ids)
        there = await names.list_labels(
            self._conn, kind, list(ids.values()), tenant_id=tenant_id, owner_ids=seen
        )
        known = {text: [found] for text, found in ids.items() if found in there}
        for by in _NAMED_BY.get(kind.name, ()):
            rest = sorted(texts - ids.keys() - known.keys())
            known |= await recognising.list_known(self._conn, kind, by, rest, tenant_id=tenant_id)
        return known

    async def _recognise(
        self, rows: Sequence[Row], given: Sequence[dict[str, Any]], faults: Sequence[dict[str, str]]
    ) -> tuple[list[str], list[UUID | None]]:
        """Return how each row is known, and the existing record it means; what means two is a fault of it."""
        by = IDENTITY.get(self._fields.name)
        keys = sorted({str(values[by]) for values in given if by and values.get(by) and not values.get("id")})
        known: dict[str, list[UUID]] = {}
        if by is not None:
            known = await recognising.list_known(
                self._conn, self._fields.kind, by, keys, tenant_id=self._hub.tenant_id
            )
        made = await self._list_made(rows)
        ways: list[str] = []
        ids: list[UUID | None] = []
        for row, values, wrong in zip(rows, given, faults, strict=True):
            text = values.pop("id", "")
            named = str(values[by]) if by is not None and values.get(by) else ""
            if text:
                record_id = _as_id(text)
                if record_id is None:
                    wrong["id"] = "That is no id of ours."
                ways.append("id")
                ids.append(record_id)
                self._note(row, f"id {text.lower()}", wrong, "id")
                continue
            if not named:
                ways.append(BY_LINE)
                ids.append(made.get(row.position))
                continue
            found = known.get(named, [])
            if len(found) > 1:
                wrong[by or ""] = f"Several {self._fields.plural} have it; name one by its id."
            ways.append(by or "")
            ids.append(found[0] if len(found) == 1 else None)
            self._note(row, named.strip().lower(), wrong, by or "")
        return ways, ids

    async def _list_made(self, rows: Sequence[Row]) -> dict[int, UUID]:
        return await recognising.list_made_of(
            self._conn,
            self._fields.kind,
            str(self._batch.terms.get("digest")),
            [row.position for row in rows],
            tenant_id=self._hub.tenant_id,
            batch_id=self._batch.id,
        )

    def _note(self, row: Row, key: str, wrong: dict[str, str], name: str) -> None:
        """Tell a row that means the same as one before it."""
        line = self._seen.setdefault(key, row.position)
        if line != row.position:
            wrong.setdefault(name, f"Line {line} means the same {self._fields.name}.")

    def _judge(
        self,
        row: Row,
        values: dict[str, Any],
        wrong: dict[str, str],
        known: tuple[str, UUID | None],
        found: Mapping[UUID, Mapping[str, Any]],
    ) -> Row:
        way, record_id = known
        current = None if record_id is None else found.get(record_id)
        if record_id is not None and (current is None or not may_see(self._caller, self._fields, current)):
            wrong.setdefault("id", f"There is no {self._fields.name} with that id.")
        elif current is not None and (current.get("archived_at") or current.get("merged_into")):
            wrong.setdefault("id", "It is archived. Restore it first.")
        read: dict[str, Any] = {}
        try:
            read = read_values(self._fields, values, making=record_id is None)
        except Invalid as error:
            wrong = {**error.fields, **wrong}
        given = read
        action: Action = "create"
        if wrong:
            action = "invalid"
        elif current is not None:
            read = {name: each for name, each in read.items() if not stands(value_of(current, name), each)}
            action = "change" if read else "none"
        planned = {"cells": (row.values or {}).get("cells"), "values": read, "given": given, "by": way}
        known_id = record_id if current is not None else None
        return Row(row.position, known_id, "waiting", action, planned, wrong or None)


def _as_id(text: str) -> UUID | None:
    try:
        return UUID(text.strip())
    except ValueError:
        return None
