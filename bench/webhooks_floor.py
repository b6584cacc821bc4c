"""The floor of taking webhooks in: the signature is checked, the body is inserted, the answer leaves.

No tenants, no look-up, no parsing, no inbox: what any endpoint must at least do. Run by webhooks.py.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import uuid4

import uvicorn
from fastapi import FastAPI, Request, Response
from psycopg_pool import AsyncConnectionPool

from syncline.clock import now, to_ms
from syncline.connectors.hubspot.signatures import verify
from syncline.connectors.webhooks import Delivery

job = json.loads(sys.argv[1])
pool = AsyncConnectionPool(job["database"], kwargs={"autocommit": True}, min_size=10, max_size=10, open=False)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
    async with pool:
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/healthz")
async def healthz() -> str:
    return "ok"


async def receive(request: Request) -> Response:
    body = await request.body()
    headers = {name.decode(): value.decode() for name, value in request.scope["headers"]}
    url = f"http://{headers['host']}{request.scope['path']}"
    verify(Delivery("POST", url, headers, body, to_ms(now())), job["secret"])
    async with pool.connection() as conn:
        await conn.execute(
            "insert into floor (id, received_at, body) values (%s, %s, %s)", (uuid4(), now(), body.decode())
        )
    return Response(status_code=202)


app.router.add_route("/api/v1/webhooks/{platform}/{connection}", receive, methods=["POST"])
uvicorn.run(app, port=job["port"], log_config=None, access_log=False, loop="uvloop")
