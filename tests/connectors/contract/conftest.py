"""The contract's tests run for every CRM there is an imitation of."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from imitated import Crm, Imitation
from imitations import IMITATIONS


@pytest.fixture(params=IMITATIONS)
def imitation(request: pytest.FixtureRequest) -> Imitation:
    return IMITATIONS[request.param]


@pytest.fixture
async def crm(imitation: Imitation, server: Any) -> AsyncGenerator[Crm]:
    """A few records of every object."""
    async with imitation.opened(server) as opened:
        yield opened
