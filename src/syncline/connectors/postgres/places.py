"""Which table an object is, as a connection's settings say. Does no I/O."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from syncline.errors import SettingInvalid

#: Object → the table it is unless a setting names another.
TABLES = {
    "companies": "companies",
    "contacts": "contacts",
    "deals": "deals",
    "activities": "activities",
    "users": "users",
}
#: The column for our own ids of records.
EXTERNAL_ID = "syncline_record_id"
SCHEMA, MODIFIED, ARCHIVED, STAGES = "schema", "modified_column", "archived_column", "stages"
ERASED = "erase_columns"
SETTINGS: Mapping[str, str] = {
    SCHEMA: "The schema the tables are in; public unless it is named.",
    **{
        f"table_{name}": f"The table or view that holds {name}; {name} unless it is named." for name in TABLES
    },
    MODIFIED: "The column with the time of a row's last change; updated_at unless it is named.",
    ARCHIVED: "The column that says a row is deleted although it is there; else deleted_at and the like.",
    ERASED: "Columns of contacts that an erasure empties, separated by commas; else it deletes the row.",
    STAGES: "The stages of deals in their order, separated by commas; else those that deals are in.",
}
#: Schemas of Postgres's own and of Syncline's, where no CRM is.
_NO_SCHEMAS = frozenset({"app", "crm", "sync", "raw", "compat", "jobs", "information_schema"})
_LONGEST_NAME = 63


class Place(msgspec.Struct, frozen=True):
    """A table and the columns of it that mean something to a sync."""

    schema: str
    table: str
    modified: str = "updated_at"
    #: None looks for the usual ones.
    archived: str | None = None


class Places(msgspec.Struct, frozen=True):
    """Where a connection's objects are."""

    schema: str
    tables: Mapping[str, str]
    modified: str
    archived: str | None
    stages: tuple[str, ...]
    #: Columns that an erasure empties; without any it deletes the row.
    erased: tuple[str, ...] = ()

    def of(self, object_name: str) -> Place:
        """Return where an object is; one that is not known by name is the table of that name."""
        return Place(self.schema, self.tables.get(object_name, object_name), self.modified, self.archived)

    def object_of(self, table: str) -> str:
        """Return the object a table is; the table's own name where it is none that we know."""
        return next((name for name, each in self.tables.items() if each == table), table)


def read_places(settings: Mapping[str, str]) -> Places:
    """Read a connection's settings; those of others are passed over. Raises `SettingInvalid`."""
    chosen = {name: settings[name].strip() for name in SETTINGS if settings.get(name, "").strip()}
    for name, value in chosen.items():
        if name not in (STAGES, ERASED) and (len(value.encode()) > _LONGEST_NAME or not value.isprintable()):
            raise SettingInvalid(f"{name} is no name of Postgres's: at most 63 bytes that can be printed.")
    schema = chosen.get(SCHEMA, "public")
    if schema in _NO_SCHEMAS or schema.startswith("pg_"):
        raise SettingInvalid(f"The schema {schema} is Postgres's or Syncline's own; no CRM is kept there.")
    tables = {name: chosen.get(f"table_{name}", table) for name, table in TABLES.items()}
    if len(set(tables.values())) < len(tables):
        raise SettingInvalid("Two objects are set to the same table. Give each its own.")
    modified = chosen.get(MODIFIED, "updated_at")
    stages, erased = _listed(chosen.get(STAGES, "")), _listed(chosen.get(ERASED, ""))
    return Places(schema, tables, modified, chosen.get(ARCHIVED), stages, erased)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.strip() for each in text.split(",") if each.strip()))
