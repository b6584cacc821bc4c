"""What names a row of the machinery: tenant, connection, object, kind. For passing on as keywords."""

from __future__ import annotations

from typing import TypedDict
from uuid import UUID


class ConnectionKeys(TypedDict):
    tenant_id: UUID
    connection_id: UUID


class ObjectKeys(ConnectionKeys):
    object_name: str


class CursorKeys(ObjectKeys):
    kind: str
