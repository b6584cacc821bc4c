"""With rows in every table the schema goes down and up again, and a backup brings them all back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr
from test_erase_everywhere import EMAIL, Rows, admin_of, rows
from traces_of import Admin

from syncline.actions.backup import back_up, restore
from syncline.actions.erase import Wanted, erase_person
from syncline.actions.hub import Hub
from syncline.config import Settings
from syncline.store import migrate
from syncline.store.db import list_revisions
from syncline.store.urls import DatabaseUrls

__all__ = ["rows"]

pytestmark = pytest.mark.anyio

FIRST = "0019"
#: Counts that are made anew, and what a version before did not know.
PASSING = {"sync.generations"}


async def count_rows(admin: Admin) -> dict[str, int]:
    cursor = await admin.execute(
        "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname in ('app', 'crm', 'sync', 'raw') and c.relkind in ('r', 'p')"
        " and not c.relispartition and c.relname <> 'alembic_version'"
    )
    counts: dict[str, int] = {}
    for schema, table in await cursor.fetchall():
        statement = sql.SQL("select count(*) from {}").format(sql.Identifier(schema, table))
        row: Any = await (await admin.execute(statement)).fetchone()
        counts[f"{schema}.{table}"] = row[0]
    return counts


async def test_down_and_up_again_loses_only_what_the_version_before_did_not_know(
    hub: Hub, admin: Admin, rows: Rows, database_urls: DatabaseUrls
) -> None:
    await rows.put(
        "sync.remote_changes", id=rows.run, run_id=rows.run, connection_id=rows.connection, object="contacts",
        record_type="contact", record_id=rows.petra, action="created", changes={"email": [None, EMAIL]},
        state="sent", sent_at="2026-01-01T00:00:00Z",
    )  # fmt: skip
    await erase_person(hub, admin_of(hub), Wanted(EMAIL, EMAIL))
    await admin.execute(
        "update sync.remote_erasures set remote_id = null, record_id = %s where state = 'wanted'",
        [rows.petra],
    )
    before = await count_rows(admin)
    kept = [each for each in list_revisions() if each >= FIRST]
    for revision in kept[-2::-1]:
        await migrate.downgrade(database_urls.admin, revision)
        known = await count_rows(admin)
        changed = {each for each in known if known[each] != before[each]}
        assert changed <= PASSING | {"sync.erased_identities"}, revision
    for revision in kept[1:]:
        await migrate.upgrade(database_urls.admin, revision)
    after = await count_rows(admin)
    assert after.keys() == before.keys()
    row = await (await admin.execute("select wanted from sync.erasures")).fetchone()
    assert row is not None
    assert row[0] == {str(rows.connection): "wanted"}


async def test_a_backup_carries_every_table_the_people_and_what_is_sealed(
    hub: Hub,
    admin: Admin,
    rows: Rows,
    keyed: Settings,
    empty_database: DatabaseUrls,
    tmp_path: Path,
) -> None:
    vault = hub.vault()
    await admin.execute("update sync.connections set credentials = %s", [vault.seal(b"a token")])
    await admin.execute("update sync.subscriptions set secret = %s", [vault.seal(b"a secret")])
    await admin.execute(
        "insert into app.users (id, email, full_name, created_at, updated_at)"
        " values (gen_random_uuid(), 'anna@example.com', 'Anna', now(), now())"
    )
    await erase_person(hub, admin_of(hub), Wanted(EMAIL, EMAIL))
    before = await count_rows(admin)
    file = tmp_path / "all.backup"
    await back_up(keyed, file)
    elsewhere = keyed.model_copy(update={"admin_database_url": SecretStr(empty_database.admin)})
    await restore(elsewhere, file, replace=False)
    async with await psycopg.AsyncConnection.connect(empty_database.superuser) as conn:
        after = await count_rows(conn)
        passing = {"app.request_counts", *(each for each in before if each.startswith("sync.quota_"))}
        assert {each: n for each, n in after.items() if each not in passing} == {
            each: n for each, n in before.items() if each not in passing
        }
        assert before["app.users"] == 1
        cursor = await conn.execute(
            "select c.credentials, s.secret, e.subject from sync.connections c, sync.subscriptions s,"
            " sync.erasures e"
        )
        token, secret, subject = await cursor.fetchone() or (b"", b"", b"")
    assert (vault.open(token), vault.open(secret)) == (b"a token", b"a secret")
    assert EMAIL.encode() in vault.open(subject)
