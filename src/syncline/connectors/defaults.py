"""What a connector does where its CRM offers nothing of the kind: the plain answers and refusals.

A connector takes `Plain` for its base and overrides what its CRM can do. Knows no CRM.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec

from syncline.clock import now, to_ms
from syncline.connectors.base import Capabilities, RemoteObject
from syncline.connectors.reads import SERIAL, Account, Association, Page, Pipeline, PropertyDefinition, Walk
from syncline.connectors.records import RemoteRecord
from syncline.connectors.webhooks import WebhookEvent
from syncline.connectors.writes import (
    PropertyPlan,
    PropertySet,
    RemoteLink,
    RemoteWrite,
    WantedProperty,
    WriteOutcome,
)
from syncline.errors import Invalid, NotFound

History = dict[str, dict[str, list[tuple[int, str | None, str]]]]


class Plain(ABC):
    """A CRM with the objects of `capabilities`, read by one cursor, that can do nothing else.

    What is abstract here is each CRM's own. See `base.Connector` for what each method promises.
    """

    capabilities: Capabilities
    property_sets: Mapping[str, PropertySet] = {}

    @abstractmethod
    async def check(self) -> Account: ...

    @abstractmethod
    async def describe(self, object_name: str) -> list[PropertyDefinition]: ...

    async def get_object(self, object_name: str) -> RemoteObject:
        found = next((each for each in self.capabilities.objects if each.name == object_name), None)
        if found is None:
            raise NotFound(f"{self._label} has no object called {object_name}.")
        return found

    async def list_pipelines(self, object_name: str) -> list[Pipeline]:
        del object_name
        return []

    async def plan_walk(self, object_name: str) -> Walk:
        await self.get_object(object_name)
        return SERIAL

    async def find_bounds(self, object_name: str, walk: Walk, parts: int) -> AsyncIterator[int]:
        del object_name, walk, parts
        for bound in ():
            yield bound

    @abstractmethod
    async def walk_page(
        self, object_name: str, properties: Sequence[str], walk: Walk, after: str, until: str
    ) -> Page: ...

    async def list_ids(
        self, object_name: str, after: str, until: str, walk: Walk = SERIAL
    ) -> tuple[list[str], str | None]:
        """Return the ids of a page of whole records, for a CRM whose lists tell nothing less."""
        page = await self.walk_page(object_name, (), walk, after, until)
        known = [each.remote_id for each in page.records if each.archived_ms is None]
        return [*known, *(each[0] for each in page.unreadable if each[0])], page.after

    async def archived_page(self, object_name: str, properties: Sequence[str], after: str) -> Page:
        """Return an empty page: what is gone is found by its id's absence."""
        del object_name, properties, after
        return Page([], to_ms(now()))

    async def count(self, object_name: str) -> int | None:
        del object_name
        return None

    @abstractmethod
    def changed_pages(
        self, object_name: str, properties: Sequence[str], since_ms: int, until_ms: int | None
    ) -> AsyncIterator[Page]: ...

    @abstractmethod
    async def read_many(
        self, object_name: str, remote_ids: Sequence[str], properties: Sequence[str]
    ) -> Page: ...

    async def read_history(
        self, object_name: str, remote_ids: Sequence[str], properties: Sequence[str]
    ) -> History:
        """Return nothing: the CRM tells no record's past."""
        del object_name, remote_ids, properties
        return {}

    async def read_associations(
        self, from_object: str, to_object: str, remote_ids: Sequence[str]
    ) -> list[Association]:
        """Return the one association each record's own payload tells, by `Capabilities.references`."""
        path = self.capabilities.references.get((from_object, to_object))
        if path is None or not remote_ids:
            return []
        page = await self.read_many(from_object, remote_ids, ())
        kind = f"{from_object}_to_{to_object}"
        return [
            Association(each.remote_id, to_id, 0, kind, "", None)
            for each in page.records
            if each.archived_ms is None and (to_id := reference_of(each, path)) is not None
        ]

    async def write_many(self, object_name: str, writes: Sequence[RemoteWrite]) -> list[WriteOutcome]:
        del writes
        raise self._refusal(object_name, "be written")

    async def archive_many(self, object_name: str, remote_ids: Sequence[str]) -> list[WriteOutcome]:
        del remote_ids
        raise self._refusal(object_name, "be archived")

    async def associate_many(
        self, from_object: str, to_object: str, links: Sequence[RemoteLink]
    ) -> list[WriteOutcome]:
        del links
        raise self._refusal(from_object, f"be tied to {to_object}")

    async def dissociate_many(
        self, from_object: str, to_object: str, links: Sequence[RemoteLink]
    ) -> list[WriteOutcome]:
        del links
        raise self._refusal(from_object, f"be untied from {to_object}")

    async def find_by_external_id(
        self, object_name: str, external_ids: Sequence[str], properties: Sequence[str] = ()
    ) -> dict[str, RemoteRecord]:
        del external_ids, properties
        raise self._refusal(object_name, "be found by our ids")

    async def find_made(
        self, object_name: str, writes: Sequence[RemoteWrite], properties: Sequence[str], since_ms: int
    ) -> dict[str, list[RemoteRecord]]:
        """Find by our ids what was made: for a CRM that keeps them of every object that is written."""
        del since_ms
        keys = {each.external_id: each.key for each in writes if each.external_id is not None}
        found = await self.find_by_external_id(object_name, list(keys), properties)
        return {keys[external_id]: [record] for external_id, record in found.items()}

    def find_likeness(
        self, object_name: str, write: RemoteWrite, record: RemoteRecord
    ) -> frozenset[str] | None:
        """Go by our id: the CRM keeps it wherever something is made."""
        del object_name
        is_it = record.external_id is not None and record.external_id == write.external_id
        return frozenset() if is_it else None

    async def merge_records(self, object_name: str, survivor_id: str, merged_id: str) -> str:
        del survivor_id, merged_id
        raise self._refusal(object_name, "be merged")

    async def erase_many(self, object_name: str, remote_ids: Sequence[str]) -> list[WriteOutcome]:
        del remote_ids
        raise self._refusal(object_name, "be erased")

    async def ensure_webhooks(self, address: str, secret: str) -> list[str]:
        del address, secret
        raise Invalid(f"{self._label} cannot be asked for webhooks.")

    async def remove_webhooks(self, address: str) -> int:
        del address
        raise Invalid(f"{self._label} cannot be asked for webhooks.")

    async def listen(self) -> AsyncIterator[Sequence[WebhookEvent]]:
        raise Invalid(f"{self._label} cannot be listened to.")
        yield ()

    def external_id_property(self, object_name: str) -> WantedProperty | None:
        del object_name
        return None

    async def plan_properties(self, object_name: str, wanted: Sequence[WantedProperty]) -> list[PropertyPlan]:
        del wanted
        raise self._refusal(object_name, "be given properties")

    async def apply_properties(
        self, object_name: str, wanted: Sequence[WantedProperty]
    ) -> list[PropertyPlan]:
        del wanted
        raise self._refusal(object_name, "be given properties")

    @property
    def _label(self) -> str:
        return self.capabilities.label

    def _refusal(self, object_name: str, what: str) -> Invalid:
        return Invalid(f"{object_name} of {self._label} cannot {what}.")


def fill_empty(page: Page, properties: Sequence[str]) -> Page:
    """Return a page whose records have all properties that were asked for, None where the CRM left them out.

    For a CRM that leaves out what is empty; else a value that was emptied there would stay here.
    """
    if not properties:
        return page
    empty: dict[str, Any] = dict.fromkeys(properties)
    records = [msgspec.structs.replace(each, properties=empty | each.properties) for each in page.records]
    return msgspec.structs.replace(page, records=records)


def reference_of(record: RemoteRecord, path: Sequence[str]) -> str | None:
    """Return the id of the other record at a place in the payload; None where it is empty."""
    value: Any = msgspec.json.decode(record.payload)
    for step in path:
        if not isinstance(value, dict):
            return None
        value = value.get(step)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return None if value is None else str(value)  # pyright: ignore[reportUnknownArgumentType]
