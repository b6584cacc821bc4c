"""Any write to a record is logged and queued; the set-based road leaves the rows that the triggers leave."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb

from syncline.clock import new_id, now
from syncline.domain.agreement import agree_on_new, describe_changes, encode
from syncline.domain.changes import Copy
from syncline.domain.mapping import MappedRecord
from syncline.domain.merge import Access, merge
from syncline.domain.policies import Policy
from syncline.domain.records import CONTACT
from syncline.domain.values import Value
from syncline.store import connections, locked, planner, records
from syncline.store.db import Conn, Database
from syncline.store.records import RecordWrite

pytestmark = pytest.mark.anyio

VALUES: dict[str, Value] = {
    "email": "Ann@Example.com",
    "first_name": "Ann",
    "last_name": 'O\'Neil "the" \u00e9',
    "phone": "+14155552671",
    "phone_e164": "+14155552671",
    "lead_score": 7,
    "vsl_watched": True,
    "created_at": "2022-02-17T18:54:22.3+00:00",
    "archived_at": None,
}


async def _connect(conn: Conn, tenant_id: UUID, name: str, *, writes: bool) -> UUID:
    connection_id = new_id()
    await connections.insert(
        conn,
        tenant_id=tenant_id,
        connection_id=connection_id,
        platform="hubspot",
        name=name,
        base_url="http://127.0.0.1",
        account_id="1",
        account_name="One",
        account_url=None,
        credentials=b"",
        settings={},
        now=now(),
    )
    if writes:
        await conn.execute(
            "insert into sync.writing (tenant_id, connection_id, object, record_type, scope, allowed_at,"
            " allowed_by) values (%s, %s, 'contacts', 'contact', 'field', now(), 'test')",
            (tenant_id, connection_id),
        )
    return connection_id


async def _link(conn: Conn, tenant_id: UUID, connection_id: UUID, remote_id: str, record_id: UUID) -> None:
    await conn.execute(
        "insert into sync.links (tenant_id, connection_id, object, remote_id, record_type, record_id, base,"
        " linked_at) values (%s, %s, 'contacts', %s, 'contact', %s, %s, now())",
        (tenant_id, connection_id, remote_id, record_id, Jsonb({})),
    )


async def _log(conn: Conn, tenant_id: UUID, record_id: UUID) -> list[tuple[Any, ...]]:
    cursor = await conn.execute(
        "select action, changes from crm.change_log where tenant_id = %s and record_id = %s"
        " order by changed_at, action",
        (tenant_id, record_id),
    )
    return await cursor.fetchall()


async def _queue(conn: Conn, tenant_id: UUID, record_id: UUID) -> list[tuple[Any, ...]]:
    cursor = await conn.execute(
        "select connection_id, record_type, fields, state from sync.queue"
        " where tenant_id = %s and record_id = %s order by connection_id",
        (tenant_id, record_id),
    )
    return await cursor.fetchall()


async def _insert_by_sql(conn: Conn, tenant_id: UUID, record_id: UUID) -> None:
    names = ", ".join(VALUES)
    marks = ", ".join("%s" for _ in VALUES)
    await conn.execute(
        f"insert into crm.contacts (tenant_id, id, {names}) values (%s, %s, {marks})",  # type: ignore[arg-type]
        (tenant_id, record_id, *VALUES.values()),
    )


async def _pull(db: Database, tenant_id: UUID, connection_id: UUID, write: RecordWrite) -> None:
    async with db.transaction(tenant_id=tenant_id, bulk=True) as conn:
        await planner.prefer_indexes(conn)
        await records.stage(conn, CONTACT, [write])
        await records.write_staged(
            conn,
            CONTACT,
            tenant_id=tenant_id,
            connection_id=connection_id,
            object_name="contacts",
            mapping_version=1,
            run_id=new_id(),
            actor="test",
            now=now(),
            any_new=write.version is None,
            any_existing=write.version is not None,
        )


async def test_both_roads_leave_the_same_rows(db: Database, tenant_id: UUID) -> None:
    by_sql, by_pull = new_id(), new_id()
    async with db.transaction(tenant_id=tenant_id) as conn:
        source = await _connect(conn, tenant_id, "source", writes=False)
        other = await _connect(conn, tenant_id, "other", writes=True)
        await _insert_by_sql(conn, tenant_id, by_sql)
        await _link(conn, tenant_id, other, "20", by_sql)
    mapped = MappedRecord(dict(VALUES), {}, {}, None)
    base, changes = agree_on_new(CONTACT, mapped)
    await _pull(
        db,
        tenant_id,
        source,
        RecordWrite(by_pull, "10", None, mapped.values, base, changes, "created", new_id()),
    )
    async with db.transaction(tenant_id=tenant_id) as conn:
        await _link(conn, tenant_id, other, "21", by_pull)
        await conn.execute(
            "update crm.contacts set first_name = 'Anne', lead_score = 8.50, vsl_watched = null"
            " where tenant_id = %s and id = %s",
            (tenant_id, by_sql),
        )
        existing = (
            await locked.lock_linked_records(
                conn,
                CONTACT,
                tenant_id=tenant_id,
                connection_id=source,
                object_name="contacts",
                remote_ids=["10"],
            )
        )["10"]
    from decimal import Decimal

    mapped.values.update(first_name="Anne", lead_score=Decimal("8.50"), vsl_watched=None)
    merged = merge(
        CONTACT,
        Policy(),
        existing.base,
        Copy(existing.row),
        Copy(mapped.values, mapped.theirs),
        access=Access(push=()),
    )
    await _pull(
        db,
        tenant_id,
        source,
        RecordWrite(
            by_pull,
            "10",
            existing.version,
            {**existing.row, **merged.write},
            encode(merged.base),
            encode(describe_changes(existing.row, merged.write)),
            "updated",
            new_id(),
        ),
    )
    async with db.transaction(tenant_id=tenant_id) as conn:
        assert await _log(conn, tenant_id, by_pull) == await _log(conn, tenant_id, by_sql)
        assert await _queue(conn, tenant_id, by_pull) == await _queue(conn, tenant_id, by_sql)
        rows = await (
            await conn.execute(
                "select to_jsonb(c) - array['id', 'updated_at', 'created_at', 'field_times']"
                " from crm.contacts c"
                " where tenant_id = %s and id = any(%s) order by id",
                (tenant_id, [by_sql, by_pull]),
            )
        ).fetchall()
        assert rows[0] == rows[1]


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_pulled_owner_is_queued_where_the_crm_knows_him_and_one_taken_away_everywhere(
    db: Database, tenant_id: UUID, is_known: bool
) -> None:
    record_id, owner_id = new_id(), new_id()
    async with db.transaction(tenant_id=tenant_id) as conn:
        source = await _connect(conn, tenant_id, "source", writes=False)
        other = await _connect(conn, tenant_id, "other", writes=True)
        await _insert_by_sql(conn, tenant_id, record_id)
        await _link(conn, tenant_id, other, "20", record_id)
        await conn.execute("insert into crm.owners (tenant_id, id) values (%s, %s)", (tenant_id, owner_id))
        if is_known:
            await conn.execute(
                "insert into sync.links (tenant_id, connection_id, object, remote_id, record_type, record_id,"
                " base, linked_at) values (%s, %s, 'owners', '7', 'owner', %s, '{}', now())",
                (tenant_id, other, owner_id),
            )
    changes: list[tuple[int, str | None, list[str | None]]] = [
        (1, str(owner_id), [None, str(owner_id)]),
        (2, None, [str(owner_id), None]),
    ]
    for version, value, pair in changes:
        write = RecordWrite(
            record_id, "10", version, VALUES | {"owner_id": value}, "{}",
            encode({"owner_id": pair}), "updated", new_id(),
        )  # fmt: skip
        await _pull(db, tenant_id, source, write)
        async with db.transaction(tenant_id=tenant_id) as conn:
            queued = [row[2] for row in await _queue(conn, tenant_id, record_id)]
            await conn.execute("delete from sync.queue where tenant_id = %s", (tenant_id,))
        assert queued == ([["owner_id"]] if is_known or value is None else [])


async def test_an_edit_in_sql_is_logged_and_queued_for_connections_that_may_be_written_to(
    db: Database, tenant_id: UUID
) -> None:
    record_id = new_id()
    async with db.transaction(tenant_id=tenant_id) as conn:
        silent = await _connect(conn, tenant_id, "silent", writes=False)
        open_ = await _connect(conn, tenant_id, "open", writes=True)
        await _insert_by_sql(conn, tenant_id, record_id)
        await _link(conn, tenant_id, silent, "1", record_id)
        await _link(conn, tenant_id, open_, "2", record_id)
        for name in ("Anne", "Anna"):
            await conn.execute(
                "update crm.contacts set first_name = %s where tenant_id = %s and id = %s",
                (name, tenant_id, record_id),
            )
        assert [row[1].get("first_name") for row in await _log(conn, tenant_id, record_id)] == [
            [None, "Ann"],
            ["Ann", "Anne"],
            ["Anne", "Anna"],
        ]
        assert await _queue(conn, tenant_id, record_id) == [(open_, "contact", ["first_name"], "pending")]


async def test_a_write_that_changes_nothing_is_not_logged(db: Database, tenant_id: UUID) -> None:
    record_id = new_id()
    async with db.transaction(tenant_id=tenant_id) as conn:
        await _insert_by_sql(conn, tenant_id, record_id)
        await conn.execute(
            "update crm.contacts set first_name = first_name where tenant_id = %s and id = %s",
            (tenant_id, record_id),
        )
        assert len(await _log(conn, tenant_id, record_id)) == 1


async def test_archiving_restoring_and_deleting_are_named_as_such(db: Database, tenant_id: UUID) -> None:
    record_id = new_id()
    async with db.transaction(tenant_id=tenant_id) as conn:
        await _insert_by_sql(conn, tenant_id, record_id)
        for statement in (
            "update crm.contacts set archived_at = now() where tenant_id = %s and id = %s",
            "update crm.contacts set archived_at = null where tenant_id = %s and id = %s",
            "delete from crm.contacts where tenant_id = %s and id = %s",
        ):
            await conn.execute(statement, (tenant_id, record_id))
        assert [row[0] for row in await _log(conn, tenant_id, record_id)] == [
            "created",
            "archived",
            "restored",
            "deleted",
        ]


async def test_a_number_edited_in_sql_does_not_keep_the_old_numbers_e164(
    db: Database, tenant_id: UUID
) -> None:
    record_id = new_id()
    async with db.transaction(tenant_id=tenant_id) as conn:
        await _insert_by_sql(conn, tenant_id, record_id)
        for phone, e164 in (("(0) 30 1234", None), ("+493012345678", "+493012345678")):
            cursor = await conn.execute(
                "update crm.contacts set phone = %s where tenant_id = %s and id = %s returning phone_e164",
                (phone, tenant_id, record_id),
            )
            assert await cursor.fetchone() == (e164,)


async def test_a_body_over_64_kb_stays_out_of_the_change_log(db: Database, tenant_id: UUID) -> None:
    record_id = new_id()
    async with db.transaction(tenant_id=tenant_id) as conn:
        await conn.execute(
            "insert into crm.activities (tenant_id, id, type, body) values (%s, %s, 'note', %s)",
            (tenant_id, record_id, "x" * 70_000),
        )
        log = await _log(conn, tenant_id, record_id)
    assert log[0][1]["body"] == {"left_out": "over 64 kB"}


async def test_the_application_cannot_change_or_remove_what_was_logged(db: Database, tenant_id: UUID) -> None:
    import psycopg

    for statement in ("update crm.change_log set actor = 'x'", "delete from crm.change_log"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with db.transaction(tenant_id=tenant_id) as conn:
                await conn.execute(statement)
