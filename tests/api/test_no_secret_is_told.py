"""Passwords, tokens and keys are in no log, no error, no audit and no answer that did not just make them."""

from __future__ import annotations

import io
import logging
from collections.abc import Generator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import psycopg
import pytest
import structlog
from pydantic import SecretStr

from colleagues import add, operator
from letterbox import NAME, open_letterbox
from letterbox import PASSWORD as MAIL
from syncline.actions.api_keys import make_key
from syncline.actions.hub import open_hub
from syncline.api.app import make_app
from syncline.cli.logs import configure_logs, mask_value
from syncline.config import Settings
from syncline.domain.sealing import new_key
from syncline.domain.tokens import new_invitation, new_token
from syncline.domain.tokens import new_key as new_api_key
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

V1 = "/api/v1"
OLD, WRONG, NEW = "the old one of ada", "a wrong guess here", "the new one of ada"


@pytest.fixture
def log() -> Generator[io.StringIO]:
    """Everything that is logged, as chatty as it gets."""
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logs(level="debug", log_format="json", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


async def nothing() -> list[Any]:
    return []


async def test_whatever_is_done_with_a_secret_it_is_told_to_nobody(
    settings: Settings, database_urls: DatabaseUrls, log: io.StringIO
):
    texts: list[str] = []
    async with open_letterbox(with_login=True) as box, open_hub(_mailing(settings, box.port)) as hub:
        await add(hub, "ada", "admin")
        made = await make_key(hub, operator(hub), "k", None, "admin", None)
        app = make_app(nothing, hub=hub)
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://hub.example.com") as client:

            async def call(method: str, path: str, body: Any = None, **headers: str) -> httpx2.Response:
                answer = await client.request(method, f"{V1}{path}", json=body, headers=headers)
                texts.append(answer.text)
                return answer

            key = {"authorization": f"Bearer {made.token}"}
            await call("POST", "/password-resets", {"email": "ada@example.com"})
            link = box.links()[0].rpartition("/")[2]
            await call("POST", "/password-resets/use", {"token": link, "password": OLD})
            await call("POST", "/password-resets/use", {"token": link, "password": OLD})
            await call("POST", "/session", {"email": "ada@example.com", "password": WRONG})
            await call("POST", "/session", {"email": WRONG, "password": WRONG, "more": OLD})
            signed = await client.post(f"{V1}/session", json={"email": "ada@example.com", "password": OLD})
            csrf, session = signed.json()["csrf_token"], client.cookies["syncline"]
            change = {"current_password": WRONG, "new_password": NEW}
            await call("POST", "/me/password", change, **{"x-csrf-token": csrf})
            change["current_password"] = OLD
            await call("POST", "/me/password", change, **{"x-csrf-token": csrf})
            await call("POST", "/invitations", {"email": "grace@example.com"}, **key)
            invited = box.links()[-1].rpartition("/")[2]
            await call("POST", "/invitations/accept", {"token": invited, "password": WRONG})
            await call("GET", "/keys", **key)
            await call("GET", "/people", **key)
            await call("GET", "/audit", **key)
            await call("GET", "/me", authorization=f"Bearer {made.token}x")
            box.refusal = "550 no"
            await call("POST", f"/people/{(await _id(hub))}/password-reset", **key)
    stored = await _dump(database_urls.superuser)
    secrets = (OLD, WRONG, NEW, MAIL, link, session, invited, made.token, made.token[-43:])
    for where, text in (("answers", "\n".join(texts)), ("log", log.getvalue()), ("database", stored)):
        assert text, where
        assert [each for each in (*secrets, csrf) if each in text] == [], where


def _mailing(settings: Settings, port: int) -> Settings:
    more = {
        "secret_key": SecretStr(new_key()),
        "smtp_url": SecretStr(f"smtp://{NAME}:{quote(MAIL)}@127.0.0.1:{port}"),
        "mail_from": "syncline@example.com",
        "public_url": "http://hub.example.com",
    }
    return settings.model_copy(update=more)


async def _id(hub: Any) -> Any:
    from syncline.actions.people import find_person_by_email

    return (await find_person_by_email(hub, operator(hub), "ada@example.com")).id


async def _dump(url: str) -> str:
    tables = (
        "users",
        "sessions",
        "attempts",
        "password_links",
        "invitations",
        "api_keys",
        "audit_log",
        "idempotency",
    )
    found = ""
    async with await psycopg.AsyncConnection.connect(url) as conn:
        for table in tables:
            rows = await (await conn.execute(f"select t::text from app.{table} t".encode())).fetchall()
            found += str(rows)
    return found


def test_what_slips_into_a_log_is_masked_by_its_shape(tmp_path: Path):
    del tmp_path
    tenant = operator_tenant()
    key, invitation, token = new_api_key(tenant).text, new_invitation(tenant).text, new_token()
    for text in (f"called with {key}", f"/invitation/{invitation}", f"GET /password/{token} failed"):
        masked = mask_value(text)
        assert not any(each[-20:] in masked for each in (key, invitation, token))


def operator_tenant() -> Any:
    from uuid import uuid4

    return uuid4()
