"""Every statement of the store fits the migrated schema, names its tenant, and is a constant."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from sources import tree_of

import syncline.store
from syncline.domain.filters import Filter, Place, Sort
from syncline.domain.record_fields import RECORD_FIELDS
from syncline.domain.records import RECORD_TYPES
from syncline.engine.associate import REFERENCES
from syncline.store import (
    absorbing,
    associations,
    finding,
    locked,
    making,
    names,
    payloads,
    personal,
    recognising,
    record_lists,
    records,
    remapping,
    removal,
    retention,
    standing,
    sweeping,
    ties,
    undo,
)
from syncline.store.record_lists import Listing
from syncline.store.reports import REPORTS
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

STORE = Path(next(iter(syncline.store.__path__)))
MODULES = sorted(path.stem for path in STORE.glob("*.py") if path.stem != "__init__")
STATEMENT = re.compile(r"\s*(with|select|insert|update|delete)\b", re.IGNORECASE)
#: A table of ours and the name it goes by.
TABLE = re.compile(r"\b(?:from|join) ((?:app|crm|sync|raw)\.\w+) (\w+)")
PARAMETER = re.compile(r"%\((\w+)\)s")
#: Staging tables that statements expect, as their writers create them.
STAGING = (
    payloads.CREATE_STAGING,
    associations.CREATE_STAGING,
    records.create_staging(RECORD_TYPES["contact"]),
    removal.CREATE_STAGING,
)
#: What a template's placeholders stand for, by name.
SAMPLES: dict[str, tuple[sql.Composable, ...]] = {
    "table": (sql.Identifier("raw", "hubspot_contacts"), sql.Identifier("crm", "contacts")),
    "key": (sql.Identifier("email_norm"),),
    "column": (sql.Identifier("company_id"),),
    "column_name": (sql.Literal("company_id"),),
    "kind": (sql.Literal("contact"),),
    "near_id": (sql.Identifier("from_id"),),
    "deal_id": (sql.Identifier("from_id"),),
    "contact_id": (sql.Identifier("to_id"),),
    "far_id": (sql.Identifier("to_id"),),
    "type": (sql.SQL("a.type"),),
}
_RAW = sql.Identifier("raw", "hubspot_contacts")
#: Statements about the server itself, or about tables that belong to no tenant.
WITHOUT_TENANT = re.compile(
    r"app\.list_tenants|pg_catalog|pg_\w+|sync\.quota|"
    r"sync\.take_|sync\.workers|jobs\.|alembic|app\.\w+\(|raw\.add_object"
    r"|to_regclass|now\(\)\s*$|current_setting|pgqueuer|sync\.due_|information_schema|crm\.ensure_"
    r"|from removal_doomed group|sync\.refused_webhooks|sync\.find_receivers|sync\.waiting_inboxes"
    r"|sync\.open_erasures"
    r"|sync\.outgoing_tenants|crm\.notified_tenants"
    r"|(from|into|update) app\.(users|sessions|attempts|password_links)\b",
    re.IGNORECASE,
)


def _constants() -> Iterator[tuple[str, str | sql.SQL]]:
    for module_name in MODULES:
        module = importlib.import_module(f"syncline.store.{module_name}")
        for name, value in vars(module).items():
            if not name.lstrip("_").isupper():
                continue
            text = value.as_string(None) if isinstance(value, sql.SQL) else value
            if isinstance(text, str) and STATEMENT.match(text) and " " in text:
                yield f"{module_name}.{name}", value


def _composed() -> Iterator[tuple[str, sql.Composable]]:
    for kind in RECORD_TYPES.values():
        yield f"locked.lock_linked[{kind.name}]", locked.lock_linked(kind)
        yield f"records.count_of[{kind.name}]", records.count_of(kind)
        columns = ["archived_at", "custom_fields"]
        yield f"absorbing.write_values[{kind.name}]", absorbing.write_values(kind, columns)
        yield f"undo.write_rows[{kind.name}]", undo.write_rows(kind, ["archived_at", "custom_fields"])
        yield f"undo.insert_row[{kind.name}]", undo.insert_row(kind, ["created_at", "custom_fields"])
        yield f"standing.find_standing[{kind.name}]", standing.find_standing(kind)
        yield f"standing.find_lost[{kind.name}]", standing.find_lost(kind)
        yield f"standing.count_of_linked[{kind.name}]", standing.count_of_linked(kind)
        yield f"standing.find_unarchived[{kind.name}]", standing.find_unarchived(kind, _RAW)
        yield f"standing.find_unmirrored[{kind.name}]", standing.find_unmirrored(kind, _RAW)
        yield f"locked.find_unlinked_by_id[{kind.name}]", locked.find_unlinked_by_id(kind)
        yield f"remapping.find_linked[{kind.name}]", remapping.find_linked(kind)
        yield f"making.insert_rows[{kind.name}]", making.insert_rows(kind, ["custom_fields"])
        for sees_all in (True, False):
            yield f"names.list_names[{kind.name}]", names.list_names(kind, sees_all=sees_all)
        if kind.identity is not None:
            yield f"locked.find_by_identity[{kind.name}]", locked.find_by_identity(kind)
    for reference in REFERENCES.values():
        kind, column = RECORD_TYPES[reference.child_type], reference.column
        yield f"ties.list_ties_of[{kind.name}.{column}]", ties.list_ties_of(kind, column)
    yield "finding.find_by_id", finding.find_by_id()
    for report in REPORTS.values():
        for part, text in (("number", report.statement), ("records", report.listing)):
            if text:
                yield f"reports.{report.name}[{part}]", sql.SQL(text)  # type: ignore[arg-type]
    for name, by in (("owner", "email"), ("contact", "email"), ("company", "domain"), ("deal", "name")):
        yield f"recognising.find_known[{name}.{by}]", recognising.find_known(RECORD_TYPES[name], by)
    yield from _lists()
    for reference, child_is_from in product(REFERENCES.values(), (True, False)):
        yield (
            f"associations.set_reference[{reference.child_type}.{reference.column}]",
            associations.set_reference(reference, child_is_from=child_is_from),
        )


def _lists() -> Iterator[tuple[str, sql.Composable]]:
    """Pages of every kind of record in every order, their counts and ids."""
    for fields in RECORD_FIELDS.values():
        filters = [Filter(name, "filled") for name, each in fields.fields.items() if each.filterable]
        listing = Listing(fields, filters, "any", frozenset({UUID(int=1)}), [UUID(int=2)])
        for name, empty in product(fields.sortable, (True, False)):
            after = Place(None if empty else "1", UUID(int=3))
            page = record_lists.select_page(
                listing, Sort(name, descending=empty), {}, after=after, empty=empty
            )
            yield f"record_lists.select_page[{fields.name}.{name}]", page
        yield f"record_lists.count_matching[{fields.name}]", record_lists.count_matching(listing, {})
        yield f"record_lists.select_ids[{fields.name}]", record_lists.select_ids(listing, {})


def _of_persons() -> Iterator[tuple[str, sql.Composable]]:
    """What is asked of each table when a person is erased or exported, and when things grow old."""
    for place in [*personal.PLACES, personal.raw_place("hubspot_contacts")]:
        if place.own is not None:
            yield f"sweeping.own_counted[{place.name}]", sweeping.own_counted(place)
            yield f"sweeping.own_removed[{place.name}]", sweeping.own_removed(place)
        if place.searched:
            yield f"sweeping.mentions_counted[{place.name}]", sweeping.mentions_counted(place)
            yield f"sweeping.texts_redacted[{place.name}]", sweeping.texts_redacted(place)
            changed = sweeping.texts_redacted(place, only_changed=True)
            yield f"sweeping.texts_redacted[{place.name}, changed]", changed
            yield f"sweeping.mentions_listed[{place.name}]", sweeping.mentions_listed(place)
        yield f"sweeping.whole_listed[{place.name}]", sweeping.whole_listed(place)
    for aging in [each for agings in retention.AGING.values() for each in agings]:
        yield f"retention.old_counted[{aging.table[1]}]", retention.old_counted(aging)
        yield f"retention.old_deleted[{aging.table[1]}]", retention.old_deleted(aging)


def _numbered(text: str) -> str:
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    return PARAMETER.sub(number, text).replace("%%", "%")


async def _fault(conn: psycopg.AsyncConnection[Any], text: str) -> str | None:
    try:
        async with conn.transaction(force_rollback=True):
            await conn.execute(sql.SQL("prepare statement_in_test as ") + sql.SQL(_numbered(text)))  # type: ignore[arg-type]
    except psycopg.errors.IndeterminateDatatype:
        return None  # a parameter whose type only the value tells
    except psycopg.Error as error:
        return str(error).splitlines()[0]
    finally:
        await conn.execute("deallocate all")
    return None


def _samples(statement: sql.SQL) -> Iterator[sql.Composed]:
    """Format a template in every way its placeholders allow."""
    text = statement.as_string(None)
    names = sorted(set(re.findall(r"(?<!\{)\{(\w+)\}(?!\})", text)))
    for chosen in product(*(SAMPLES.get(name, (sql.SQL(""),)) for name in names)):
        yield statement.format(**dict(zip(names, chosen, strict=True)))


async def test_every_statement_fits_the_migrated_schema(database_urls: DatabaseUrls) -> None:
    faults: dict[str, str] = {}
    async with await psycopg.AsyncConnection.connect(database_urls.superuser, autocommit=True) as conn:
        for create in STAGING:
            text = create if isinstance(create, str) else create.as_string(conn)
            await conn.execute(sql.SQL(text.replace("on commit drop", "")))  # type: ignore[arg-type]
        for name, constant in _constants():
            if isinstance(constant, str):
                found = [await _fault(conn, constant)]
            elif constant is associations.SET_REFERENCE:
                continue  # composed by its function, below
            else:
                found = [await _fault(conn, each.as_string(conn)) for each in _samples(constant)]
            # A template is right when one of the tables it may be about takes it.
            if found and all(found):
                faults[name] = str(found[0])
        for name, composed in (*_composed(), *_of_persons()):
            fault = await _fault(conn, composed.as_string(conn))
            if fault is not None:
                faults[name] = fault
    assert faults == {}


def test_every_statement_about_a_tenants_rows_names_the_tenant() -> None:
    nameless = [
        name
        for name, constant in _constants()
        if "tenant_id = %(tenant_id)s" not in (text := _text(constant))
        and "%(tenant_id)s" not in text
        and not WITHOUT_TENANT.search(text)
    ]
    assert nameless == []


def test_every_report_names_the_tenant_of_each_table_it_reads() -> None:
    nameless = {
        report.name: table
        for report in REPORTS.values()
        for text in (report.statement, report.listing)
        for table, alias in TABLE.findall(text)
        if f"{alias}.tenant_id = %(tenant_id)s" not in text
    }
    assert nameless == {}


def _text(constant: str | sql.SQL) -> str:
    return constant if isinstance(constant, str) else constant.as_string(None)


def test_no_statement_is_built_from_a_formatted_string() -> None:
    found: list[str] = []
    for path in STORE.rglob("*.py"):
        for node in ast.walk(tree_of(path)):
            if not isinstance(node, ast.JoinedStr):
                continue
            text = "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
            if re.match(
                r"\s*(select|insert into|update \w+ set|delete from|with \w+ as)\b", text, re.IGNORECASE
            ):
                found.append(f"{path.name}:{node.lineno}")
    assert found == []
