"""The pages while the database is away: said so, with what to do, and not after half a minute only."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import httpx2
import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from syncline.actions.hub import Hub, open_hub
from syncline.actions.people import add_person
from syncline.api.app import make_app
from syncline.config import Settings
from syncline.domain.callers import Caller
from syncline.domain.sealing import new_key
from syncline.store.urls import DatabaseUrls
from syncline.web import page as pages
from syncline.web.app import add_pages

pytestmark = pytest.mark.anyio

_PASSWORD = "correct horse battery staple"


@pytest.fixture
async def hub(settings: Settings) -> AsyncGenerator[Hub]:
    keyed = settings.model_copy(update={"secret_key": SecretStr(new_key())})
    async with open_hub(keyed, application_name="test") as opened:
        yield opened


async def test_a_page_says_that_the_database_is_gone(
    hub: Hub, database_urls: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pages, "_PATIENCE_SECONDS", 0.5)
    operator = Caller(hub.tenant_id, "admin", "test", "cli", is_operator=True)
    await add_person(hub, operator, "ada@example.com", "Ada", "admin", password=_PASSWORD, operator=True)
    app = make_app(_ready, hub=hub)
    add_pages(app, hub)
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        answer = await client.post("/sign-in", data={"email": "ada@example.com", "password": _PASSWORD})
        assert answer.status_code == 303
        assert (await client.get("/account")).status_code == 200
        await _take_away(database_urls)
        answer = await client.get("/account")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "10"
    assert "syncline doctor" in answer.text
    assert 'http-equiv="refresh"' in answer.text


async def _ready() -> list[Any]:
    return []


async def _take_away(urls: DatabaseUrls) -> None:
    """Let nobody into the database any more, and send away who is in it."""
    async with await psycopg.AsyncConnection.connect(urls.superuser, autocommit=True) as conn:
        name = conn.info.dbname
        statement = sql.SQL("alter database {} allow_connections false")
        async with await psycopg.AsyncConnection.connect(
            urls.superuser, dbname="postgres", autocommit=True
        ) as other:
            await other.execute(statement.format(sql.Identifier(name)))
            await conn.close()
            await other.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = %(name)s",
                {"name": name},
            )
