from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from made_rows import make_connection

from syncline import clock
from syncline.connectors.transport import Quota, QuotaFacts, Request, Response, Token
from syncline.engine.calls import CallCounts, Calls, FixedToken, StoredToken
from syncline.engine.quota import Governor
from syncline.errors import (
    CallerMistake,
    RateLimited,
    RetryLater,
    ScopeMissing,
    TokenRejected,
    Unavailable,
)
from syncline.store import connections
from syncline.store.db import Conn, Database
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

GET = Request("GET", "/things")
CREATE = Request("POST", "/things", json={"name": "x"}, idempotent=False)
OK = Response(200, {}, b'{"ok": true}', QuotaFacts())


@dataclass
class Script:
    """A service that answers as it is told, one line after the other, and OK from then on."""

    lines: list[Exception] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    accepts: Callable[[str | None], bool] = lambda _: True

    async def send(self, request: Request, token: Token | None) -> Response:
        self.tokens.append(token.access_token if token else None)
        await asyncio.sleep(0)
        if request.authorized and not self.accepts(self.tokens[-1]):
            raise TokenRejected
        if self.lines:
            raise self.lines.pop(0)
        return OK


@pytest.fixture
async def governor(db: Database) -> AsyncGenerator[Governor]:
    quotas = [Quota("burst", 1000, timedelta(seconds=0.2), has_headers=False, daily_limit=10_000)]
    async with Governor(db, platform="test", account_id="a", quotas=quotas) as opened:
        yield opened


def make_calls(script: Script, governor: Governor, **options: Any) -> Calls:
    return Calls(script, governor, FixedToken(Token("t")), backoff_seconds=0.001, **options)


async def test_what_passes_by_itself_is_tried_again(governor: Governor) -> None:
    script = Script([Unavailable(), RetryLater(after_seconds=0.01), RateLimited(after_seconds=0.05)])
    calls = make_calls(script, governor)
    assert await calls.send(GET) is OK
    assert calls.counts == CallCounts(
        calls=4,
        retries=3,
        rate_limit_hits=1,
        bytes_received=len(OK.body),
        seconds=calls.counts.seconds,
        quota_wait_seconds=calls.counts.quota_wait_seconds,
    )


async def test_attempts_are_bounded_and_the_last_failure_is_told(governor: Governor) -> None:
    script = Script([Unavailable(f"failure {n}") for n in range(20)])
    with pytest.raises(Unavailable, match="failure 7"):
        await make_calls(script, governor).send(GET)
    assert len(script.tokens) == 8


async def test_a_wait_longer_than_the_bounds_is_left_to_the_caller(governor: Governor) -> None:
    script = Script([RetryLater(after_seconds=3600)])
    with pytest.raises(RetryLater) as caught:
        await make_calls(script, governor).send(GET)
    assert caught.value.after_seconds == 3600
    assert len(script.tokens) == 1


async def test_who_is_to_end_waits_for_no_failure(governor: Governor) -> None:
    ending = asyncio.Event()
    script = Script([Unavailable(f"failure {n}", after_seconds=60) for n in range(3)])
    call = asyncio.create_task(make_calls(script, governor, ending=ending).send(GET))
    while not script.tokens:
        await asyncio.sleep(0.01)
    ending.set()
    with pytest.raises(Unavailable, match="failure 0"):
        async with asyncio.timeout(20):
            await call
    with pytest.raises(Unavailable, match="failure 1"):
        await make_calls(script, governor, ending=ending).send(GET)
    assert await make_calls(Script(), governor, ending=ending).send(GET) is OK


async def test_the_time_for_all_attempts_is_bounded(governor: Governor) -> None:
    script = Script([RetryLater(after_seconds=0.1) for _ in range(20)])
    with pytest.raises(RetryLater):
        await make_calls(script, governor, give_up_after_seconds=0.25).send(GET)
    assert 2 <= len(script.tokens) <= 4


@pytest.mark.parametrize("error", [ScopeMissing(), CallerMistake(), TokenRejected(), RateLimited(daily=True)])
async def test_what_waiting_does_not_cure_is_told_at_once(governor: Governor, error: Exception) -> None:
    script = Script([error, error])
    with pytest.raises(type(error)):
        await make_calls(script, governor).send(GET)
    assert len(script.tokens) == 1


async def test_what_must_not_happen_twice_is_not_repeated_after_it_may_have_happened(
    governor: Governor,
) -> None:
    for error in (Unavailable(), RetryLater()):
        script = Script([error])
        with pytest.raises(RetryLater):
            await make_calls(script, governor).send(CREATE)
        assert len(script.tokens) == 1


async def test_what_must_not_happen_twice_is_repeated_when_it_cannot_have_happened(
    governor: Governor,
) -> None:
    script = Script([Unavailable(unsent=True), RateLimited(after_seconds=0.01)])
    assert await make_calls(script, governor).send(CREATE) is OK
    assert len(script.tokens) == 3


async def test_the_reserve_of_the_day_is_spent_only_by_who_may(db: Database) -> None:
    quotas = [Quota("burst", 1000, timedelta(seconds=1), has_headers=False, daily_limit=10)]
    async with Governor(db, platform="test", account_id="b", quotas=quotas) as governor:
        backfill = make_calls(Script(), governor)
        for _ in range(10):  # nine, and the one that looks for a new day
            await backfill.send(GET)
        with pytest.raises(RateLimited) as caught:
            await backfill.send(GET)
        assert caught.value.daily
        assert backfill.counts.calls == 10
        person = Calls(Script(), governor, FixedToken(Token("t")), lane="person")
        with pytest.raises(RateLimited):
            await person.send(GET)


async def test_calls_that_authenticate_by_their_body_carry_no_token(governor: Governor) -> None:
    script = Script()
    await make_calls(script, governor).send(Request("POST", "/token", form={"a": "b"}, authorized=False))
    assert script.tokens == [None]


async def test_a_refused_call_waits_through_the_governor_and_not_beside_it(governor: Governor) -> None:
    script = Script([RateLimited(after_seconds=0.3) for _ in range(3)])
    calls = [make_calls(script, governor) for _ in range(10)]
    await asyncio.gather(*(each.send(GET) for each in calls))
    assert sum(each.counts.calls for each in calls) == 13


class Credentials:
    """Keeps the token in `sync.connections`, as the product does, but unsealed."""

    def __init__(self, tenant_id: UUID, connection_id: UUID) -> None:
        self._tenant_id = tenant_id
        self._connection_id = connection_id

    async def load(self, conn: Conn) -> Token:
        row = await connections.get(conn, self._connection_id, tenant_id=self._tenant_id)
        assert row.credentials is not None
        return Token(row.credentials.decode(), "refresh", None)

    async def save(self, conn: Conn, token: Token) -> None:
        await connections.set_credentials(
            conn,
            self._connection_id,
            token.access_token.encode(),
            tenant_id=self._tenant_id,
            now=clock.now(),
        )


@dataclass
class Exchange:
    made: int = 0

    async def __call__(self, old: Token) -> Token:
        self.made += 1
        await asyncio.sleep(0.05)
        return Token(f"fresh {self.made} after {old.access_token}", "refresh", None)


def stored(db: Database, tenant_id: UUID, connection_id: UUID, exchange: Exchange | None) -> StoredToken:
    return StoredToken(
        db,
        Credentials(tenant_id, connection_id),
        exchange,
        tenant_id=tenant_id,
        connection_id=connection_id,
    )


async def test_many_who_find_a_token_expired_exchange_it_once(
    db: Database, governor: Governor, tenant_id: UUID
) -> None:
    connection_id = await make_connection(db, tenant_id)
    script, exchange = Script(accepts=lambda token: token != "first"), Exchange()
    sources = [stored(db, tenant_id, connection_id, exchange) for _ in range(4)]
    calls = [Calls(script, governor, sources[n % 4]) for n in range(12)]
    answers = await asyncio.gather(*(each.send(GET) for each in calls))
    assert answers == [OK] * 12
    assert exchange.made == 1
    assert set(script.tokens) == {"first", "fresh 1 after first"}


async def test_ten_processes_with_an_expired_token_exchange_it_once(
    db: Database, database_urls: DatabaseUrls, tenant_id: UUID, tmp_path: Path
) -> None:
    connection_id = await make_connection(db, tenant_id)
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("token_process.py")),
            *(database_urls.app, str(tenant_id), str(connection_id), str(tmp_path)),
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(10)
    ]
    tokens = {(await process.communicate())[0].decode().strip() for process in processes}
    assert tokens == {"fresh 1 after first"}
    assert len(list(tmp_path.iterdir())) == 1


async def test_a_token_about_to_expire_is_exchanged_before_it_is_used(
    db: Database, governor: Governor, tenant_id: UUID
) -> None:
    connection_id = await make_connection(db, tenant_id)
    script, exchange = Script(), Exchange()

    class Expiring(Credentials):
        async def load(self, conn: Conn) -> Token:
            token = await super().load(conn)
            soon = clock.to_ms(clock.now() + timedelta(seconds=20))
            return Token(token.access_token, token.refresh_token, soon)

    tokens = StoredToken(
        db, Expiring(tenant_id, connection_id), exchange, tenant_id=tenant_id, connection_id=connection_id
    )
    await Calls(script, governor, tokens).send(GET)
    assert script.tokens == ["fresh 1 after first"]


async def test_a_token_that_stays_rejected_is_exchanged_once_and_then_given_up(
    db: Database, governor: Governor, tenant_id: UUID
) -> None:
    connection_id = await make_connection(db, tenant_id)
    script, exchange = Script(accepts=lambda _: False), Exchange()
    with pytest.raises(TokenRejected):
        await Calls(script, governor, stored(db, tenant_id, connection_id, exchange)).send(GET)
    assert exchange.made == 1
    assert len(script.tokens) == 2


async def test_a_token_that_a_person_has_replaced_is_found_after_a_rejection(
    db: Database, governor: Governor, tenant_id: UUID
) -> None:
    connection_id = await make_connection(db, tenant_id)
    script = Script(accepts=lambda token: token == "second")
    tokens = stored(db, tenant_id, connection_id, None)
    calls = Calls(script, governor, tokens)
    with pytest.raises(TokenRejected):
        await calls.send(GET)
    async with db.transaction(tenant_id=tenant_id) as conn:
        await Credentials(tenant_id, connection_id).save(conn, Token("second"))
    assert await calls.send(GET) is OK


async def test_a_failed_exchange_leaves_the_stored_token_and_the_way_free(
    db: Database, governor: Governor, tenant_id: UUID
) -> None:
    connection_id = await make_connection(db, tenant_id)

    async def fail(old: Token) -> Token:
        raise Unavailable

    tokens = StoredToken(
        db, Credentials(tenant_id, connection_id), fail, tenant_id=tenant_id, connection_id=connection_id
    )
    old = await tokens.current()
    with pytest.raises(Unavailable):
        await tokens.refresh(old)
    exchange = Exchange()
    fresh = await stored(db, tenant_id, connection_id, exchange).refresh(old)
    assert fresh is not None
    assert exchange.made == 1
