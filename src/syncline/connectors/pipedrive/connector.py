"""Pipedrive behind the contract of `base`: who does what."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from syncline.connectors.base import RemoteObject
from syncline.connectors.defaults import Plain, fill_empty
from syncline.connectors.pipedrive import (
    account,
    fields,
    finding,
    likeness,
    linking,
    merging,
    properties,
    reading,
    subscriptions,
    walking,
    writing,
)
from syncline.connectors.pipedrive.api import Api
from syncline.connectors.pipedrive.objects import (
    CAPABILITIES,
    IDS,
    LEADS,
    USERS,
    WRITE_BATCH,
    get_object,
    get_place,
)
from syncline.connectors.reads import SERIAL, Account, Association, Page, Pipeline, PropertyDefinition, Walk
from syncline.connectors.records import RemoteRecord
from syncline.connectors.transport import Send
from syncline.connectors.writes import (
    PropertyPlan,
    RemoteLink,
    RemoteWrite,
    WantedProperty,
    WriteOutcome,
)
from syncline.errors import Invalid


class Pipedrive(Plain):
    """One connection's Pipedrive account. See `base.Connector` for what each method promises.

    Lists always tell whole records: the properties asked for say only what shall be there though it is empty.
    Nothing is counted there, and a record's past costs 20 tokens, more than any budget has for all.
    """

    capabilities = CAPABILITIES

    def __init__(self, send: Send) -> None:
        self._api = Api(send)

    async def check(self) -> Account:
        return await account.check(self._api)

    async def get_object(self, object_name: str) -> RemoteObject:
        return get_object(object_name)

    async def describe(self, object_name: str) -> list[PropertyDefinition]:
        if object_name == USERS:
            return []
        return await fields.describe(self._api, object_name)

    async def list_pipelines(self, object_name: str) -> list[Pipeline]:
        return await fields.list_pipelines(self._api) if get_object(object_name).has_pipelines else []

    async def plan_walk(self, object_name: str) -> Walk:
        return await walking.plan_walk(self._api, object_name)

    async def find_bounds(self, object_name: str, walk: Walk, parts: int) -> AsyncIterator[int]:
        get_object(object_name)
        for bound in walking.find_bounds(walk, parts):
            yield bound

    async def walk_page(
        self, object_name: str, properties: Sequence[str], walk: Walk, after: str, until: str
    ) -> Page:
        page = await walking.walk_page(self._api, object_name, walk, after, until)
        return fill_empty(page, properties)

    async def list_ids(
        self, object_name: str, after: str, until: str, walk: Walk = SERIAL
    ) -> tuple[list[str], str | None]:
        return await walking.walk_ids(self._api, object_name, walk, after, until)

    async def archived_page(self, object_name: str, properties: Sequence[str], after: str) -> Page:
        get_object(object_name)
        return fill_empty(await reading.archived_page(self._api, object_name, after), properties)

    async def changed_pages(
        self, object_name: str, properties: Sequence[str], since_ms: int, until_ms: int | None
    ) -> AsyncIterator[Page]:
        if not get_object(object_name).incremental:
            raise Invalid(f"{object_name} cannot be asked for by modified time; list them.")
        async for page in reading.changed_pages(self._api, object_name, since_ms, until_ms):
            yield fill_empty(page, properties)

    async def read_many(self, object_name: str, remote_ids: Sequence[str], properties: Sequence[str]) -> Page:
        _check_count(len(remote_ids), IDS)
        return fill_empty(await reading.read_many(self._api, object_name, remote_ids), properties)

    async def read_associations(
        self, from_object: str, to_object: str, remote_ids: Sequence[str]
    ) -> list[Association]:
        _check_count(len(remote_ids), IDS)
        return await linking.read_associations(self._api, from_object, to_object, remote_ids)

    async def write_many(self, object_name: str, writes: Sequence[RemoteWrite]) -> list[WriteOutcome]:
        _check_writable(object_name, len(writes))
        return await writing.write_many(self._api, object_name, writes)

    async def archive_many(self, object_name: str, remote_ids: Sequence[str]) -> list[WriteOutcome]:
        _check_writable(object_name, len(remote_ids))
        return await writing.archive_many(self._api, object_name, remote_ids)

    async def associate_many(
        self, from_object: str, to_object: str, links: Sequence[RemoteLink]
    ) -> list[WriteOutcome]:
        _check_writable(from_object)
        _check_count(len(links), IDS)
        return await linking.associate_many(self._api, from_object, to_object, links)

    async def dissociate_many(
        self, from_object: str, to_object: str, links: Sequence[RemoteLink]
    ) -> list[WriteOutcome]:
        _check_writable(from_object)
        _check_count(len(links), IDS)
        return await linking.dissociate_many(self._api, from_object, to_object, links)

    async def find_by_external_id(
        self, object_name: str, external_ids: Sequence[str], properties: Sequence[str] = ()
    ) -> dict[str, RemoteRecord]:
        del properties
        _check_writable(object_name, len(external_ids))
        if not get_place(object_name).takes_custom_fields:
            raise writing.missing_external_id(object_name)
        return await writing.find_by_external_id(self._api, object_name, external_ids)

    async def find_made(
        self, object_name: str, writes: Sequence[RemoteWrite], properties: Sequence[str], since_ms: int
    ) -> dict[str, list[RemoteRecord]]:
        _check_writable(object_name, len(writes))
        if object_name not in self.capabilities.found_by_content:
            return await super().find_made(object_name, writes, properties, since_ms)
        return await finding.find_made(self._api, object_name, writes, since_ms)

    def find_likeness(
        self, object_name: str, write: RemoteWrite, record: RemoteRecord
    ) -> frozenset[str] | None:
        if object_name not in self.capabilities.found_by_content:
            return super().find_likeness(object_name, write, record)
        return likeness.find_likeness(object_name, write, record)

    async def merge_records(self, object_name: str, survivor_id: str, merged_id: str) -> str:
        return await merging.merge_records(self._api, object_name, survivor_id, merged_id)

    async def erase_many(self, object_name: str, remote_ids: Sequence[str]) -> list[WriteOutcome]:
        if object_name not in self.capabilities.persons:
            raise Invalid(f"Pipedrive can erase persons only, not {object_name}.")
        # There is no call beyond deletion; `Capabilities.persons` says what that leaves.
        return await self.archive_many(object_name, remote_ids)

    async def ensure_webhooks(self, address: str, secret: str) -> list[str]:
        return await subscriptions.ensure_webhooks(self._api, address, secret)

    async def remove_webhooks(self, address: str) -> int:
        return await subscriptions.remove_webhooks(self._api, address)

    def external_id_property(self, object_name: str) -> WantedProperty | None:
        return properties.external_id_property(object_name)

    async def plan_properties(self, object_name: str, wanted: Sequence[WantedProperty]) -> list[PropertyPlan]:
        _check_writable(object_name)
        return await properties.plan_properties(self._api, object_name, wanted)

    async def apply_properties(
        self, object_name: str, wanted: Sequence[WantedProperty]
    ) -> list[PropertyPlan]:
        _check_writable(object_name)
        return await properties.apply_properties(self._api, object_name, wanted)


def _check_writable(object_name: str, count: int = 0) -> None:
    get_object(object_name)
    if object_name in (USERS, LEADS):
        raise Invalid(f"{object_name} of Pipedrive are only read.")
    _check_count(count, WRITE_BATCH)


def _check_count(count: int, most: int) -> None:
    if count > most:
        raise Invalid(f"At most {most} can be handled at once.")
