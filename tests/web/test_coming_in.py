"""Coming in by every way there is, led by a browser: by mail, by a provider, by consent, from nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, Route, expect
from pydantic import SecretStr
from serving_pages import Served, serve_pages
from site_process import ADMIN, PASSWORD
from visiting import sign_in_at

from identity_provider import CLIENT_ID, CLIENT_SECRET, IdentityProvider, open_provider
from letterbox import open_letterbox
from syncline.config import Settings
from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.auth import DEFAULT_TOKEN
from syncline.simulators.hubspot.server import in_loop

pytestmark = pytest.mark.anyio

FEW = {"contacts": 12, "companies": 3, "deals": 4, "owners": 2, "calls": 3, "meetings": 2, "emails": 2}
NEW = "a completely different phrase"
_PATIENCE_MS = 30_000


@pytest.fixture(autouse=True)
def _patience() -> None:
    expect.set_options(timeout=_PATIENCE_MS)


@pytest.fixture
async def window(browser: Browser) -> AsyncGenerator[Page]:
    """A browser in which nobody is signed in."""
    context = await browser.new_context(reduced_motion="reduce")
    context.set_default_timeout(_PATIENCE_MS)
    yield await context.new_page()
    await context.close()


@pytest.fixture
async def served(settings: Settings) -> AsyncGenerator[Served]:
    async with serve_pages(settings) as opened:
        yield opened


async def test_a_forgotten_password_is_set_anew_by_a_letter(window: Page, settings: Settings):
    async with (
        open_letterbox() as box,
        serve_pages(
            settings,
            smtp_url=SecretStr(f"smtp://127.0.0.1:{box.port}"),
            mail_from="syncline@example.com",
        ) as served,
    ):
        await window.goto(f"{served.url}/sign-in")
        await window.get_by_role("link", name="Forgot your password?").click()
        await window.get_by_label("E-mail").fill(ADMIN)
        await window.get_by_role("button", name="Send the link").click()
        await expect(window.get_by_role("heading", name="Look into your mail")).to_be_visible()
        await box.wait_for(1)
        [link] = box.links()
        assert link.startswith(served.url)
        await window.goto(link)
        await window.get_by_label("New password").fill("short")
        await window.get_by_role("button", name="Set the password").click()
        await expect(window.get_by_text("at least 12 characters").first).to_be_visible()
        await window.get_by_label("New password").fill(NEW)
        await window.get_by_role("button", name="Set the password").click()
        await expect(window.get_by_role("status").first).to_contain_text("Sign in with it")
        await sign_in_at(window, served.url, ADMIN, NEW)
        await expect(window.get_by_text("Nothing is connected yet")).to_be_visible()
        answer = await window.goto(link)
        assert answer is not None
        assert answer.status == 404


async def test_somebody_is_invited_by_mail_and_comes_in(window: Page, settings: Settings, browser: Browser):
    async with (
        open_letterbox() as box,
        serve_pages(
            settings,
            smtp_url=SecretStr(f"smtp://127.0.0.1:{box.port}"),
            mail_from="syncline@example.com",
        ) as served,
    ):
        await sign_in_at(window, served.url, ADMIN, PASSWORD)
        await window.goto(f"{served.url}/settings/people")
        await window.get_by_label("E-mail").fill("nina@example.com")
        await window.get_by_label("Role").select_option("manager")
        await window.get_by_role("button", name="Invite").click()
        await expect(window.get_by_role("status").first).to_contain_text("invited by mail")
        await box.wait_for(1)
        assert box.letters[0]["to"] == "nina@example.com"
        guest = await (await browser.new_context()).new_page()
        await guest.goto(box.links()[-1])
        await guest.get_by_label("Your name").fill("Nina New")
        await guest.get_by_label("Choose a password").fill(NEW)
        await guest.get_by_role("button", name="Accept").click()
        await expect(guest.get_by_role("status").first).to_contain_text("Welcome to Syncline")
        await expect(guest.get_by_role("link", name="Audit")).to_be_visible()
        await guest.context.close()


async def test_a_provider_vouches_for_somebody_who_has_an_account(window: Page, settings: Settings):
    async with open_provider() as provider, serve_pages(settings, **_by(provider)) as served:
        await window.goto(f"{served.url}/audit")
        await window.get_by_role("link", name="Sign in with your organisation").click()
        await expect(window).to_have_url(f"{served.url}/audit")
        await expect(window.get_by_role("heading", name="Audit")).to_be_visible()


async def test_whoever_has_no_account_is_told_so_by_a_page(window: Page, settings: Settings):
    async with open_provider() as provider, serve_pages(settings, **_by(provider)) as served:
        provider.email = "stranger@example.com"
        await window.goto(f"{served.url}/sign-in")
        await window.get_by_role("link", name="Sign in with your organisation").click()
        await expect(window.get_by_text("You have no account here")).to_be_visible()
        await expect(window.locator("h1")).to_have_count(1)


def _by(provider: IdentityProvider) -> dict[str, object]:
    return {
        "oidc_issuer": provider.url,
        "oidc_client_id": CLIENT_ID,
        "oidc_client_secret": SecretStr(CLIENT_SECRET),
    }


async def _send_on(route: Route, url: str) -> None:
    await route.fulfill(status=303, headers={"location": url})


async def test_from_nothing_to_the_first_chart(window: Page, served: Served):
    world = World(5)
    world.populate(**FEW)
    async with in_loop(world) as crm_url:
        await sign_in_at(window, served.url, ADMIN, PASSWORD)
        await window.get_by_role("link", name="Connect a CRM").click()
        await window.get_by_role("link", name="HubSpot").click()
        await window.get_by_label("Token").fill(DEFAULT_TOKEN)
        await window.locator("#connect summary", has_text="More settings").click()
        await window.locator("#base_url").fill(crm_url)
        await window.get_by_role("button", name="Connect and sync").click()
        await expect(window).to_have_url(f"{served.url}/connections/hubspot/first")
        await expect(window.get_by_text("Everything is here.")).to_be_visible(timeout=3 * _PATIENCE_MS)
        await expect(window.locator("[data-chart] svg, [data-chart] canvas").first).to_be_visible()
        await window.get_by_role("link", name="Open the dashboard").click()
        await expect(window.get_by_role("heading", name="Dashboard", exact=True)).to_be_visible()
        await expect(window.get_by_role("heading", name="Sales", exact=True)).to_be_visible()


async def test_a_crm_is_connected_by_consent(window: Page, served: Served):
    world = World(5)
    world.populate(**FEW)
    world.auth.clients["our-app"] = "secret-of-the-app"
    async with in_loop(world) as crm_url:

        async def agree(route: Route) -> None:
            await _send_on(route, f"{crm_url}/oauth/authorize?{urlsplit(route.request.url).query}")

        await window.context.route("https://app.hubspot.com/**", agree)
        await sign_in_at(window, served.url, ADMIN, PASSWORD)
        await window.goto(f"{served.url}/connections/new/hubspot")
        form = window.locator("form", has_text="By consent instead")
        await form.get_by_label("Name of the connection").fill("by consent")
        await form.locator("summary").click()
        await form.get_by_label("Where the CRM is").fill(crm_url)
        await form.get_by_role("button").click()
        await expect(window.get_by_text("The app at the CRM shows it.")).to_be_visible()
        await form.get_by_label("Client id").fill("our-app")
        await form.get_by_label("Client secret").fill("secret-of-the-app")
        await form.get_by_role("button").click()
        await window.get_by_role("link", name="Go on to HubSpot").click()
        await expect(window).to_have_url(f"{served.url}/connections/by%20consent/first")
        [made] = await served.hub.list_connections()
        assert made.name == "by consent"
        await window.goto(f"{served.url}/connections/consent?state=made-up&code=made-up")
        await expect(window.get_by_text("was not begun here")).to_be_visible()
