"""HubSpot behind the contract of `base`: who does what."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from syncline.connectors.base import RemoteObject
from syncline.connectors.defaults import Plain
from syncline.connectors.hubspot import (
    account,
    associations,
    definitions,
    erasing,
    history,
    linking,
    properties,
    reading,
    search,
    walking,
    writing,
)
from syncline.connectors.hubspot.api import Api, Version
from syncline.connectors.hubspot.objects import CAPABILITIES, custom_object, find_object, is_direct
from syncline.connectors.hubspot.properties import missing_external_id
from syncline.connectors.reads import SERIAL, Account, Association, Page, Pipeline, PropertyDefinition, Walk
from syncline.connectors.records import RemoteRecord
from syncline.connectors.transport import Send
from syncline.connectors.writes import (
    PropertyPlan,
    PropertySet,
    RemoteLink,
    RemoteWrite,
    WantedProperty,
    WriteOutcome,
)
from syncline.errors import Invalid, NotFound, SettingInvalid

_SUBSCRIBED_BY_HAND = "HubSpot's webhooks are set up in the app that they belong to, in HubSpot itself."


class HubSpot(Plain):
    """One connection's HubSpot account. See `base.Connector` for what each method promises."""

    capabilities = CAPABILITIES
    property_sets: Mapping[str, PropertySet] = properties.PROPERTY_SETS

    def __init__(self, send: Send, version: Version | None = None) -> None:
        self._api = Api(send, version)
        #: Short name of a custom object → its type id, once looked up.
        self._custom: dict[str, str] | None = None
        #: Path → what writing must know of an object, once it has a property for our ids.
        self._traits: dict[str, properties.Traits] = {}

    async def check(self) -> Account:
        return await account.check(self._api)

    async def get_object(self, object_name: str) -> RemoteObject:
        known = find_object(object_name)
        if known is not None:
            return known
        await definitions.list_properties(self._api, await self._path(object_name))
        return custom_object(object_name)

    async def describe(self, object_name: str) -> list[PropertyDefinition]:
        if object_name == reading.OWNERS:
            return []
        return await definitions.list_properties(self._api, await self._path(object_name))

    async def list_pipelines(self, object_name: str) -> list[Pipeline]:
        known = find_object(object_name)
        if known is not None and not known.has_pipelines:
            return []
        return await definitions.list_pipelines(self._api, await self._path(object_name))

    async def plan_walk(self, object_name: str) -> Walk:
        return await walking.plan_walk(self._api, await self._path(object_name))

    async def find_bounds(self, object_name: str, walk: Walk, parts: int) -> AsyncIterator[int]:
        async for bound in walking.find_bounds(self._api, await self._path(object_name), walk, parts):
            yield bound

    async def walk_page(
        self, object_name: str, properties: Sequence[str], walk: Walk, after: str, until: str
    ) -> Page:
        asked = await self._ask(object_name, properties)
        return await walking.walk_page(self._api, asked, walk, after, until)

    async def list_ids(
        self, object_name: str, after: str, until: str, walk: Walk = SERIAL
    ) -> tuple[list[str], str | None]:
        path = await self._path(object_name)
        return await walking.walk_ids(self._api, path, walk, after, until)

    async def archived_page(self, object_name: str, properties: Sequence[str], after: str) -> Page:
        return await reading.archived_page(self._api, await self._ask(object_name, properties), after)

    async def changed_pages(
        self, object_name: str, properties: Sequence[str], since_ms: int, until_ms: int | None
    ) -> AsyncIterator[Page]:
        if object_name == reading.OWNERS:
            raise Invalid("Owners cannot be searched by modified time; list them.")
        asked = await self._ask(object_name, properties)
        async for page in search.changed_pages(self._api, asked, since_ms, until_ms):
            yield page

    async def count(self, object_name: str) -> int | None:
        if object_name == reading.OWNERS:
            return None
        return await search.count(self._api, await self._ask(object_name, ()))

    async def read_many(self, object_name: str, remote_ids: Sequence[str], properties: Sequence[str]) -> Page:
        if len(remote_ids) > CAPABILITIES.read_batch:
            raise Invalid(f"At most {CAPABILITIES.read_batch} records can be read at once.")
        asked = await self._ask(object_name, properties)
        return await reading.read_page(self._api, asked, remote_ids)

    async def read_history(
        self, object_name: str, remote_ids: Sequence[str], properties: Sequence[str]
    ) -> history.History:
        if len(remote_ids) > history.BATCH:
            raise Invalid(f"At most {history.BATCH} records can be read with history at once.")
        path = await self._path(object_name)
        return await history.read_history(self._api, path, remote_ids, properties)

    async def read_associations(
        self, from_object: str, to_object: str, remote_ids: Sequence[str]
    ) -> list[Association]:
        if len(remote_ids) > CAPABILITIES.association_batch:
            raise Invalid(f"At most {CAPABILITIES.association_batch} records' associations at once.")
        from_path, to_path = await self._path(from_object), await self._path(to_object)
        return await associations.read_associations(
            self._api, (from_object, from_path), (to_object, to_path), remote_ids
        )

    async def write_many(self, object_name: str, writes: Sequence[RemoteWrite]) -> list[WriteOutcome]:
        _check_writable(object_name, len(writes), CAPABILITIES.write_batch)
        path = await self._path(object_name)
        try:
            return await writing.write_many(self._api, path, writes, await self._traits_for(path, writes))
        except SettingInvalid:
            self._traits.pop(path, None)  # The property has gone since.
            raise

    async def archive_many(self, object_name: str, remote_ids: Sequence[str]) -> list[WriteOutcome]:
        _check_writable(object_name, len(remote_ids), CAPABILITIES.write_batch)
        return await writing.archive_many(self._api, await self._path(object_name), remote_ids)

    async def associate_many(
        self, from_object: str, to_object: str, links: Sequence[RemoteLink]
    ) -> list[WriteOutcome]:
        _check_writable(from_object, len(links), CAPABILITIES.association_batch)
        from_path, to_path = await self._path(from_object), await self._path(to_object)
        return await linking.associate_many(self._api, (from_object, from_path), (to_object, to_path), links)

    async def dissociate_many(
        self, from_object: str, to_object: str, links: Sequence[RemoteLink]
    ) -> list[WriteOutcome]:
        _check_writable(from_object, len(links), CAPABILITIES.association_batch)
        from_path, to_path = await self._path(from_object), await self._path(to_object)
        return await linking.dissociate_many(self._api, from_path, to_path, links)

    async def find_by_external_id(
        self, object_name: str, external_ids: Sequence[str], properties: Sequence[str] = ()
    ) -> dict[str, RemoteRecord]:
        _check_writable(object_name, len(external_ids), CAPABILITIES.write_batch)
        path = await self._path(object_name)
        if not (await self._read_traits(path)).has_external_id:
            raise missing_external_id(object_name)
        return await writing.find_by_external_id(self._api, path, external_ids, properties)

    async def merge_records(self, object_name: str, survivor_id: str, merged_id: str) -> str:
        if object_name not in CAPABILITIES.mergeable:
            raise Invalid(f"HubSpot cannot merge {object_name}.")
        return await writing.merge_records(self._api, object_name, survivor_id, merged_id)

    async def erase_many(self, object_name: str, remote_ids: Sequence[str]) -> list[WriteOutcome]:
        if object_name not in CAPABILITIES.persons:
            raise Invalid(f"HubSpot erases contacts only, not {object_name}.")
        _check_writable(object_name, len(remote_ids), CAPABILITIES.write_batch)
        return await erasing.erase_many(self._api, object_name, remote_ids)

    async def ensure_webhooks(self, address: str, secret: str) -> list[str]:
        del address, secret
        raise Invalid(_SUBSCRIBED_BY_HAND)

    async def remove_webhooks(self, address: str) -> int:
        del address
        raise Invalid(_SUBSCRIBED_BY_HAND)

    def external_id_property(self, object_name: str) -> WantedProperty | None:
        return None if object_name == reading.OWNERS else properties.EXTERNAL_ID_PROPERTY

    async def plan_properties(self, object_name: str, wanted: Sequence[WantedProperty]) -> list[PropertyPlan]:
        _check_writable(object_name)
        return await properties.plan_properties(self._api, await self._path(object_name), wanted)

    async def apply_properties(
        self, object_name: str, wanted: Sequence[WantedProperty]
    ) -> list[PropertyPlan]:
        _check_writable(object_name)
        return await properties.apply_properties(self._api, await self._path(object_name), wanted)

    async def _traits_for(self, path: str, writes: Sequence[RemoteWrite]) -> properties.Traits:
        """Return what these writes need to know, asking HubSpot only where something depends on it."""
        creates = any(each.remote_id is None and each.external_id is not None for each in writes)
        appends = any((value or "").startswith(";") for each in writes for value in each.properties.values())
        if creates or appends:
            return await self._read_traits(path)
        return properties.Traits(has_external_id=False, appending=frozenset())

    async def _read_traits(self, path: str) -> properties.Traits:
        known = self._traits.get(path)
        if known is None:
            known = await properties.read_traits(self._api, path)
            if known.has_external_id:  # else somebody may be about to create it
                self._traits[path] = known
        return known

    async def _ask(self, object_name: str, properties: Sequence[str]) -> reading.Asked:
        return reading.ask(await self._path(object_name), properties)

    async def _path(self, object_name: str) -> str:
        """Return how paths name an object. Raises `NotFound` for an unknown short name."""
        if find_object(object_name) is not None or is_direct(object_name):
            return object_name
        if self._custom is None:
            self._custom = {
                each.name: each.object_type_id for each in await definitions.list_schemas(self._api)
            }
        path = self._custom.get(object_name)
        if path is None:
            raise NotFound(f"This HubSpot account has no object called {object_name}.")
        return path


def _check_writable(object_name: str, count: int = 0, most: int = 0) -> None:
    if object_name == reading.OWNERS:
        raise Invalid("Owners cannot be written through HubSpot's API.")
    if count > most:
        raise Invalid(f"At most {most} can be written at once.")
