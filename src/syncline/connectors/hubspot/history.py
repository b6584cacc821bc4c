"""Earlier values of properties, by batch read."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from syncline.connectors.hubspot.api import Api
from syncline.connectors.hubspot.decode import parse_ms, read_as

History = dict[str, dict[str, list[tuple[int, str | None, str]]]]

#: HubSpot's limit for reads with history; other batch reads take 100.
BATCH = 50


class _Version(msgspec.Struct, rename="camel"):
    value: str | None = None
    timestamp: str | None = None
    source_type: str | None = None


class _Record(msgspec.Struct, rename="camel"):
    id: str
    properties_with_history: dict[str, list[_Version]] = {}


class _Answer(msgspec.Struct):
    results: list[_Record]


async def read_history(
    api: Api, object_path: str, remote_ids: Sequence[str], properties: Sequence[str]
) -> History:
    """Return remote id → property → [(ms since 1970, value, source)], newest first."""
    body = {
        "inputs": [{"id": each} for each in dict.fromkeys(remote_ids)],
        "properties": ["hs_object_id"],
        "propertiesWithHistory": list(properties),
    }
    response = await api.call("POST", "batch_read", object_name=object_path, json=body)
    return {
        record.id: {name: _order(versions) for name, versions in record.properties_with_history.items()}
        for record in read_as(_Answer, response.body).results
    }


def _order(versions: list[_Version]) -> list[tuple[int, str | None, str]]:
    dated = [(parse_ms(each.timestamp), each.value, each.source_type or "") for each in versions]
    known = [(ms, value, source) for ms, value, source in dated if ms is not None]
    return sorted(known, key=lambda each: each[0], reverse=True)
