"""`/metrics`: what it says, to whom, and that reading it often costs the database little."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from syncline.actions import gauges
from syncline.actions.gauges import Watch
from syncline.actions.hub import Hub
from syncline.api.app import make_app
from syncline.clock import new_id
from syncline.errors import Unavailable
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

TOKEN = "a-token-of-this-test"
Client = httpx2.AsyncClient
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


async def nothing() -> list[Any]:
    return []


def client_of(app: Any, **more: Any) -> Client:
    return Client(transport=httpx2.ASGITransport(app=app), base_url="http://127.0.0.1", **more)


@pytest.fixture
async def here(app: Any) -> AsyncGenerator[Client]:
    """A program of this machine, where no token is set."""
    async with client_of(app) as client:
        yield client


@pytest.fixture
async def psql(database_urls: DatabaseUrls) -> AsyncGenerator[psycopg.AsyncConnection[Any]]:
    async with await psycopg.AsyncConnection.connect(database_urls.superuser, autocommit=True) as conn:
        yield conn


def read(answer: httpx2.Response) -> Samples:
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def labels(**given: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(given.items()))


async def fill(psql: psycopg.AsyncConnection[Any], hub: Hub) -> None:
    """A connection with runs, things that wait, and a worker."""
    connection_id = new_id()
    keys = [hub.tenant_id, connection_id]
    await psql.execute(
        """insert into sync.connections (tenant_id, id, platform, name, base_url, account_id, created_at,
             updated_at) values (%s, %s, 'hubspot', 'acme', 'https://crm.test', '1', now(), now())""",
        keys,
    )
    for status, seconds in (("success", 2), ("success", 40), ("failed", 7), ("running", None)):
        await psql.execute(
            """insert into sync.runs (tenant_id, connection_id, id, object, mode, status, requested_by,
                 requested_at, started_at, completed_at, updated_at)
               select %s, %s, %s, 'contacts', 'incremental', %s, 'schedule', t, t,
                 t + make_interval(secs => %s::float8), now()
               from (select now() - interval '5 minutes') s (t)""",
            [*keys, uuid4(), status, seconds],
        )
    await psql.execute(
        """insert into sync.schedules (tenant_id, connection_id, object, mode, cron, next_at)
           values (%s, %s, 'contacts', 'incremental', '*/5 * * * *', now())""",
        keys,
    )
    await psql.execute(
        """insert into sync.queue (tenant_id, connection_id, record_type, record_id, fields, queued_at,
             not_before) values (%s, %s, 'contact', %s, '{email}', now() - interval '90 seconds', now())""",
        [*keys, uuid4()],
    )
    await psql.execute(
        """insert into sync.quota_buckets (platform, account_id, bucket, budget, guess_calls, guess_window_ms,
             has_headers, max_calls, window_ms)
           values ('hubspot', '1', 'burst', 'day', 100, 10000, true, 100, 10000)"""
    )
    await psql.execute(
        """insert into sync.quota_days (platform, account_id, budget, started_at, used, max_calls)
           values ('hubspot', '1', 'day', now(), 12, 250000)"""
    )
    await psql.execute(
        """insert into sync.workers (id, host, pid, version, concurrency, started_at, seen_at)
           values (%s, 'h', 1, '1', 4, now(), now() - interval '20 seconds')""",
        [uuid4()],
    )


async def test_everything_of_the_database_is_told_by_tenant_connection_and_object(
    here: Client, hub: Hub, psql: psycopg.AsyncConnection[Any]
) -> None:
    await fill(psql, hub)
    found = read(await here.get("/metrics"))
    of = {"tenant": "default", "connection": "acme"}
    contacts = {**of, "object": "contacts"}
    assert found["syncline_up", ()] == 1
    assert found["syncline_sync_success_ratio", labels(tenant="default")] == pytest.approx(2 / 3)
    assert found["syncline_sync_latency_seconds", labels(tenant="default")] == pytest.approx(21)
    assert found["syncline_sync_failures_24h", labels(tenant="default")] == 1
    assert ("syncline_contacts_synced_24h", labels(tenant="default")) not in found
    assert found["syncline_runs", labels(**contacts, status="success")] == 2
    assert found["syncline_runs", labels(**contacts, status="running")] == 1
    buckets = {le: found["syncline_run_duration_seconds_bucket", labels(**contacts, le=le)]
               for le in ("1", "5", "10", "60", "+Inf")}  # fmt: skip
    assert buckets == {"1": 0, "5": 1, "10": 2, "60": 3, "+Inf": 3}
    assert 200 < found["syncline_last_success_age_seconds", labels(**contacts)] < 400
    assert found["syncline_queue_depth", labels(**of, state="pending")] == 1
    assert 90 <= found["syncline_queue_age_seconds", labels(**of, state="pending")] < 150
    assert found["syncline_quota_day_used_calls", labels(**of, bucket="burst")] == 12
    assert found["syncline_quota_limit_calls", labels(**of, bucket="burst")] == 100
    assert 20 <= found["syncline_worker_heartbeat_age_seconds", ()] < 80
    assert found["process_resident_memory_bytes", ()] > 0


async def test_only_what_reads_an_object_to_its_end_makes_its_success_young(
    here: Client, hub: Hub, psql: psycopg.AsyncConnection[Any]
) -> None:
    await fill(psql, hub)
    await psql.execute(
        """insert into sync.runs (tenant_id, connection_id, id, object, mode, status, requested_by,
             requested_at, started_at, completed_at, updated_at)
           select tenant_id, connection_id, gen_random_uuid(), object, m, 'success', 'schedule', now(), now(),
             now(), now()
           from sync.schedules, unnest(array['push', 'webhook', 'reconcile']) m"""
    )
    age = "syncline_last_success_age_seconds"
    contacts = labels(tenant="default", connection="acme", object="contacts")
    assert read(await here.get("/metrics"))[age, contacts] > 200


@pytest.mark.parametrize(
    "change",
    [
        "update sync.schedules set enabled = false",
        "update sync.schedules set mode = 'reconcile'",
        "update sync.connections set status = 'paused', paused_reason = 'Paused by ada@example.com.'",
    ],
)
async def test_what_is_not_read_on_schedule_has_no_age(
    here: Client, hub: Hub, psql: psycopg.AsyncConnection[Any], change: str
) -> None:
    await fill(psql, hub)
    await psql.execute(change.encode())
    assert "syncline_last_success_age_seconds" not in {name for name, _ in read(await here.get("/metrics"))}


async def test_requests_are_counted_by_the_route_and_never_by_what_stands_in_it(
    here: Client, manager: Client
) -> None:
    record_id = str(uuid4())
    await manager.get(f"/api/v1/contacts/{record_id}")
    await manager.get("/api/v1/contacts", params={"q": "ada@example.com"})
    await manager.get(f"/no/such/{record_id}")
    answer = await here.get("/metrics")
    found = read(answer)
    route = {"method": "GET", "route": "/api/v1/contacts/{record_id}"}
    assert found["syncline_http_requests_total", labels(**route, status="404")] == 1
    assert found["syncline_http_request_duration_seconds_count", labels(**route)] == 1
    missed = labels(method="GET", route="unmatched", status="404")
    assert found["syncline_http_requests_total", missed] == 1
    assert record_id not in answer.text
    assert "ada@example" not in answer.text
    assert "ada%40example" not in answer.text


async def test_kept_answers_are_counted(here: Client, manager: Client) -> None:
    for _ in range(3):
        assert (await manager.get("/api/dashboard/stats")).status_code == 200
    found = read(await here.get("/metrics"))
    told = {
        result: found["syncline_cache_answers_total", labels(result=result)] for result in ("hit", "miss")
    }
    assert told == {"hit": 2, "miss": 1}


@pytest.mark.parametrize(
    ("address", "url", "headers"),
    [
        ("203.0.113.7", "http://127.0.0.1/metrics", {}),
        ("127.0.0.1", "http://evil.example/metrics", {}),
        ("127.0.0.1", "http://localhost/metrics", {"x-forwarded-for": "203.0.113.7"}),
        ("127.0.0.1", "http://localhost/metrics", {"forwarded": "for=203.0.113.7"}),
    ],
)
async def test_without_a_token_only_programs_of_this_machine_are_answered(
    app: Any, address: str, url: str, headers: dict[str, str]
) -> None:
    transport = httpx2.ASGITransport(app=app, client=(address, 1))
    async with Client(transport=transport) as client:
        assert (await client.get(url, headers=headers)).status_code == 403
        assert (await client.get(url, headers={**headers, "authorization": "Bearer x"})).status_code == 403


async def test_with_a_token_only_who_has_it_is_answered_from_wherever(hub: Hub) -> None:
    settings = hub.settings.model_copy(update={"metrics_token": SecretStr(TOKEN)})
    guarded = make_app(nothing, hub=Hub(settings, hub.location, hub.db, hub.tenant))
    transport = httpx2.ASGITransport(app=guarded, client=("203.0.113.7", 1))
    async with Client(transport=transport, base_url="https://hub.example.com") as client:
        read(await client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"}))
        for wrong in (None, "Bearer", "Bearer nothing", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ä"):
            given = {} if wrong is None else {b"authorization": wrong.encode()}
            refused = await client.get("/metrics", headers=given)
            assert refused.status_code == 401
            assert "syncline_" not in refused.text
    async with client_of(guarded) as local:
        assert (await local.get("/metrics")).status_code == 401


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"public_url": "https://hub.example.com"}, 403),
        ({"trusted_proxies": "127.0.0.1"}, 403),
        ({"public_url": "http://localhost:8000"}, 200),
        ({"public_url": "https://hub.example.com", "metrics_token": SecretStr(TOKEN)}, 200),
    ],
)
async def test_where_a_proxy_may_stand_nobody_is_answered_without_a_token(
    hub: Hub, values: dict[str, Any], status: int
) -> None:
    settings = hub.settings.model_copy(update=values)
    proxied = make_app(nothing, hub=Hub(settings, hub.location, hub.db, hub.tenant))
    token = {"authorization": f"Bearer {TOKEN}"} if "metrics_token" in values else {}
    async with client_of(proxied) as client:
        answer = await client.get("/metrics", headers=token)
    assert answer.status_code == status
    assert status == 200 or "SYNCLINE_METRICS_TOKEN" in answer.text


async def test_an_api_key_opens_no_metrics_of_all_tenants(app: Any, manager: Client) -> None:
    transport = httpx2.ASGITransport(app=app, client=("203.0.113.7", 1))
    async with Client(transport=transport, base_url="http://hub.example.com") as client:
        key = {"authorization": manager.headers["authorization"]}
        assert (await client.get("/metrics", headers=key)).status_code == 403


async def test_many_scrapes_at_once_are_one_look_at_the_database(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    look = gauges.read_gauges

    async def counted(hub: Hub) -> gauges.Gauges:
        nonlocal looks
        looks += 1
        return await look(hub)

    monkeypatch.setattr(gauges, "read_gauges", counted)
    watch = Watch(hub)
    found = await asyncio.gather(*(watch.read() for _ in range(20)))
    assert looks == 1
    assert all(each is found[0] for each in found)


async def test_tenants_are_told_apart_and_those_that_are_suspended_left_out(
    here: Client, hub: Hub, psql: psycopg.AsyncConnection[Any]
) -> None:
    await psql.execute(
        """insert into app.tenants (tenant_id, slug, label, status)
           values (gen_random_uuid(), 'other', 'Other', 'active'),
             (gen_random_uuid(), 'former', 'Former', 'suspended')"""
    )
    await fill(psql, hub)
    answer = await here.get("/metrics")
    told = [dict(names) for _, names in read(answer)]
    assert {each["tenant"] for each in told if "connection" in each} == {"default"}
    assert "former" not in answer.text


@pytest.mark.parametrize(("failure", "is_slow"), [(TimeoutError(), 1), (Unavailable("away"), 0)])
async def test_without_its_database_the_process_still_tells_of_itself_and_asks_no_more_often(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, failure: Exception, is_slow: int
) -> None:
    looks = 0

    async def fail(_: Hub) -> gauges.Gauges:
        nonlocal looks
        looks += 1
        raise failure

    monkeypatch.setattr(gauges, "read_gauges", fail)
    async with client_of(make_app(nothing, hub=hub)) as client:
        answers = await asyncio.gather(*(client.get("/metrics") for _ in range(5)))
    found = read(answers[-1])
    assert looks == 1
    assert (found["syncline_up", ()], found["syncline_read_timed_out", ()]) == (0, is_slow)
    assert "process_resident_memory_bytes" in {name for name, _ in found}


async def test_every_metric_is_documented_and_no_other(here: Client) -> None:
    text = (await here.get("/metrics")).text
    served = {
        name for name in re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE) if name.startswith("syncline_")
    }
    served -= {name for name in served if name.endswith(("_created", "_gcount", "_gsum"))}
    page = (Path(__file__).parents[3] / "docs" / "monitoring.md").read_text(encoding="utf-8")
    rows = [
        line.partition("|")[2].partition("|")[0] for line in page.splitlines() if line.startswith("| `sy")
    ]
    assert {name for row in rows for name in re.findall(r"`(syncline_\w+)`", row)} == served
