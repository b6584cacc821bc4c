"""Tokens that expire, grants that are revoked, permissions that are missing: what goes on and what pauses."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from simulated import (
    OBJECTS,
    TOKEN,
    Mirror,
    Watch,
    assert_mirrors,
    mirror_of,
    reopened,
    world_of,
)

from syncline.clock import now, to_ms
from syncline.config import Settings
from syncline.engine.remotes import Credentials
from syncline.errors import PauseConnection, ScopeMissing, TokenRejected
from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.auth import ALL_SCOPES, CLIENT_ID, CLIENT_SECRET
from syncline.store.db import Database
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio


def granted(world: World, *, expires_in_ms: int | None = None) -> Credentials:
    """Make a grant of the account, with the access token that came with it."""
    refresh_token = world.auth.issue_refresh_token()
    token = world.auth.issue_access_token(refresh_token)
    expires = token.expires_ms if expires_in_ms is None else to_ms(now()) + expires_in_ms
    return Credentials(token.token, refresh_token, expires, CLIENT_ID, CLIENT_SECRET)


async def connection_of(mirror: Mirror) -> tuple[str, str | None]:
    rows = await mirror.select("select status, paused_reason from sync.connections")
    return rows[0]["status"], rows[0]["paused_reason"]


NAMES = ("contacts", "companies", "deals", "calls")


async def test_a_token_that_expired_is_renewed_once_by_all_who_find_it_so(
    db: Database, settings: Settings, tenant_id: UUID, database_urls: DatabaseUrls
):
    world = world_of(contacts=220, companies=10, deals=10, calls=10)
    credentials = granted(world)
    async with mirror_of(world, db, settings, tenant_id, credentials=credentials) as mirror:
        await mirror.pull("owners")
        world.auth.expire(credentials.access_token)
        async with reopened(mirror, database_urls.app) as other:
            await asyncio.gather(
                *(mirror.pull(name) for name in NAMES[:2]), *(other.pull(name) for name in NAMES[2:])
            )
        assert world.auth.refreshes == 1
        for name in NAMES:
            await assert_mirrors(mirror, name)
        # It may also expire in the midst of a run,
        lists = 0

        def expire(route: str) -> None:
            nonlocal lists
            lists += 1
            if lists == 5:
                for token in list(world.auth.tokens):
                    if token != TOKEN:
                        world.auth.expire(token)

        Watch(world, expire)
        run = await mirror.pull("contacts", full=True)
        assert (run.status, world.auth.refreshes) == ("success", 2)
        # and is renewed before it does, where that is known.
        Watch(world, lambda route: None)
        world.auth.lifetime_seconds = 30
        async with reopened(mirror, database_urls.app) as other:
            await other.pull("companies")
        assert sum(count for (_, status), count in world.stats.items() if status == 401) == 0


async def test_a_revoked_grant_pauses_the_connection_with_a_sentence(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(contacts=10)
    credentials = granted(world)
    async with mirror_of(world, db, settings, tenant_id, credentials=credentials) as mirror:
        await mirror.pull("contacts")
        assert credentials.refresh_token is not None
        world.auth.revoke(credentials.refresh_token)
        with pytest.raises(TokenRejected):
            await mirror.pull("contacts")
        status, reason = await connection_of(mirror)
        assert status == "paused"
        assert reason == "The grant was revoked or has expired. Connect HubSpot again."
        runs = await mirror.select("select * from sync.runs order by requested_at desc")
        assert runs[0]["status"] == "failed"
        assert runs[0]["error_details"]["error"] == reason
        # From then on nothing is asked of the account.
        mirror.forget_requests()
        with pytest.raises(PauseConnection, match="is paused: The grant was revoked"):
            await mirror.pull("contacts")
        assert mirror.requests() == 0


@pytest.mark.parametrize("name", ["contacts", "cars", "associations", "history"])
async def test_a_token_that_is_no_good_pauses_the_connection_whatever_is_read(
    db: Database, settings: Settings, tenant_id: UUID, name: str
):
    world = world_of(contacts=10, deals=3, cars=2)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.sync("contacts", "deals")
        world.auth.revoke(TOKEN)
        with pytest.raises(TokenRejected):
            await mirror.pull(name)
        status, reason = await connection_of(mirror)
        assert (status, reason) == (
            "paused",
            "HubSpot does not accept the token. Connect again with a valid one.",
        )


async def test_a_missing_permission_fails_its_object_and_no_other(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(contacts=30, companies=6, deals=8, calls=5)
    scopes = ALL_SCOPES - {"crm.objects.deals.read", "crm.schemas.deals.read", "crm.objects.owners.read"}
    world.auth.add_token(TOKEN, scopes)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        for name in ("owners", "deals"):
            with pytest.raises(ScopeMissing) as caught:
                await mirror.pull(name)
            assert "crm." in str(caught.value)
            assert "Add it to the app and connect again." in str(caught.value)
        runs = await mirror.sync("contacts", "companies", "calls", "associations")
        assert await connection_of(mirror) == ("active", None)
        assert {name: run.status for name, run in runs.items()} == {
            "contacts": "success",
            "companies": "success",
            "calls": "success",
            "associations": "partial",
        }
        details = runs["associations"].error_details
        assert details is not None
        assert "crm.objects.deals.read" in details["refused"][0]
        pairs = await mirror.select(
            "select distinct from_object, to_object from raw.associations order by 1, 2"
        )
        assert {(row["from_object"], row["to_object"]) for row in pairs} == {
            ("companies", "contacts"),
            ("calls", "companies"),
            ("calls", "contacts"),
        }
        # Changes of a contact are followed as well, with the associations that may be read.
        world.update("contacts", world.store("contacts").living[0], {"firstname": "Changed"})
        run = await mirror.pull("contacts")
        assert run.status == "success"
        await assert_mirrors(mirror, "contacts")
        # Once the permission is there, the next run reads what was missing, owners' names included.
        world.auth.add_token(TOKEN)
        runs = await mirror.sync(*OBJECTS[:5], "associations", "history")
        assert {run.status for run in runs.values()} == {"success"}
        for name in ("contacts", "companies", "deals", "calls"):
            await assert_mirrors(mirror, name)
        missing = await mirror.select(
            "select count(*) from raw.hubspot_contacts r join sync.links l using (remote_id)"
            " join crm.contacts c on c.id = l.record_id where l.object = 'contacts'"
            " and r.hubspot_owner_id is not null and c.owner_id is null"
        )
        assert missing[0]["count"] == 0
