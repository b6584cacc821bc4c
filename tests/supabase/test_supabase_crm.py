"""A CRM in another Postgres through a real pgbouncer in transaction mode, as Supabase's pooler is used."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from uuid import uuid4

import pytest
from psycopg.conninfo import conninfo_to_dict
from real_pgbouncer import PROGRAM, WHY_NOT, pgbouncer

from small_crm import Server, address_of, small_crm
from syncline.connectors.postgres.connector import Postgres
from syncline.connectors.postgres.places import read_places
from syncline.connectors.postgres.transport import PostgresTransport
from syncline.connectors.reads import SERIAL
from syncline.connectors.transport import Request, Response
from syncline.connectors.writes import RemoteWrite

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)]


async def test_everything_goes_through_a_transaction_mode_pooler(server: Server) -> None:
    async with small_crm(server, companies=3, contacts=40, deals=2, activities=2) as crm:
        parts = conninfo_to_dict(crm.urls.admin)
        passwords = {str(parts["user"]): str(parts["password"])}
        with pgbouncer(int(str(parts["port"])), passwords, size=3) as port:
            base_url, token = address_of(crm.urls.admin, port=port, query="?pool_mode=transaction")
            async with aclosing(PostgresTransport(base_url)) as transport:

                async def send(request: Request) -> Response:
                    return await transport.send(request, token)

                await _use(Postgres(send, read_places({})))


async def _use(connector: Postgres) -> None:
    await connector.check()
    pages = await asyncio.gather(*(connector.walk_page("contacts", (), SERIAL, "", "") for _ in range(10)))
    assert {len(page.records) for page in pages} == {40}
    wanted = connector.external_id_property("contacts")
    assert wanted is not None
    assert [each.state for each in await connector.apply_properties("contacts", [wanted])] == ["created"]
    assert len(await connector.ensure_webhooks("", "")) == 5
    events = connector.listen()
    await anext(events)
    ours = str(uuid4())
    made = RemoteWrite("k", None, {"email": "n@example.com"}, ours)
    [outcome] = await connector.write_many("contacts", [made])
    async with asyncio.timeout(30):
        [event] = await anext(events)
    assert (event.object, event.remote_id) == ("contacts", outcome.remote_id)
    assert ours in await connector.find_by_external_id("contacts", [ours])
