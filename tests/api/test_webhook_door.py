"""The door for webhooks: what is genuine is stored and then answered; of the rest only the fact is kept."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, MutableMapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psycopg
import pytest

from syncline.api.app import make_app
from syncline.api.problems import STATUSES
from syncline.clock import now, to_ms
from syncline.domain.sealing import Vault, new_key
from syncline.engine.remotes import Credentials, seal_credentials
from syncline.engine.webhooks import Intake
from syncline.errors import SynclineError
from syncline.store import connections
from syncline.store.db import Database
from syncline.store.urls import DatabaseUrls
from tiny_webhooks import MAX_BYTES, SECRET, SIGNATURE, TIME, body_of, event, sign, tiny

__all__ = ["tiny"]

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("tiny")]

PUBLIC = "https://hub.example.com"
BASE = "/api/v1/webhooks/hubspot"
OUR_TENANT = UUID("00000000-0000-7000-8000-000000000001")
OTHER_TENANT = UUID("00000000-0000-7000-8000-000000000002")
Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Door:
    """The application as a server calls it, and the database behind it."""

    db: Database
    intake: Intake
    vault: Vault
    superuser: str
    public_url: str | None = PUBLIC
    peer: str = "192.0.2.77"

    async def connect(
        self,
        name: str = "main",
        account: str = "4711",
        *,
        tenant_id: UUID = OUR_TENANT,
        secret: str | None = SECRET,
        app_secret: str | None = None,
    ) -> UUID:
        connection_id = uuid4()
        async with self.db.transaction(tenant_id=tenant_id) as conn:
            await connections.insert(
                conn,
                tenant_id=tenant_id,
                connection_id=connection_id,
                platform="hubspot",
                name=name,
                base_url="http://localhost",
                account_id=account,
                account_name="An account",
                account_url=None,
                credentials=seal_credentials(
                    self.vault, Credentials("t", webhook_secret=secret, client_secret=app_secret)
                ),
                settings={},
                now=now(),
            )
        return connection_id

    async def post(
        self,
        path: str,
        body: bytes,
        *,
        secret: str = SECRET,
        signed_url: str | None = None,
        at_ms: int | None = None,
        headers: dict[str, str] | None = None,
        parts: list[bytes] | None = None,
        hangs_up: bool = False,
    ) -> Answer:
        """Post a signed delivery; `parts` are sent in place of the body that was signed."""
        at = str(to_ms(now()) if at_ms is None else at_ms)
        signature = sign(secret, signed_url or PUBLIC + path, body, at)
        sent = {SIGNATURE: signature, TIME: at, "host": "internal:8750", **(headers or {})}
        return await self.call(path, sent, [body] if parts is None else parts, hangs_up=hangs_up)

    async def call(
        self, path: str, headers: dict[str, str], parts: list[bytes], *, hangs_up: bool = False
    ) -> Answer:
        app = make_app(_nothing, intake=self.intake, public_url=self.public_url)
        waiting = list(parts)
        answer: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            if waiting:
                part = waiting.pop(0)
                return {"type": "http.request", "body": part, "more_body": bool(waiting) or hangs_up}
            return {"type": "http.disconnect"}

        async def send(message: MutableMapping[str, Any]) -> None:
            answer.append(message)

        target = urlsplit(path)
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
            "path": target.path, "raw_path": target.path.encode(), "query_string": target.query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "root_path": "", "scheme": "http", "server": ("127.0.0.1", 80), "client": (self.peer, 4000),
        }  # fmt: skip
        await app(scope, receive, send)
        got = {name.decode(): value.decode() for name, value in answer[0]["headers"]}
        return answer[0]["status"], got, b"".join(message.get("body", b"") for message in answer[1:])

    async def ask(self, query: str) -> list[tuple[Any, ...]]:
        async with await psycopg.AsyncConnection.connect(self.superuser, autocommit=True) as conn:
            return await (await conn.execute(query.encode())).fetchall()

    async def stored(self) -> list[tuple[Any, ...]]:
        return await self.ask("select connection_id, state, events, body from sync.inbox order by id")


async def _nothing() -> list[Any]:
    return []


@pytest.fixture
async def doors(db: Database, database_urls: DatabaseUrls) -> AsyncGenerator[Callable[[], Any]]:
    """Makes a door; what was refused is written down when the block ends."""
    vault = Vault([new_key()])
    async with AsyncExitStack() as stack:

        async def make() -> Door:
            intake = await stack.enter_async_context(Intake(db, vault))
            return Door(db, intake, vault, database_urls.superuser)

        yield make


@pytest.fixture
async def door(doors: Callable[[], Any]) -> Door:
    return await doors()


def one_event(account: str = "4711") -> bytes:
    return body_of(account, event("contacts", 1))


async def refusals(door: Door) -> list[tuple[Any, ...]]:
    """Write down what was refused so far, and return it."""
    await door.intake.__aexit__(None, None, None)
    return await door.ask(
        "select connection_id, reason, network, count from sync.refused_webhooks order by reason"
    )


async def test_a_genuine_delivery_is_stored_before_it_is_answered(door: Door):
    connection = await door.connect()
    body = body_of("4711", event("contacts", 1), event("deals", 2))
    status, _, answer = await door.post(f"{BASE}/main", body)
    assert (status, answer) == (202, b"")
    assert await door.stored() == [(connection, "pending", 2, body.decode())]


async def test_a_connection_is_named_by_its_id_or_name_with_or_without_the_tenant(door: Door):
    connection = await door.connect()
    paths = (f"{BASE}/{connection}", f"{BASE}/main", f"{BASE}/default/main", f"{BASE}/default/{connection}")
    for path in paths:
        assert (await door.post(path, one_event()))[0] == 202
    assert len(await door.stored()) == len(paths)


async def test_without_a_name_the_account_in_the_body_decides(door: Door):
    await door.connect("other", "1")
    connection = await door.connect("main", "4711")
    assert (await door.post(BASE, one_event()))[0] == 202
    assert [row[0] for row in await door.stored()] == [connection]


async def test_the_address_that_was_signed_has_its_query(door: Door):
    await door.connect()
    assert (await door.post(f"{BASE}/main?a=1&b=%20", one_event()))[0] == 202
    forged = await door.post(f"{BASE}/main?a=2", one_event(), signed_url=f"{PUBLIC}{BASE}/main?a=1")
    assert forged[0] == 401


async def test_without_a_public_address_the_one_that_was_called_counts(door: Door):
    await door.connect()
    door.public_url = None
    url = f"http://internal:8750{BASE}/main"
    assert (await door.post(f"{BASE}/main", one_event(), signed_url=url))[0] == 202
    # What a header says of it is anybody's word.
    lie = {"x-forwarded-proto": "https", "x-forwarded-host": "hub.example.com"}
    assert (await door.post(f"{BASE}/main", one_event(), headers=lie))[0] == 401


async def test_a_forged_delivery_leaves_nothing_but_the_fact(door: Door):
    connection = await door.connect()
    status, headers, answer = await door.post(f"{BASE}/main", one_event(), secret="guessed")
    assert (status, headers["content-type"]) == (401, "application/problem+json")
    assert json.loads(answer)["status"] == 401
    assert await door.stored() == []
    assert await refusals(door) == [(connection, "The signature does not fit.", "192.0.2.0/24", 1)]


async def test_a_stale_delivery_is_refused(door: Door):
    await door.connect()
    stale = to_ms(now()) - 301_000
    assert (await door.post(f"{BASE}/main", one_event(), at_ms=stale))[0] == 401
    assert [row[1] for row in await refusals(door)] == ["The delivery is stale."]


async def test_a_truncated_delivery_is_refused(door: Door):
    await door.connect()
    body = one_event()
    assert (await door.post(f"{BASE}/main", body, parts=[body[:-3]]))[0] == 401
    assert (await door.post(f"{BASE}/main", body, parts=[body[:9]], hangs_up=True))[0] == 400
    assert await door.stored() == []
    assert [row[1] for row in await refusals(door)] == [
        "The delivery ended before it was complete.",
        "The signature does not fit.",
    ]


async def test_a_body_that_is_too_large_is_not_read_to_its_end(door: Door):
    await door.connect()
    announced = {"content-length": str(MAX_BYTES + 1)}
    status, headers, _ = await door.post(f"{BASE}/main", one_event(), headers=announced)
    assert (status, headers["connection"]) == (413, "close")
    # Nor one that does not say beforehand.
    parts = [b"x" * 6000] * 100
    status, headers, _ = await door.post(f"{BASE}/main", one_event(), parts=parts)
    assert (status, headers["connection"]) == (413, "close")
    assert [row[3] for row in await refusals(door)] == [2]


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"no json", b'{"account":"4711","events":1}'])
async def test_what_is_signed_and_no_delivery_is_refused(door: Door, body: bytes):
    await door.connect()
    assert (await door.post(f"{BASE}/main", body))[0] == 400
    assert (await door.post(BASE, body))[0] in (400, 404)
    assert await door.stored() == []


async def test_a_delivery_about_another_account_is_refused(door: Door):
    connection = await door.connect()
    assert (await door.post(f"{BASE}/main", one_event("4712")))[0] == 401
    assert await door.stored() == []
    (row,) = await refusals(door)
    assert row[0] == connection
    assert "another account" in row[1]


async def test_an_unknown_connection_and_an_unknown_platform_are_not_found(door: Door):
    await door.connect()
    for path in (f"{BASE}/nobody", f"{BASE}/nobody/main", f"{BASE}/{uuid4()}"):
        status, headers, _ = await door.post(path, one_event())
        assert (status, headers["content-type"]) == (404, "application/problem+json")
    assert (await door.post(BASE, one_event("999")))[0] == 404
    assert (await door.post("/api/v1/webhooks/nothing/main", one_event()))[0] == 404
    assert await door.stored() == []


async def test_a_connection_without_a_secret_takes_nothing_in(door: Door):
    await door.connect(secret=None)
    assert (await door.post(f"{BASE}/main", one_event(), secret=""))[0] == 401
    assert "No webhook secret" in (await refusals(door))[0][1]


async def test_the_apps_own_secret_serves_where_no_other_was_given(door: Door):
    await door.connect(secret=None, app_secret="the app's")
    assert (await door.post(f"{BASE}/main", one_event(), secret="the app's"))[0] == 202


async def test_a_new_secret_holds_at_once_and_the_old_one_no_more(doors: Callable[[], Any]):
    door = await doors()
    connection = await door.connect()
    assert (await door.post(f"{BASE}/main", one_event()))[0] == 202
    async with door.db.transaction(tenant_id=OUR_TENANT) as conn:
        sealed = seal_credentials(door.vault, Credentials("t", webhook_secret="the new one"))
        await connections.set_credentials(conn, connection, sealed, tenant_id=OUR_TENANT, now=now())
    # Another process, which remembers nothing
    door = await doors()
    assert (await door.post(f"{BASE}/main", one_event()))[0] == 401
    assert (await door.post(f"{BASE}/main", one_event(), secret="the new one"))[0] == 202


async def test_two_tenants_never_mix(door: Door):
    async with await psycopg.AsyncConnection.connect(door.superuser, autocommit=True) as conn:
        await conn.execute(
            "insert into app.tenants (tenant_id, slug, label) values (%s, 'theirs', 'Theirs')", [OTHER_TENANT]
        )
    ours = await door.connect("main", "1", secret="ours")
    theirs = await door.connect("main", "2", tenant_id=OTHER_TENANT, secret="theirs")
    # One name, and the signature decides; one account each, and neither secret opens the other's.
    assert (await door.post(f"{BASE}/main", one_event("1"), secret="ours"))[0] == 202
    assert (await door.post(f"{BASE}/main", one_event("2"), secret="theirs"))[0] == 202
    assert (await door.post(f"{BASE}/main", one_event("2"), secret="ours"))[0] == 401
    assert (await door.post(BASE, one_event("2"), secret="ours"))[0] == 401
    assert (await door.post(f"{BASE}/theirs/main", one_event("1"), secret="ours"))[0] == 401
    rows = await door.ask("select tenant_id, connection_id from sync.inbox order by id")
    assert [row[1] for row in rows] == [ours, theirs]
    assert rows[1][0] == OTHER_TENANT


async def test_two_tenants_with_one_account_both_have_what_either_is_told(door: Door):
    async with await psycopg.AsyncConnection.connect(door.superuser, autocommit=True) as conn:
        await conn.execute(
            "insert into app.tenants (tenant_id, slug, label) values (%s, 'theirs', 'Theirs')", [OTHER_TENANT]
        )
    ours = await door.connect()
    theirs = await door.connect("their own", tenant_id=OTHER_TENANT)
    await door.connect("third", secret="of another app")
    assert (await door.post(BASE, one_event()))[0] == 202
    assert {row[0] for row in await door.stored()} == {ours, theirs}


async def test_nothing_is_taken_in_for_a_suspended_tenant(door: Door):
    await door.connect()
    async with await psycopg.AsyncConnection.connect(door.superuser, autocommit=True) as conn:
        await conn.execute("update app.tenants set status = 'suspended'")
    assert (await door.post(f"{BASE}/main", one_event()))[0] == 404


async def test_a_flood_of_forgeries_is_a_handful_of_rows(door: Door):
    connection = await door.connect()
    for number in range(300):
        door.peer = f"198.51.100.{number % 250}"
        assert (await door.post(f"{BASE}/main", one_event(), secret="guessed"))[0] == 401
    rows = await refusals(door)
    assert {row[:3] for row in rows} == {(connection, "The signature does not fit.", "198.51.100.0/24")}
    assert sum(row[3] for row in rows) == 300
    assert len(rows) < 100


async def test_no_changed_delivery_passes(door: Door):
    """A single change to what was signed: a bit of the body, the address, the time, the signature."""
    await door.connect()
    rng, path = Random(3), f"{BASE}/main"
    body = body_of("4711", *(event("contacts", each) for each in range(5)))
    at = str(to_ms(now()))
    headers = {SIGNATURE: sign(SECRET, PUBLIC + path, body, at), TIME: at, "host": "internal"}
    assert (await door.call(path, headers, [body]))[0] == 202
    for _ in range(400):
        changed, sent, where = bytearray(body), dict(headers), path
        match rng.randrange(4):
            case 0:
                changed[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
            case 1:
                where += f"?{rng.randrange(100)}"
            case 2:
                sent[TIME] = str(int(at) + rng.choice([-1, 1]) * rng.randrange(1, 10**6))
            case _:
                place = rng.randrange(64)
                digit = rng.choice([each for each in "0123456789abcdef" if each != sent[SIGNATURE][place]])
                sent[SIGNATURE] = sent[SIGNATURE][:place] + digit + sent[SIGNATURE][place + 1 :]
        assert (await door.call(where, sent, [bytes(changed)]))[0] == 401
    assert len(await door.stored()) == 1


def test_every_error_has_its_status() -> None:
    def of(kind: type[SynclineError]) -> set[type[SynclineError]]:
        return {kind, *(each for child in kind.__subclasses__() for each in of(child))}

    ours = {each for each in of(SynclineError) if each.__module__ == "syncline.errors"}
    assert ours <= {each for each in ours if each in STATUSES or each.__mro__[1] in STATUSES}
    assert set(STATUSES) <= ours
