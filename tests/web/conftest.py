"""One application and one browser for all tests of this folder, and people who are signed in there."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.async_api import Browser, BrowserContext, async_playwright
from site_process import ADMIN, MANAGER, PASSWORD, REP, settings_of
from visiting import Site, Visitor

from syncline.domain.sealing import new_key

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = Path("/usr/bin/chromium")
AXE = ROOT / ".assets/node_modules/axe-core/axe.min.js"
#: What it would otherwise say to its maker's hosts, and where no user namespaces are.
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_START_SECONDS = 90
_LISTENS = "DevTools listening on "


@pytest.fixture(scope="session")
def site(server: Any, template: str) -> Generator[Site]:
    """The application for all tests that leave it as others may find it."""
    with _open_site(server, template, "syncline_site") as opened:
        yield opened


@pytest.fixture(scope="module")
def own_site(server: Any, template: str) -> Generator[Site]:
    """The application for one file of tests, which may do to it what they like."""
    with _open_site(server, template, f"syncline_site_{secrets.token_hex(4)}") as opened:
        yield opened


@contextmanager
def _open_site(server: Any, template: str, name: str) -> Generator[Site]:
    """Start the application as a process of its own, filled by a simulated CRM."""
    asyncio.run(server.create(name, template))
    urls = server.urls_of(name)
    home = Path(tempfile.mkdtemp(prefix="syncline-site-"))
    port = _free_port()
    key = new_key()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SYNCLINE_")},
        **settings_of(home, {"app": urls.app, "admin": urls.admin, "reader": urls.reader}, key),
    }
    log = (home / "log").open("w+")
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("site_process.py")), str(port)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    try:
        told = json.loads(process.stdout.readline() if process.stdout is not None else "")
        _await(told["url"])
        yield Site(told["url"], told["crm_url"], told["token"], urls.superuser, home / "log", key)
    except ValueError:
        log.seek(0)
        pytest.fail(f"the application did not start:\n{log.read()[-4000:]}")
    finally:
        process.terminate()
        process.wait(timeout=30)
        if process.stdout is not None:
            process.stdout.close()
        log.close()
        shutil.rmtree(home, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _await(url: str) -> None:
    transport = httpx2.HTTPTransport(retries=_START_SECONDS)
    with httpx2.Client(transport=transport, timeout=_START_SECONDS) as client:
        assert client.get(f"{url}/healthz").status_code == 200


@pytest.fixture(scope="session")
def chromium() -> Generator[str]:
    """One browser of the system for all tests; without it they are skipped. Yields where it listens.

    A process of its own, and no fixture that awaits: one of those, kept for the session, would have all tests
    share one event loop, and what one of them cancels would reach the others.
    """
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}: install Debian's package chromium")
    folder = tempfile.mkdtemp(prefix="syncline-browser-")
    process = subprocess.Popen(
        [str(CHROMIUM), "--headless", "--remote-debugging-port=0", f"--user-data-dir={folder}", *_ARGUMENTS],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        told = next((line for line in process.stderr if _LISTENS in line), "")
        if not told:
            pytest.fail("the browser did not start")
        # Whatever else it says must not fill the pipe.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield told.partition(_LISTENS)[2].strip()
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stderr.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def browser(chromium: str) -> AsyncGenerator[Browser]:
    """The browser, as this test leads it; what it opens is closed behind it."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.connect_over_cdp(chromium)
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
def axe() -> str:
    if not AXE.exists():
        pytest.skip("axe-core is not installed: run make assets")
    return AXE.read_text()


@pytest.fixture(scope="session")
def states(site: Site) -> dict[str, Any]:
    """What the browser keeps of each person who has signed in."""
    found: dict[str, Any] = {}
    with httpx2.Client(base_url=site.url, timeout=_START_SECONDS) as client:
        for email in (ADMIN, MANAGER, REP):
            client.cookies.clear()
            answer = client.post("/api/v1/session", json={"email": email, "password": PASSWORD})
            assert answer.status_code == 201, answer.text
            kept = [_as_kept(name, value) for name, value in client.cookies.items()]
            found[email] = {"cookies": kept, "origins": []}
    return found


def _as_kept(name: str, value: str) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "domain": "127.0.0.1",
        "path": "/",
        "expires": -1,
        "httpOnly": True,
        "secure": False,
        "sameSite": "Lax",
    }


@pytest.fixture
async def visit(
    browser: Browser, site: Site, states: dict[str, Any]
) -> AsyncGenerator[Callable[..., Awaitable[Visitor]]]:
    """Open a browser window as somebody; the test fails if its console complained."""
    contexts: list[BrowserContext] = []
    visitors: list[Visitor] = []

    async def open_window(
        email: str | None = ADMIN, *, width: int = 1280, height: int = 900, theme: str = "light", **more: Any
    ) -> Visitor:
        context = await browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=theme,  # type: ignore[arg-type]
            reduced_motion="reduce",
            storage_state=states[email] if email is not None else None,
            **more,
        )
        context.set_default_timeout(15_000)
        contexts.append(context)
        visitor = Visitor(await context.new_page(), site)
        visitor.listen()
        visitors.append(visitor)
        return visitor

    yield open_window
    for context in contexts:
        await context.close()
    assert [each for visitor in visitors for each in visitor.complaints] == []
