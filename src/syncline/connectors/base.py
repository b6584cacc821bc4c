"""The contract between the engine and a CRM.

A connector turns answers into remote records and failures into the classes of `errors`. It holds no
retry loop and no merge: the engine gives it a `send` that already waits for quota, retries what can be
retried and refreshes tokens. What differs between CRMs is data the engine asks for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from syncline.connectors.reads import SERIAL, Account, Association, Page, Pipeline, PropertyDefinition, Walk
from syncline.connectors.records import RemoteRecord
from syncline.connectors.transport import Quota, QuotaFacts, Send, Token, Transport
from syncline.connectors.webhooks import WebhookEvent, Webhooks
from syncline.connectors.writes import (
    PropertyPlan,
    PropertySet,
    RemoteLink,
    RemoteWrite,
    WantedProperty,
    WriteOutcome,
)
from syncline.domain.mapping import ObjectMap
from syncline.domain.mapping_check import PropertyKind
from syncline.errors import SynclineError


@dataclass(frozen=True, slots=True)
class RemoteObject:
    """One kind of record a CRM keeps. `name` is the CRM's own word, as in `raw.<platform>_<name>`."""

    name: str
    #: The kind of record of ours it becomes ("contact"), or None when it is mirrored in raw only.
    record_type: str | None
    #: The property that holds the modified time.
    modified_property: str
    #: Scopes without which it cannot be read.
    scopes: tuple[str, ...] = ()
    #: Objects whose associations are re-read when a record of this one changed.
    associates_with: tuple[str, ...] = ()
    #: False where the CRM offers no search by modified time; then every run lists everything.
    incremental: bool = True
    has_properties: bool = True
    has_pipelines: bool = False
    default_schedule: str = "0 * * * *"
    #: True for what not every account has: where it is missing, a connection that does not name it goes
    #: without. `get_object` and `describe` raise `NotFound` then; an absent object is never an empty one.
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Persons:
    """An object whose records are persons: where a payload tells how they are known, and what erasing leaves.

    A path names keys one below the other; `*` stands for every entry of a list. A text may hold several
    addresses, separated by semicolons.
    """

    emails: tuple[tuple[str, ...], ...] = ()
    phones: tuple[tuple[str, ...], ...] = ()
    #: What the CRM keeps of somebody after `erase_many`, in words; None where it cannot be asked to erase.
    left_behind: str | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    platform: str
    label: str
    default_base_url: str
    #: Environment variable a token is read from when none is named.
    token_variable: str
    objects: tuple[RemoteObject, ...]
    #: Pairs to read associations between, from the side with fewer records or the one `references` name.
    association_pairs: tuple[tuple[str, str], ...]
    quotas: tuple[Quota, ...]
    #: Ids per association batch read.
    association_batch: int
    read_batch: int
    supports_custom_objects: bool
    supports_oauth: bool
    #: Records per call of `write_many`, `archive_many` and `find_by_external_id`.
    write_batch: int = 100
    #: Pairs whose association is a value of the first object's own payload: pair → where in the payload the
    #: other's id is. They are never asked for apart, and move the record's modified time.
    references: Mapping[tuple[str, str], tuple[str, ...]] = field(
        default_factory=dict[tuple[str, str], tuple[str, ...]]
    )
    #: Objects that can be written and have no room for our ids: what was made of them is found by what it
    #: holds (`find_made`, `find_likeness`). What it belongs to is in its making (`RemoteWrite.references`).
    found_by_content: frozenset[str] = frozenset()
    #: Those of them that are made only together with one other record at least.
    needs_parent: frozenset[str] = frozenset()
    #: True where a create that carries our id changes the record that has it already, so that it may be sent
    #: again at any moment; else one whose answer was lost may still be on its way, and is waited for first.
    repeats_creates: bool = False
    #: Settings that a person may give a connection of this platform: name → what it is for.
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    #: True where `ensure_webhooks` can be used; else a person subscribes in the CRM.
    makes_webhooks: bool = False
    #: True where `listen` can be used.
    listens: bool = False
    #: Objects of which two records can be merged into one; a CRM cannot take that back.
    mergeable: frozenset[str] = frozenset()
    #: Objects whose records are persons.
    persons: Mapping[str, Persons] = field(default_factory=dict[str, Persons])
    #: How far an incremental read looks back before its watermark, for a search index that lags.
    overlap: timedelta = timedelta(minutes=2)
    #: How much later everything is read a second time.
    second_pass_after: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Grant:
    """What an OAuth token call gave: the token, and what it is good for where the CRM says so."""

    token: Token
    account_id: str | None
    scopes: frozenset[str] | None


class Connector(Protocol):
    """One connection's CRM. Cheap to make, keeps no state between calls, safe to use concurrently."""

    capabilities: Capabilities
    #: Sets of properties that can be created on demand, by name.
    property_sets: Mapping[str, PropertySet]

    async def check(self) -> Account:
        """Ask the CRM who we are. Raises `TokenRejected`, `Unavailable`."""
        ...

    async def get_object(self, object_name: str) -> RemoteObject:
        """Describe an object, also a custom one. Raises `NotFound` where the account has none so named."""
        ...

    async def describe(self, object_name: str) -> list[PropertyDefinition]:
        """Return the object's property definitions, also hidden and archived-not ones, by name.

        Raises `NotFound` for an object this account does not have, `ScopeMissing`.
        """
        ...

    async def list_pipelines(self, object_name: str) -> list[Pipeline]: ...

    async def plan_walk(self, object_name: str) -> Walk:
        """Probe which way of reading the whole object works here. At most four calls."""
        ...

    def find_bounds(self, object_name: str, walk: Walk, parts: int) -> AsyncIterator[int]:
        """Yield the ids that cut the object into `parts` of about as many records each, ascending.

        One call each, and none from the budget that the walk itself is read with. Ends early, or at once,
        where that cannot be told.
        """
        ...

    async def walk_page(
        self, object_name: str, properties: Sequence[str], walk: Walk, after: str, until: str
    ) -> Page:
        """Read the next page of records with an id above `after`, up to and including `until`.

        `after` is an id, or the `after` of the previous page; "" begins at the lowest. `until` is an id;
        "" has no end. The range is read when the page's `after` is None. For `serial` walks `after` is
        the previous page's cursor ("" to begin) and `until` is ignored. Raises `Unavailable` when the
        CRM sends the same cursor again.
        """
        ...

    async def list_ids(
        self, object_name: str, after: str, until: str, walk: Walk = SERIAL
    ) -> tuple[list[str], str | None]:
        """Return a page of ids of living records and the cursor of the next page, as `walk_page` does."""
        ...

    async def archived_page(self, object_name: str, properties: Sequence[str], after: str) -> Page:
        """Read a page of archived records; "" begins."""
        ...

    def changed_pages(
        self, object_name: str, properties: Sequence[str], since_ms: int, until_ms: int | None
    ) -> AsyncIterator[Page]:
        """Yield records modified from `since_ms` on, up to and including `until_ms` (CRM's clock).

        Oldest first, or in windows of time that come oldest first; each at least once. A last page may be
        empty and still move `complete_to_ms`.

        Survives any number of changes in the window and any number with one modified time.
        """
        ...

    async def count(self, object_name: str) -> int | None:
        """Return how many living records the CRM says it has; None where it does not tell."""
        ...

    async def read_many(self, object_name: str, remote_ids: Sequence[str], properties: Sequence[str]) -> Page:
        """Read up to `read_batch` records by id. Ids that no longer exist are absent from the answer."""
        ...

    async def read_history(
        self, object_name: str, remote_ids: Sequence[str], properties: Sequence[str]
    ) -> dict[str, dict[str, list[tuple[int, str | None, str]]]]:
        """Return remote id → property → [(ms since 1970, value, source)], newest first. Up to 50 ids."""
        ...

    async def read_associations(
        self, from_object: str, to_object: str, remote_ids: Sequence[str]
    ) -> list[Association]:
        """Return all associations of up to `association_batch` records to records of `to_object`."""
        ...

    async def write_many(self, object_name: str, writes: Sequence[RemoteWrite]) -> list[WriteOutcome]:
        """Make and change up to `write_batch` records; one outcome per write, in their order.

        One bad record fails alone. Changes are sent before creates, and of two writes of one record the
        first goes first. Creates with an external id may be sent again after any failure, as may changes;
        a create without one (or where the account has no property for it) whose answer was lost
        is an outcome with a `RetryLater` that is not `unwritten`, and must be looked for first (`find_made`).
        Raises `RetryLater` and `PauseConnection` while nothing has been written by this call; later they
        are the outcome of all that was left, so that no answer is lost.
        Raises `SettingInvalid` when the property for external ids is there no longer. A property that was
        written and is absent from the answer is not confirmed: read the record again.
        """
        ...

    async def archive_many(self, object_name: str, remote_ids: Sequence[str]) -> list[WriteOutcome]:
        """Archive up to `write_batch` records, keyed by id. Those that are gone already are no failure."""
        ...

    async def associate_many(
        self, from_object: str, to_object: str, links: Sequence[RemoteLink]
    ) -> list[WriteOutcome]:
        """Make up to `association_batch` associations; those that exist are left as they are.

        Types that a pair has already are kept. Both records must exist: write parents first.
        Raises as `write_many`; may be repeated.
        """
        ...

    async def dissociate_many(
        self, from_object: str, to_object: str, links: Sequence[RemoteLink]
    ) -> list[WriteOutcome]:
        """Take away up to `association_batch` associations: of one type, or without a type all of a pair.

        What is not there is no failure. Raises as `write_many`; may be repeated.
        """
        ...

    async def find_by_external_id(
        self, object_name: str, external_ids: Sequence[str], properties: Sequence[str] = ()
    ) -> dict[str, RemoteRecord]:
        """Return external id → living record for up to `write_batch` ids; those not found are absent.

        Reads the records themselves, not an index that lags: what an earlier call made is found at once.
        Raises `SettingInvalid` where the account has no property for external ids, since then "not
        found" would prove nothing.
        """
        ...

    async def find_made(
        self, object_name: str, writes: Sequence[RemoteWrite], properties: Sequence[str], since_ms: int
    ) -> dict[str, list[RemoteRecord]]:
        """Return key → living records that each of up to `write_batch` creates may have made; absent if none.

        Asked of creates whose answers were lost, the earliest of which was sent at `since_ms` (the CRM's
        clock; some minutes earlier is looked at as well). By our id where the CRM keeps it, and then there is
        one. Of objects in `found_by_content` all that hold what was sent, as the CRM may have rewritten it,
        and that nobody but the connection's own user can have made; in the order of their making. Whose they
        are in the end the caller decides. Reads the records themselves, and all of them: an empty answer
        has to prove that nothing was made. Raises as `find_by_external_id`.
        """
        ...

    def find_likeness(
        self, object_name: str, write: RemoteWrite, record: RemoteRecord
    ) -> frozenset[str] | None:
        """Return the properties by which a record may be what a create made; None where it is not.

        Of an object in `found_by_content`; asks nobody. Those are the properties in which it holds what was
        sent, as the CRM may have rewritten it. Never None for what `find_made` would return.
        """
        ...

    async def merge_records(self, object_name: str, survivor_id: str, merged_id: str) -> str:
        """Merge one record into another, for good, and return the id that means both from now on.

        Only of objects in `Capabilities.mergeable`. May not be repeated: whoever lost the answer reads both
        first. Raises `NotFound` when one of them is gone, `ParkRecord` with the CRM's words when it refuses.
        """
        ...

    async def erase_many(self, object_name: str, remote_ids: Sequence[str]) -> list[WriteOutcome]:
        """Have up to `write_batch` persons erased for good, keyed by id. Those that are gone are no failure.

        Of objects in `Capabilities.persons` that say what is left behind. Raises as `write_many`; may be
        repeated. One that the CRM does not erase is an outcome with its reason.
        """
        ...

    async def ensure_webhooks(self, address: str, secret: str) -> list[str]:
        """Make the CRM tell `address` of every change; return what was subscribed to just now, in words.

        Lists before it creates, so that it may be repeated, and is: some CRMs drop subscriptions. What of
        ours leads to another address is left alone. Raises `ScopeMissing`, and `Invalid` where
        `Capabilities.makes_webhooks` is False.
        """
        ...

    async def remove_webhooks(self, address: str) -> int:
        """Take back what `ensure_webhooks` subscribed `address` to; returns how many that were."""
        ...

    def listen(self) -> AsyncIterator[Sequence[WebhookEvent]]:
        """Yield what changes as the CRM tells of it, without end; where `Capabilities.listens`.

        Begins with what happens from now on, and may miss some: an event is a hint. Yields an empty sequence
        at least every 30 seconds. Raises what `send` raises.
        """
        ...

    def external_id_property(self, object_name: str) -> WantedProperty | None:
        """Return the property that creates are made unique by.

        None for an object that cannot be written, and for those in `Capabilities.found_by_content`.
        """
        ...

    async def plan_properties(self, object_name: str, wanted: Sequence[WantedProperty]) -> list[PropertyPlan]:
        """Compare properties with what the account has, in the order given. Writes nothing."""
        ...

    async def apply_properties(
        self, object_name: str, wanted: Sequence[WantedProperty]
    ) -> list[PropertyPlan]:
        """Create the properties that are missing, with their groups, and change none that is there.

        May be repeated, also beside another that does the same. Raises `ScopeMissing` before anything is
        made where the token may not.
        """
        ...


@dataclass(frozen=True, slots=True)
class OAuth:
    """A platform's code flow. The calls send with `authorized=False`; they raise `TokenRejected`."""

    #: (client id, redirect URI, scopes, state) → the address a person opens.
    authorize_url: Callable[[str, str, Sequence[str], str], str]
    #: (send, client id, client secret, redirect URI, code)
    exchange_code: Callable[[Send, str, str, str, str], Awaitable[Grant]]
    #: (send, client id, client secret, token)
    refresh: Callable[[Send, str, str, Token], Awaitable[Grant]]


def bearer(token: Token) -> tuple[str, str]:
    return "authorization", f"Bearer {token.access_token}"


@dataclass(frozen=True, slots=True)
class Platform:
    """A kind of CRM, as the registry hands it out."""

    capabilities: Capabilities
    #: (send, settings of the connection) → the connection's CRM. Raises `SettingInvalid`.
    make: Callable[[Send, Mapping[str, str]], Connector]
    #: (status, headers with lower-case names, body) → the error that says what to do.
    explain_failure: Callable[[int, Mapping[str, str], bytes], SynclineError]
    #: Headers with lower-case names → what they say of the quota.
    read_quota: Callable[[Mapping[str, str]], QuotaFacts]
    #: Object → its default mapping.
    mapping: Mapping[str, ObjectMap]
    #: (type, definition) of a property, as stored → what it holds, and its choices where it has some.
    classify: Callable[[str, Mapping[str, Any]], tuple[PropertyKind, tuple[str, ...]]]
    #: (object, payload as stored) → the record it is of. Raises `RecordUnreadable`.
    recall: Callable[[str, bytes], RemoteRecord]
    #: Base URL → what carries the calls; None for HTTP. Raises `SettingInvalid` for a malformed one.
    open: Callable[[str], Transport] | None = None
    #: Token → the header (name, value) that carries it; HTTP only.
    authorize: Callable[[Token], tuple[str, str]] = bearer
    #: Settings of the connection → its quotas, where they depend on what the account has bought.
    quotas: Callable[[Mapping[str, str]], tuple[Quota, ...]] | None = None
    oauth: OAuth | None = None
    #: None where the CRM sends none.
    webhooks: Webhooks | None = None
