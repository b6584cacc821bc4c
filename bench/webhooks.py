"""Measures how many webhooks `syncline serve` takes in, beside an endpoint that only verifies and inserts.

Both are processes of their own on one embedded Postgres with default settings, which waits for the disk at
each commit; deliveries of ten events come over connections that are kept alive. Ratios within one run are
what counts; absolute figures are this machine's.

    python bench/webhooks.py                    a few seconds of each, in turn
    python bench/webhooks.py --seconds 5 --repeat 3 --connections 20
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
from psycopg import sql

from contest import Account, simulate
from syncline.clock import now, to_ms
from syncline.domain.sealing import Vault
from syncline.engine.remotes import Credentials, seal_credentials
from syncline.store import migrate
from syncline.store.embedded import EmbeddedServer, stop_server
from syncline.store.roles import OWNER, admit_roles
from syncline.store.urls import DatabaseUrls, with_database

HERE = Path(__file__).parent
SECRET, ACCOUNT = "bench", "4711"
KEY = "A" * 43 + "="
EVENTS = 10
BODIES = 200
TENANT = "00000000-0000-7000-8000-000000000001"


@dataclass(frozen=True)
class Rate:
    who: str
    deliveries: int
    seconds: float
    p95_ms: float

    @property
    def per_second(self) -> float:
        return self.deliveries / self.seconds

    def row(self) -> str:
        return (
            f"| {self.who} | {self.per_second:,.0f} | {self.per_second * EVENTS:,.0f} | {self.p95_ms:.1f} |"
        )


def make_bodies(ids: list[int]) -> list[bytes]:
    """Return deliveries as HubSpot words them, each of ten edits."""
    return [
        json.dumps(
            [
                {
                    "appId": 1, "attemptNumber": 0, "changeSource": "CRM_UI",
                    "eventId": number * EVENTS + each,
                    "objectId": ids[(number * EVENTS + each) % len(ids)], "occurredAt": to_ms(now()),
                    "portalId": int(ACCOUNT), "propertyName": "city", "propertyValue": "Bern",
                    "sourceId": "userId:1", "subscriptionId": 7, "subscriptionType": "contact.propertyChange",
                }
                for each in range(EVENTS)
            ]
        ).encode()
        for number in range(BODIES)
    ]  # fmt: skip


def make_requests(port: int, path: str, bodies: list[bytes]) -> list[bytes]:
    """Return whole HTTP requests, signed as HubSpot signs today."""
    host, at = f"127.0.0.1:{port}", str(to_ms(now()))
    made: list[bytes] = []
    for body in bodies:
        signed = f"POSThttp://{host}{path}".encode() + body + at.encode()
        signature = b64encode(hmac.digest(SECRET.encode(), signed, hashlib.sha256)).decode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"X-HubSpot-Signature-v3: {signature}\r\nX-HubSpot-Request-Timestamp: {at}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


async def knock(
    port: int, requests: list[bytes], seconds: float, connections: int
) -> tuple[int, list[float]]:
    """Send requests over so many connections for so long; return the number taken in and the time of each."""
    took: list[float] = []
    until = time.perf_counter() + seconds

    async def send(first: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        number = first
        while time.perf_counter() < until:
            began = time.perf_counter()
            writer.write(requests[number % len(requests)])
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 202"):
                raise SystemExit(f"Not taken in: {answer.decode()}")
            took.append(time.perf_counter() - began)
            number += connections
        writer.close()

    await asyncio.gather(*(send(each) for each in range(connections)))
    return len(took), took


def measure(who: str, port: int, path: str, bodies: list[bytes], options: argparse.Namespace) -> Rate:
    requests = make_requests(port, path, bodies)
    began = time.perf_counter()
    taken, took = asyncio.run(knock(port, requests, options.seconds, options.connections))
    return Rate(who, taken, time.perf_counter() - began, sorted(took)[int(len(took) * 0.95)] * 1000)


@contextmanager
def process(command: list[str], environment: dict[str, str], port: int) -> Iterator[None]:
    """Run a server until it answers, and for the length of the block."""
    running = subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1).close()
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        yield
    finally:
        running.terminate()
        running.wait(40)


async def prepare(urls: DatabaseUrls, name: str, account: Account) -> None:
    async with await psycopg.AsyncConnection.connect(urls.superuser, autocommit=True) as conn:
        await conn.execute(
            sql.SQL("create database {} owner {}").format(sql.Identifier(name), sql.Identifier(OWNER))
        )
    superuser = with_database(urls.superuser, name)
    async with await psycopg.AsyncConnection.connect(superuser, autocommit=True) as conn:
        await admit_roles(conn)
    await migrate.upgrade(with_database(urls.admin, name))
    sealed = seal_credentials(Vault([KEY]), Credentials(account.token, webhook_secret=SECRET))
    async with await psycopg.AsyncConnection.connect(superuser, autocommit=True) as conn:
        await conn.execute(
            "create table floor (id uuid primary key, received_at timestamptz not null, body text not null)"
        )
        await conn.execute(
            "insert into sync.connections (tenant_id, id, platform, name, base_url, account_id, credentials,"
            " created_at, updated_at) values (%s, %s, 'hubspot', 'bench', %s, %s, %s, now(), now())",
            (TENANT, uuid4(), account.url, ACCOUNT, sealed),
        )


async def set_paused(urls: DatabaseUrls, name: str, *, paused: bool) -> None:
    """Let the worker rest, or work; either begins with an empty inbox."""
    superuser = with_database(urls.superuser, name)
    async with await psycopg.AsyncConnection.connect(superuser, autocommit=True) as conn:
        await conn.execute("truncate sync.inbox")
        await conn.execute(
            "update sync.connections set status = %s, paused_reason = 'bench'",
            ["paused" if paused else "active"],
        )
        await conn.execute("checkpoint")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--repeat", type=int, default=2, help="rounds of each; the median counts")
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--edits", type=int, default=40, help="single edits whose way is timed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="syncline-bench-") as folder:
        Path(folder).chmod(0o755)
        embedded = EmbeddedServer(Path(folder) / "home", idle_seconds=60)
        urls = asyncio.run(embedded.start())
        try:
            with simulate(1000, latency_ms=50, rate=190) as account:
                report(*compare(urls, Path(folder), account, options))
        finally:
            embedded.close()
            asyncio.run(stop_server(Path(folder) / "home"))


async def time_edits(port: int, path: str, database: str, account: Account, count: int) -> list[float]:
    """Return how many ms it took each of some edits to be in our records, from its webhook on; sorted."""
    took: list[float] = []
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as conn:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(count):
            name = f"Edited {number}"
            change = {"object": "contacts", "count": 1, "properties": {"firstname": name}}
            answer = await asyncio.to_thread(account.control, "touch", change)
            (request,) = make_requests(port, path, make_bodies([int(answer["ids"][0])])[:1])
            began = time.perf_counter()
            writer.write(request)
            await reader.readuntil(b"\r\n\r\n")
            while True:
                found = await conn.execute("select from crm.contacts where first_name = %s", [name])
                if found.rowcount:
                    break
                await asyncio.sleep(0.005)
            took.append((time.perf_counter() - began) * 1000)
        writer.close()
    return sorted(took)


def compare(
    urls: DatabaseUrls, folder: Path, account: Account, options: argparse.Namespace
) -> tuple[list[Rate], list[float]]:
    name = f"bench_{secrets.token_hex(4)}"
    asyncio.run(prepare(urls, name, account))
    settings = {
        "SYNCLINE_HOME": str(folder / "client"),
        "SYNCLINE_DATABASE_URL": with_database(urls.app, name),
        "SYNCLINE_SECRET_KEY": KEY,
        "SYNCLINE_LOG_LEVEL": "error",
    }
    ours, floor = free_port(), free_port()
    job = json.dumps({"port": floor, "database": with_database(urls.superuser, name), "secret": SECRET})
    path = "/api/v1/webhooks/hubspot/bench"
    bodies = make_bodies(list(range(1, 1001)))
    found: list[Rate] = []
    sync = [sys.executable, "-m", "syncline", "sync", "bench", "--object", "contacts"]
    subprocess.run(sync, env=os.environ | settings, check=True, stdout=subprocess.DEVNULL)
    with (
        process([sys.executable, str(HERE / "webhooks_floor.py"), job], {}, floor),
        process([sys.executable, "-m", "syncline", "serve", "--port", str(ours)], settings, ours),
    ):
        superuser = with_database(urls.superuser, name)
        edits = asyncio.run(time_edits(ours, path, superuser, account, options.edits))
        for port in (floor, ours):  # plans, caches and connections are made
            asyncio.run(knock(port, make_requests(port, path, bodies), 0.5, options.connections))
        for _ in range(options.repeat):
            asyncio.run(set_paused(urls, name, paused=True))
            found.append(measure("floor", floor, path, bodies, options))
            found.append(measure("syncline", ours, path, bodies, options))
            asyncio.run(set_paused(urls, name, paused=False))
            found.append(measure("syncline, working them off meanwhile", ours, path, bodies, options))
    return found, edits


def report(found: list[Rate], edits: list[float]) -> None:
    medians: dict[str, Rate] = {}
    for who in dict.fromkeys(each.who for each in found):
        rates = sorted((each for each in found if each.who == who), key=lambda each: each.per_second)
        medians[who] = rates[len(rates) // 2]
    print("| | deliveries/s | events/s | p95 ms |\n|---|---|---|---|")
    for each in medians.values():
        print(each.row())
    floor, ours = medians["floor"], medians["syncline"]
    print(
        f"\nOf {len(edits)} single edits half were in our records {edits[len(edits) // 2]:.0f} ms after their"
        f" webhook was sent, 95 % after {edits[int(len(edits) * 0.95)]:.0f} ms; the CRM answers in 50 ms."
    )
    print(f"Syncline takes in {ours.per_second / floor.per_second:.2f} times what the floor does.")


if __name__ == "__main__":
    main()
