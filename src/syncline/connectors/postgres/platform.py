"""A CRM in Postgres as the registry hands it out."""

from __future__ import annotations

from collections.abc import Mapping

from syncline.connectors.base import Platform
from syncline.connectors.postgres.connector import Postgres
from syncline.connectors.postgres.decode import recall
from syncline.connectors.postgres.describing import classify
from syncline.connectors.postgres.failures import explain_failure, read_quota
from syncline.connectors.postgres.mapping import MAPPING
from syncline.connectors.postgres.objects import CAPABILITIES
from syncline.connectors.postgres.places import read_places
from syncline.connectors.postgres.transport import PostgresTransport
from syncline.connectors.postgres.webhooks import WEBHOOKS
from syncline.connectors.transport import Send


def make(send: Send, settings: Mapping[str, str]) -> Postgres:
    """Make a connector. Raises `SettingInvalid`."""
    return Postgres(send, read_places(settings))


POSTGRES = Platform(
    capabilities=CAPABILITIES,
    make=make,
    explain_failure=explain_failure,
    read_quota=read_quota,
    mapping=MAPPING,
    classify=classify,
    recall=recall,
    open=PostgresTransport,
    webhooks=WEBHOOKS,
)
