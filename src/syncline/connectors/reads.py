"""What is read of a CRM: pages of records and the ways to walk them, definitions, pipelines, the account.

Shapes only, part of the contract in `base`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from syncline.connectors.records import RemoteRecord


class Page(msgspec.Struct, frozen=True):
    """Some records and where to go on. `requested_ms` is when the call that read them began (our clock)."""

    records: list[RemoteRecord]
    requested_ms: int
    #: Cursor of the next page; None after the last one.
    after: str | None = None
    #: `changed_pages` only: every change before this moment (ms since 1970, the CRM's clock) has been
    #: delivered, as far as the CRM's index knew; take `Capabilities.overlap` off before relying on it.
    complete_to_ms: int | None = None
    #: Records of this page that cannot be read at all: (remote id or "", reason, original text).
    unreadable: list[tuple[str, str, str]] = []


@dataclass(frozen=True, slots=True)
class Walk:
    """How an object's records can be read from end to end, as found by probing.

    `list` and `search` can be walked in several id ranges at once; `serial` follows one cursor.
    `first` and `last` are the lowest and highest record id as far as known: records are made while
    we read, so the last range must be open ended (`until` is ""). `total` is a good estimate where known.
    """

    kind: Literal["list", "search", "serial"]
    first: int = 0
    last: int = 0
    total: int | None = None
    #: `list` only: the CRM delivers the record whose id is the cursor, too.
    inclusive: bool = False
    #: With fewer records a range of its own costs more, in pages that are read by two, than it saves time.
    smallest_range: int = 300


#: The walk that needs no probing: one cursor from end to end.
SERIAL = Walk("serial")


@dataclass(frozen=True, slots=True)
class PropertyDefinition:
    """A property as the CRM defines it. `definition` is the CRM's own JSON."""

    name: str
    label: str
    type: str
    read_only: bool
    calculated: bool
    definition: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stage:
    remote_id: str
    label: str
    position: int
    is_closed: bool
    #: 0 to 100; None where the CRM gives none.
    probability: float | None


@dataclass(frozen=True, slots=True)
class Pipeline:
    remote_id: str
    label: str
    position: int
    archived: bool
    stages: tuple[Stage, ...]


@dataclass(frozen=True, slots=True)
class Association:
    """One labelled association, in the direction it was read."""

    from_id: str
    to_id: str
    type_id: int
    #: The CRM's name for the type, e.g. `deal_to_contact`.
    type: str
    category: str
    label: str | None


@dataclass(frozen=True, slots=True)
class Account:
    """The account behind a token, as `check` found it."""

    account_id: str
    name: str
    time_zone: str | None
    currency: str | None
    #: Where a person opens this account in a browser.
    url: str | None
    #: The CRM's clock minus ours, in seconds, good to about one second.
    clock_skew_seconds: float
    #: Scopes the token has, where the CRM tells; None where it does not.
    scopes: frozenset[str] | None
    #: Today's calls used and allowed over all programs of the account, where the CRM tells.
    daily_used: int | None
    daily_limit: int | None
