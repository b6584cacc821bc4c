"""After everything was read, no secret stands in a page, an answer, the log, a dump or a bundle."""

from __future__ import annotations

import asyncio
import base64
import io
import logging
import subprocess
import zipfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest
import structlog
from fastapi.routing import APIRoute
from looking import PAGES
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr
from serving_pages import Served, serve_pages
from site_process import ADMIN, PASSWORD
from visiting import enter

from letterbox import NAME, open_letterbox
from letterbox import PASSWORD as MAIL
from syncline.actions.bundle import write_bundle
from syncline.actions.connect import Wish, connect_token
from syncline.actions.doctor import diagnose
from syncline.actions.sync import sync
from syncline.actions.webhooks import set_secret
from syncline.api.routers import ROUTERS
from syncline.cli.logs import configure_logs
from syncline.config import Settings
from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.auth import DEFAULT_TOKEN
from syncline.simulators.hubspot.server import in_loop
from syncline.store.archive import require_clients
from syncline.store.backup import backup

pytestmark = pytest.mark.anyio

INCOMING = "shared-with-the-crm-0123456789"
WRONG, APP_SECRET = "certainly not this one", "the-secret-of-an-app-0123"
FEW = {"contacts": 12, "companies": 3, "deals": 4, "owners": 2, "calls": 3, "meetings": 2, "notes": 2}
#: They never end, or need something that is not here.
_PASSED_OVER = frozenset({"/api/v1/events"})


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


@dataclass
class Planted:
    """What was used, and what was read afterwards."""

    secrets: list[str] = field(default_factory=list[str])
    texts: list[str] = field(default_factory=list[str])


async def test_no_secret_is_on_any_page_nor_behind_it(
    log: io.StringIO, settings: Settings, tmp_path: Path
) -> None:
    planted = Planted([DEFAULT_TOKEN, INCOMING, APP_SECRET, PASSWORD, WRONG, MAIL, quote(MAIL)])
    async with _connected(settings) as served:
        async with httpx2.AsyncClient(base_url=served.url, timeout=60) as client:
            await client.post("/sign-in", data={"email": ADMIN, "password": WRONG})
            token = await enter(client)
            await _use_secrets(client, token, planted)
            await _read_pages(client, planted)
            await _read_api(client, planted)
            planted.secrets += [value for name, value in client.cookies.items() if "syncline" in name]
        findings = await diagnose(served.hub.settings, ask_crms=False)
        await write_bundle(served.hub.settings, findings, tmp_path / "bundle.zip")
        dump = await _dump(served, tmp_path / "all.backup")
        planted.secrets += _of_settings(served.hub.settings)
    places = {
        "pages and answers": "\n".join(planted.texts),
        "log": log.getvalue(),
        "findings": str(findings),
        "bundle": _unpack(tmp_path / "bundle.zip"),
        "dump": dump,
    }
    assert len(planted.secrets) >= 14
    secrets = {text for each in planted.secrets for text in _ways_of_writing(each)}
    for place, text in places.items():
        assert len(text) > 100, place
        assert [each for each in secrets if each in text] == [], place


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncGenerator[Served]:
    """Serve an installation that mails by a password, with a CRM that was read."""
    world = World(5)
    world.populate(**FEW)
    async with open_letterbox(with_login=True) as box, in_loop(world) as crm_url:
        mail = SecretStr(f"smtp://{NAME}:{quote(MAIL)}@127.0.0.1:{box.port}")
        async with serve_pages(settings, smtp_url=mail, mail_from="syncline@example.com") as served:
            await connect_token(served.hub, Wish("hubspot", "acme", crm_url), DEFAULT_TOKEN)
            await set_secret(served.hub, "acme", INCOMING)
            await sync(served.hub, requested_by="test")
            yield served


async def _use_secrets(client: httpx2.AsyncClient, token: str, planted: Planted) -> None:
    """Do in the pages whatever makes a secret or takes one, and remember what was shown once."""

    async def post(path: str, **given: str) -> str:
        answer = await client.post(path, data={"csrf_token": token, **given})
        assert answer.status_code < 500, path
        return answer.text

    made = await post("/settings/keys", name="reporting", role="admin")
    planted.secrets.append(_between(made, 'id="new-key">', "<"))
    made = await post("/settings/webhooks", name="hook", url="https://hooks.example.com/in")
    planted.secrets.append(_between(made, 'id="new-secret">', "<"))
    # What was wrong is shown again, but for the secret.
    planted.texts += [
        await post("/settings/webhooks", name="", url="nowhere"),
        await post("/account/password", current_password=WRONG, new_password=PASSWORD),
        await post("/connections/new/hubspot", name="acme two", token=WRONG + "\x07"),
        await post("/connections/new/hubspot/consent", name="", client_id="a", client_secret=APP_SECRET),
        await post("/connections/new/hubspot/consent", name="b", client_id="a", client_secret=APP_SECRET),
        await post("/settings/people/invite", email="nina@example.com", role="rep"),
    ]
    client.cookies.delete("consent")


def _between(text: str, begin: str, end: str) -> str:
    found = text.partition(begin)[2].partition(end)[0].strip()
    assert len(found) > 20
    return found


async def _read_pages(client: httpx2.AsyncClient, planted: Planted) -> None:
    for path in PAGES:
        answer = await client.get(path, follow_redirects=True)
        assert answer.status_code == 200, path
        planted.texts.append(f"{path} {answer.text} {answer.headers}")


async def _read_api(client: httpx2.AsyncClient, planted: Planted) -> None:
    """Read whatever the API can be asked for without naming anything."""
    paths = {
        route.path
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and "GET" in (route.methods or ()) and "{" not in route.path
    }
    assert len(paths) > 20
    for path in sorted(paths - _PASSED_OVER):
        answer = await client.get(path)
        assert answer.status_code < 500, path
        planted.texts.append(f"{path} {answer.text} {answer.headers}")


def _of_settings(settings: Settings) -> list[str]:
    urls = (settings.database_url, settings.admin_database_url, settings.reader_database_url)
    found = [conninfo_to_dict(url.get_secret_value()).get("password") for url in urls if url is not None]
    assert settings.secret_key is not None
    return [str(each) for each in found if each] + [settings.secret_key.get_secret_value()]


def _ways_of_writing(secret: str) -> set[str]:
    """Return a secret as it may stand in a text: plain, as hexadecimal digits, in base 64."""
    plain = secret.encode()
    return {secret, plain.hex(), base64.b64encode(plain).decode().rstrip("=")}


def _unpack(file: Path) -> str:
    with zipfile.ZipFile(file) as archive:
        return "\n".join(archive.read(name).decode() for name in archive.namelist())


async def _dump(served: Served, file: Path) -> str:
    """Return the whole database as pg_restore writes it out."""
    await backup(await served.hub.location.admin_url(), file)
    async with served.hub.db.statement() as conn:
        programs = require_clients(conn.info.server_version // 10_000, None)
    command = [programs[0].path("pg_restore"), "--file=-", str(file)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True)
    return done.stdout.decode()
