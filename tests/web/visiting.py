"""The application under test, and people who are led through it by a browser. Starts nothing itself."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psycopg
from playwright.async_api import ConsoleMessage, Error, Page
from site_process import ADMIN, PASSWORD


@dataclass(frozen=True, slots=True)
class Site:
    """The application under test, and the database behind it."""

    url: str
    crm_url: str
    token: str
    #: A superuser's connection string.
    database: str
    #: What the process logs.
    log: Path = Path()
    #: The key that everything secret is sealed with.
    secret_key: str = field(default="", repr=False)

    def execute(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database, autocommit=True) as conn:
            cursor = conn.execute(statement, values)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []


@dataclass
class Visitor:
    """Somebody with a browser of their own, whose console is listened to."""

    page: Page
    site: Site
    complaints: list[str] = field(default_factory=list[str])

    async def go(self, path: str) -> Page:
        response = await self.page.goto(self.site.url + path)
        assert response is not None
        assert response.status == 200, f"{path} answered {response.status}"
        return self.page

    def listen(self) -> None:
        self.page.on("console", self._hear)
        self.page.on("pageerror", self._catch)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{self.page.url}: {message.text}")

    def _catch(self, error: Error) -> None:
        self.complaints.append(f"{self.page.url}: {error}")


Visit = Callable[..., Awaitable[Visitor]]


async def sign_in(page: Page, site: Site, email: str, password: str = PASSWORD) -> None:
    await sign_in_at(page, site.url, email, password)


async def sign_in_at(page: Page, url: str, email: str, password: str) -> None:
    """Sign in at an address, and come to whatever is shown first."""
    await page.goto(f"{url}/sign-in")
    await page.get_by_label("E-mail").fill(email)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await page.wait_for_url(lambda here: "/sign-in" not in here)


_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


async def enter(client: httpx2.AsyncClient, email: str = ADMIN, password: str = PASSWORD) -> str:
    """Sign in without a browser, and return a token for forms."""
    answer = await client.post("/sign-in", data={"email": email, "password": password})
    assert answer.status_code == 303, answer.text
    return await find_token(client)


async def find_token(client: httpx2.AsyncClient) -> str:
    """Return a token for forms of whoever is signed in."""
    page = await client.get("/account")
    found = _TOKEN.search(page.text)
    assert found is not None
    return found[1]
