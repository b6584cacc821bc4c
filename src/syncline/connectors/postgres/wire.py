"""What goes between the connector and its transport: operations with their parameters, and answers.

Shapes only. An operation's name is `Request.path`, its parameters are `Request.json`, its answer is JSON.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from syncline.connectors.postgres.places import Place


class ReadRows(msgspec.Struct, frozen=True):
    """`/rows`: a page of rows by key, after `after` and up to `until`, living ones or archived ones."""

    place: Place
    after: str = ""
    until: str = ""
    limit: int = 1000
    archived: bool = False
    #: Only the ids.
    narrow: bool = False


class ReadChanged(msgspec.Struct, frozen=True):
    """`/changed`: a page of rows by modified time and key. Times are ISO 8601 in UTC."""

    place: Place
    since: str
    until: str | None = None
    #: Modified time and id of the last row of the page before.
    after: tuple[str, str] | None = None
    limit: int = 1000


class ReadByIds(msgspec.Struct, frozen=True):
    """`/by-ids`: rows by key, or by our own ids of them."""

    place: Place
    ids: list[str]
    external: bool = False


class ReadLinks(msgspec.Struct, frozen=True):
    """`/links`: which rows refer by `column` to what; `reverse`: `ids` are those referred to."""

    place: Place
    column: str
    ids: list[str]
    reverse: bool = False


class AskTable(msgspec.Struct, frozen=True):
    """`/table`, `/count`, `/ends`, `/bounds`, `/values`: questions about one table."""

    place: Place
    #: `/table` only: reads the catalogue whatever is known.
    fresh: bool = False
    columns: tuple[str, ...] = ()
    #: `/bounds` only.
    after: str = ""
    parts: int = 8


class AskServer(msgspec.Struct, frozen=True):
    """`/server`: who we are, and which of the tables there are."""

    places: dict[str, Place]


class Row(msgspec.Struct, frozen=True, gc=False):
    id: str
    #: The row as the database writes it, its keys in the order of their bytes.
    doc: msgspec.Raw
    modified_ms: int | None = None
    archived_ms: int | None = None
    external: str | None = None
    #: The row as it came, where `doc` had to be changed: some JSON is none that can be stored.
    original: str | None = None


class Rows(msgspec.Struct, frozen=True):
    rows: list[Row]
    #: The database's clock when it was asked, milliseconds since 1970.
    now_ms: int
    #: True when there may be more after the last row.
    more: bool = False
    #: Modified time and id of the last row, as `ReadChanged.after` takes them.
    last: tuple[str, str] | None = None


class Ids(msgspec.Struct, frozen=True):
    ids: list[str]
    more: bool = False


class Server(msgspec.Struct, frozen=True):
    """What the server says of itself."""

    account_id: str
    database: str
    version: int
    now_ms: int
    #: True when Syncline's own schema is in this database.
    is_ours: bool
    #: Objects whose table is there and may be read.
    found: list[str]


class WriteRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One record to change (`id`) or to make."""

    id: str | None
    values: dict[str, str | None]
    external_id: str | None = None


class WriteRows(msgspec.Struct, frozen=True):
    """`/write`: records to change and to make, in one transaction; a bad one fails alone."""

    place: Place
    writes: list[WriteRow]
    #: Rows that are made go by our own ids, so that all of it may be sent again.
    repeatable: bool = True


class ArchiveRows(msgspec.Struct, frozen=True):
    """`/archive`: marks rows as deleted where the table has a column for it, else deletes them."""

    place: Place
    ids: list[str]


class EraseRows(msgspec.Struct, frozen=True):
    """`/erase`: empties columns of rows, or without any deletes the rows; a bad one fails alone."""

    place: Place
    ids: list[str]
    columns: tuple[str, ...] = ()


class Refer(msgspec.Struct, frozen=True):
    """A row and what it shall refer to, or no longer refer to."""

    id: str
    to: str


class ReferRows(msgspec.Struct, frozen=True):
    """`/refer`: sets references; `/unrefer`: empties those that still are as named."""

    place: Place
    column: str
    refers: list[Refer]


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one write."""

    #: The row as it is now.
    row: Row | None = None
    created: bool | None = None
    failure: Literal["gone", "taken", "refused"] | None = None
    reason: str = ""
    existing_id: str | None = None


class Outcomes(msgspec.Struct, frozen=True):
    """In the order of what was asked."""

    outcomes: list[Outcome]


class AddColumn(msgspec.Struct, frozen=True):
    """`/add-column`: adds a column of one of our own types, with a unique index where `unique`."""

    place: Place
    name: str
    type: Literal["text", "number", "boolean", "time", "date", "uuid"]
    unique: bool = False
    comment: str = ""


class Watched(msgspec.Struct, frozen=True):
    """`/install`, `/uninstall`: tables whose changes are told of, by object."""

    schema: str
    places: dict[str, Place]


class Watch(msgspec.Struct, frozen=True):
    """`/watch`: waits up to `seconds` for changes after a position; without one it begins now."""

    schema: str
    places: dict[str, Place]
    position: Position | None = None
    seconds: float = 20.0


class Position(msgspec.Struct, frozen=True):
    """How far changes have been told."""

    #: Of the change table: every transaction below it has been told whole; None where there is no table.
    low: str | None = None
    #: Ids of the change table from `low` on that have been told already.
    told: list[int] = []
    #: Object → modified time (ISO) up to which its table was looked at, where there is no change table.
    looked: dict[str, str] = {}


class Change(msgspec.Struct, frozen=True):
    """`object` is the table's name where the change table told it."""

    id: str
    object: str
    key: str
    op: str
    at_ms: int


class Changes(msgspec.Struct, frozen=True):
    changes: list[Change]
    position: Position


class Names(msgspec.Struct, frozen=True):
    """What was done, by name."""

    names: list[str]
