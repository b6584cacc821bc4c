"""Serving pages without a worker: at an address that answers, and ended with the streams that are open."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx2
import pytest
from pydantic import SecretStr

from syncline.actions.hub import Hub, open_hub
from syncline.actions.people import add_person
from syncline.config import Settings
from syncline.domain.callers import Caller
from syncline.domain.sealing import new_key
from syncline.errors import Invalid
from syncline.web.server import serving

pytestmark = pytest.mark.anyio

_PASSWORD = "correct horse battery staple"


@pytest.fixture
async def hub(settings: Settings) -> AsyncGenerator[Hub]:
    keyed = settings.model_copy(update={"secret_key": SecretStr(new_key())})
    async with open_hub(keyed, application_name="test") as opened:
        yield opened


async def test_an_open_stream_is_ended_with_the_server(hub: Hub):
    operator = Caller(hub.tenant_id, "admin", "test", "cli", is_operator=True)
    await add_person(hub, operator, "ada@example.com", "Ada", "admin", password=_PASSWORD, operator=True)
    ended: list[bool] = []
    async with httpx2.AsyncClient(timeout=30) as client:
        async with serving(hub, host="127.0.0.1", port=0, ended=lambda: ended.append(True)) as address:
            form = {"email": "ada@example.com", "password": _PASSWORD}
            assert (await client.post(f"{address}/sign-in", data=form)).status_code == 303
            assert "Nothing is connected yet" in (await client.get(f"{address}/")).text
            request = client.build_request("GET", f"{address}/live?topics=run,queue,conflicts")
            stream = await client.send(request, stream=True)
        # Its end has been sent, and nothing was cut off.
        assert (await stream.aread()).startswith(b": here")
        await stream.aclose()
    assert ended == [True]


async def test_a_port_that_is_taken_is_told(hub: Hub):
    async with serving(hub, host="127.0.0.1", port=0) as address:
        with pytest.raises(Invalid, match="cannot be listened on"):
            async with serving(hub, host="127.0.0.1", port=int(address.rpartition(":")[2])):
                pytest.fail("it was listened on twice")
