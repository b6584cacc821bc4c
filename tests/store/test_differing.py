"""Records that are not as was agreed on: the statements fit every kind, and count what a merge would."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb

from syncline.clock import new_id, now
from syncline.domain.agreement import brief
from syncline.domain.records import CONTACT, DEAL, RECORD_TYPES, RecordType
from syncline.store import connections, differing, merging
from syncline.store.db import Conn, Database
from syncline.store.keys import ObjectKeys

pytestmark = pytest.mark.anyio


async def make_connection(conn: Conn, tenant_id: UUID) -> ObjectKeys:
    connection_id = new_id()
    await connections.insert(
        conn,
        tenant_id=tenant_id,
        connection_id=connection_id,
        platform="hubspot",
        name="main",
        base_url="http://127.0.0.1:9",
        account_id="1",
        account_name="One",
        account_url=None,
        credentials=b"",
        settings={},
        now=now(),
    )
    return {"tenant_id": tenant_id, "connection_id": connection_id, "object_name": "things"}


async def make(
    conn: Conn, kind: RecordType, keys: ObjectKeys, values: dict[str, Any], base: dict[str, Any]
) -> UUID:
    record_id = new_id()
    columns = {"tenant_id": keys["tenant_id"], "id": record_id, **values}
    marks = ", ".join(f"%({name})s" for name in columns)
    await conn.execute(
        f"insert into crm.{kind.table} ({', '.join(columns)}) values ({marks})",  # type: ignore[arg-type]
        columns,
    )
    await conn.execute(
        "insert into sync.links (tenant_id, connection_id, object, remote_id, record_type, record_id, base,"
        " linked_at) values (%s, %s, %s, %s, %s, %s, %s, now())",
        (
            keys["tenant_id"],
            keys["connection_id"],
            keys["object_name"],
            str(record_id),
            kind.name,
            record_id,
            Jsonb(base),
        ),
    )
    return record_id


@pytest.mark.parametrize("name", RECORD_TYPES)
async def test_the_statements_fit_every_kind_of_record(db: Database, tenant_id: UUID, name: str):
    kind = RECORD_TYPES[name]
    async with db.transaction(tenant_id=tenant_id) as conn:
        keys = await make_connection(conn, tenant_id)
        assert await differing.count_differing(conn, kind, kind.content, keys=keys) == 0
        assert await differing.queue_differing(conn, kind, kind.content, keys=keys, now=now()) == 0
        assert await differing.list_long(conn, kind, sorted(kind.long), keys=keys) == []


CLOSES = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("field", "here", "agreed", "differs"),
    [
        ("name", "Big", ["Big"], False),
        ("name", "Big", ["big"], True),
        ("name", "Big", ["Big", "BIG"], False),
        ("name", None, [""], False),
        ("name", "", [None], False),
        ("name", None, ["Big"], True),
        ("amount", "10.50", [10.5], False),
        ("amount", "10.51", [10.5], True),
        ("closed_at", CLOSES, ["2026-03-01T10:00:00+00:00"], False),
        ("expected_close_date", CLOSES.date(), ["2026-03-01", "2026-03-01T00:00:00Z"], False),
        ("custom_fields.size", Jsonb({"size": 5}), [5], False),
        ("custom_fields.size", Jsonb({"size": 6}), [5], True),
    ],
)
async def test_values_are_compared_as_the_merge_does(
    db: Database, tenant_id: UUID, field: str, here: Any, agreed: list[Any], differs: bool
):
    async with db.transaction(tenant_id=tenant_id, bulk=True) as conn:
        keys = await make_connection(conn, tenant_id)
        await make(conn, DEAL, keys, {field.partition(".")[0]: here}, {field: agreed})
        assert await differing.count_differing(conn, DEAL, [field], keys=keys) == differs


async def test_what_was_never_agreed_on_is_archived_or_not_asked_for_does_not_count(
    db: Database, tenant_id: UUID
):
    async with db.transaction(tenant_id=tenant_id, bulk=True) as conn:
        keys = await make_connection(conn, tenant_id)
        await make(conn, CONTACT, keys, {"phone": "1"}, {})
        await make(conn, CONTACT, keys, {"phone": "1", "archived_at": CLOSES}, {"phone": ["2"]})
        await make(conn, CONTACT, keys, {"email": "a@b.example"}, {"email": ["x"]})
        assert await differing.count_differing(conn, CONTACT, ["phone"], keys=keys) == 0
        assert await differing.count_differing(conn, CONTACT, ["phone", "email"], keys=keys) == 1


async def test_long_texts_are_paged_and_told_apart_by_their_digest(db: Database, tenant_id: UUID):
    company = RECORD_TYPES["company"]
    text = "long " * 100
    async with db.transaction(tenant_id=tenant_id, bulk=True) as conn:
        keys = await make_connection(conn, tenant_id)
        base = {"description": [brief(text)]}
        made = [await make(conn, company, keys, {"description": text}, base) for _ in range(3)]
        short = await make(conn, company, keys, {"description": "short"}, base)
        first = await differing.list_long(conn, company, ["description"], keys=keys, limit=3)
        rest = await differing.list_long(
            conn, company, ["description"], keys=keys, after=first[-1].record_id, limit=3
        )
        assert [each.record_id for each in (*first, *rest)] == sorted([*made, short])
        assert {each.agreed for each in first} == {brief(text)}
        known = [(made[0], "description")]
        count = await differing.count_differing(conn, company, ["description"], long=known, keys=keys)
        assert count == 2


async def test_what_waits_for_a_person_is_not_queued(db: Database, tenant_id: UUID):
    async with db.transaction(tenant_id=tenant_id, bulk=True) as conn:
        keys = await make_connection(conn, tenant_id)
        base = {"phone": ["2"], "email": ["x"]}
        record = await make(conn, CONTACT, keys, {"phone": "1", "email": "a@b.example"}, base)
        await merging.put_conflicts(
            conn,
            [
                {
                    "id": new_id(),
                    "remote_id": str(record),
                    "record_id": record,
                    "field": "phone",
                    "ours": "1",
                    "theirs": "3",
                    "seen": ["3"],
                    "our_record": {},
                    "their_record": {},
                }
            ],
            **keys,
            record_type="contact",
            run_id=new_id(),
            now=now(),
        )
        assert await differing.count_differing(conn, CONTACT, ["phone"], keys=keys) == 0
        assert await differing.queue_differing(conn, CONTACT, CONTACT.content, keys=keys, now=now()) == 1
        fields = await (await conn.execute("select fields from sync.queue")).fetchone()
        assert fields == (["email"],)
