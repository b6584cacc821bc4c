"""Whatever secret was used is found in no dump of the database, in no log, and in no answer of the API."""

from __future__ import annotations

import asyncio
import base64
import io
import logging
import subprocess
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
import structlog
from fastapi.routing import APIRoute
from psycopg.conninfo import conninfo_to_dict
from served_doors import Doors

from syncline.actions.channels import add_channel
from syncline.actions.connect import Connected
from syncline.actions.doctor import diagnose
from syncline.actions.erase import Wanted, carry_out, erase_person
from syncline.actions.hub import Hub
from syncline.actions.rotation import inspect_sealing
from syncline.actions.subscriptions import add_subscription
from syncline.actions.sync import sync
from syncline.actions.webhooks import set_secret
from syncline.api.routers import ROUTERS
from syncline.cli.logs import configure_logs
from syncline.config import Settings
from syncline.domain.callers import Caller
from syncline.simulators.hubspot.auth import DEFAULT_TOKEN
from syncline.store.archive import require_clients
from syncline.store.backup import backup
from syncline.store.sealed import SEALED

pytestmark = pytest.mark.anyio

WEBHOOK = "shared-with-the-crm-0123456789"
CHANNEL = "a-path-that-lets-anybody-post-0123456789"
#: Never ends.
STREAMS = {"/api/v1/events"}


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


async def test_no_secret_is_left_anywhere(
    log: io.StringIO,
    keyed: Settings,
    hub: Hub,
    doors: Doors,
    connect: Callable[..., Awaitable[Connected]],
    admin: psycopg.AsyncConnection[Any],
    tmp_path: Path,
) -> None:
    caller = Caller(hub.tenant_id, "admin", "anna@example.com", "cli")
    await connect(objects=("owners", "contacts"))
    await set_secret(hub, "acme", WEBHOOK)
    subscribed = await add_subscription(
        hub, caller, "reports", "https://reports.example/hook", events=(), record_types=()
    )
    channel = await add_channel(hub, caller, "webhook", "reports", f"https://reports.example/{CHANNEL}")
    assert channel.secret is not None
    await sync(hub)
    await admin.execute("update sync.connections set credentials = credentials")
    row = await (await admin.execute("select email from crm.contacts where email is not null")).fetchone()
    assert row is not None
    erasure_id = await erase_person(hub, caller, Wanted(row[0], row[0]))
    sealed = [await sealed_values(admin)]
    await carry_out(hub, erasure_id)
    findings = await diagnose(keyed, ask_crms=False)
    key = await doors.key()
    answers = await read_everything(doors.url, key)
    await inspect_sealing(hub.db, hub.vault())

    used = [DEFAULT_TOKEN, WEBHOOK, CHANNEL, subscribed.secret, channel.secret, key]
    used += [each for url in urls(keyed) if (each := conninfo_to_dict(url).get("password"))]
    assert keyed.secret_key is not None
    used.append(keyed.secret_key.get_secret_value())
    secrets = [text for each in used for text in ways_of_writing(str(each))]
    assert len(used) > 6
    places = {
        "answers": answers,
        "log": log.getvalue(),
        "findings": str(findings),
        "dump": await dump(hub, tmp_path / "all.backup"),
        "sealed": "".join(sealed),
    }
    for place, text in places.items():
        assert len(text) > 100, place
        assert [each for each in secrets if each in text] == [], place


def urls(settings: Settings) -> list[str]:
    named = (settings.database_url, settings.admin_database_url, settings.reader_database_url)
    return [each.get_secret_value() for each in named if each is not None]


def ways_of_writing(secret: str) -> set[str]:
    """Return a secret as it may stand in a text: plain, as hexadecimal digits, in base 64."""
    plain = secret.encode()
    return {secret, plain.hex(), base64.b64encode(plain).decode().rstrip("=")}


async def sealed_values(admin: psycopg.AsyncConnection[Any]) -> str:
    """Return every sealed value as it is stored, and see to it that there is one of each."""
    found: list[str] = []
    for each in SEALED:
        table = ".".join(each.table)
        rows = await admin.execute(
            f"select encode({each.column}, 'hex') from {table} where {each.column} is not null".encode()
        )
        values = [str(row[0]) for row in await rows.fetchall()]
        assert values, each.name
        found += values
        found += [bytes.fromhex(value).decode("latin-1") for value in values]
    return "\n".join(found)


async def read_everything(url: str, key: str) -> str:
    """Read whatever the API can be asked for without naming anything; no answer is a failure of ours."""
    paths = [
        route.path
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and "GET" in (route.methods or ()) and "{" not in route.path
    ]
    assert len(paths) > 10
    texts: list[str] = []
    async with httpx2.AsyncClient(
        base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=60
    ) as client:
        for path in sorted(set(paths) - STREAMS):
            answer = await client.get(path)
            assert answer.status_code < 500, path
            texts.append(f"{path} {answer.text} {answer.headers}")
    return "\n".join(texts)


async def dump(hub: Hub, file: Path) -> str:
    """Return the whole database as pg_restore writes it out."""
    await backup(await hub.location.admin_url(), file)
    async with hub.db.statement() as conn:
        programs = require_clients(conn.info.server_version // 10_000, None)
    command = [programs[0].path("pg_restore"), "--file=-", str(file)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True)
    return done.stdout.decode()
