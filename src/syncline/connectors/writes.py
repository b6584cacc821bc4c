"""What is written to a CRM and what became of it; properties that an account shall have.

Shapes only, part of the contract in `base`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from syncline.connectors.records import RemoteRecord
from syncline.errors import SynclineError


@dataclass(frozen=True, slots=True)
class RemoteWrite:
    """What one record shall hold at the CRM. Properties that are not named are left alone."""

    #: Chosen by the caller, to find its outcome by; unique within a call.
    key: str
    #: The record to change; None makes one.
    remote_id: str | None
    #: Property → text as the CRM writes it; None empties it.
    properties: Mapping[str, str | None]
    #: For a record to be made: our own id of it. Where the CRM keeps it in a unique property, sending the
    #: same write twice makes one record.
    external_id: str | None = None
    #: For a record to be made of an object in `Capabilities.found_by_content`: what it belongs to from the
    #: beginning, object → remote id. Left aside elsewhere: there associations follow.
    references: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class RemoteLink:
    """One association to make or to take away. Without a type it is the CRM's plain one."""

    #: Chosen by the caller, to find its outcome by.
    key: str
    from_id: str
    to_id: str
    type_id: int | None = None
    category: str = ""


@dataclass(frozen=True, slots=True)
class WriteOutcome:
    """What became of one thing to be written."""

    key: str
    #: Id at the CRM of the record that was written or was to be; None for one that was not made.
    remote_id: str | None = None
    #: What the CRM answered: the properties written, as it keeps them, and those it always tells. It is
    #: a partial reading, never the whole record.
    record: RemoteRecord | None = None
    #: True for a record made by this write, False for one that was there; None where that is not told.
    created: bool | None = None
    #: None when it was written. `ParkRecord`: refused for its content. `AlreadyExists`: something that must
    #: be unique is taken. `NotFound`: the record is gone. `RetryLater`, `PauseConnection`: as when raised.
    failure: SynclineError | None = None
    #: True when it is known not to have been written; False with a failure means that it may have been.
    unwritten: bool = False
    #: The record that has what must be unique, where the CRM names it.
    existing_id: str | None = None


@dataclass(frozen=True, slots=True)
class WantedProperty:
    """A property that an account shall have."""

    name: str
    label: str
    type: Literal["text", "number", "boolean", "time", "date", "choice"]
    #: (name, label) of the group it is filed under.
    group: tuple[str, str]
    #: `choice` only: (value, label) in order.
    choices: tuple[tuple[str, str], ...] = ()
    #: No two records may have the same value.
    unique: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class PropertySet:
    """Properties that are created together, when a person asks for it: object → properties."""

    name: str
    label: str
    properties: Mapping[str, tuple[WantedProperty, ...]]


@dataclass(frozen=True, slots=True)
class PropertyPlan:
    """How a wanted property stands to what the account has. What differs is never changed."""

    wanted: WantedProperty
    #: `create`: it is missing. `exists`: it is as wanted. `differs`: one of that name is something else.
    #: Of `apply_properties` only: `created`, and `refused` by the CRM.
    state: Literal["create", "exists", "differs", "created", "refused"]
    #: What differs, or the CRM's words.
    reason: str = ""
