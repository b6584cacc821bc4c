"""Handlers that search: in one kind, in all, in one field. They see what the index does, maybe late."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from syncline.simulators.answers import Answer, encode
from syncline.simulators.pipedrive.account import Account
from syncline.simulators.pipedrive.answers import Query, Request, invalid
from syncline.simulators.pipedrive.api import Api
from syncline.simulators.pipedrive.reading import place_cursor, read_place
from syncline.simulators.pipedrive.store import Record

CUSTOM_SEARCHED = ("address", "varchar", "text", "varchar_auto", "double", "monetary", "phone")
_ITEMS_MOST, _SEARCH_MOST = 100, 500
#: Kind → field of the search → where its words are.
_FIELDS: dict[str, dict[str, tuple[str, ...]]] = {
    "persons": {"name": ("name",), "email": ("emails",), "phone": ("phones",)},
    "organizations": {"name": ("name",), "address": ("address",)},
    "deals": {"title": ("title",)},
    "leads": {"title": ("title",)},
}
_KINDS = {"person": "persons", "organization": "organizations", "deal": "deals", "lead": "leads"}
#: Item types that there are none of here.
_NONE_HERE = ("product", "file", "mail_attachment", "project")
_LINKS = {"persons": "person_id", "organizations": "org_id", "deals": "deal_id", "leads": "lead_id"}


@dataclass(frozen=True, slots=True)
class Term:
    """What is searched for, in lower case."""

    text: str
    exact: bool

    def matches(self, words: Iterable[str]) -> bool:
        if self.exact:
            return any(each.lower() == self.text for each in words)
        return any(self.text in each.lower() for each in words)


def searcher(name: str) -> Callable[[Api, Request], Answer]:
    """Return the handler that searches one kind."""

    def handle(api: Api, request: Request) -> Answer:
        query = request.query
        term, fields = _read_term(query), _read_fields(query, name)
        found = _search(api.world, name, term, fields, _narrowing(query, name))
        return _page(found, query, _SEARCH_MOST)

    return handle


def search_items(api: Api, request: Request) -> Answer:
    """Search every kind that is asked for."""
    query = request.query
    types = query.list("item_types") or list(_KINDS)
    if any(each not in _KINDS and each not in _NONE_HERE for each in types):
        raise invalid(f"item_types: expected some of {', '.join((*_KINDS, *_NONE_HERE))}")
    term, fields = _read_term(query), query.list("fields")
    found: list[dict[str, Any]] = []
    for name in (_KINDS[each] for each in types if each in _KINDS):
        known = (*_FIELDS[name], "custom_fields", "notes")
        wanted = [each for each in fields if each in known] if fields else list(known)
        if wanted:
            found += _search(api.world, name, term, wanted, {})
    return _page(found, query, _ITEMS_MOST, related_items=[])


def search_field(api: Api, request: Request) -> Answer:
    """Search the values of one field; unlike all other searches it minds upper and lower case."""
    query = request.query
    match = query.choice("match", ("exact", "beginning", "middle"))
    term, code = query.get("term") or "", query.get("field") or ""
    name = _KINDS.get(query.get("entity_type") or "")
    if name is None or not code:
        raise invalid("entity_type, field: are required")
    if len(term) < (1 if match == "exact" else 2):
        raise invalid("term: is too short")
    found: list[dict[str, Any]] = []
    for record in api.world.indexes[name].list_visible():
        value = record.custom.get(code, record.values.get(code))
        if any(_fits(text, term, match) for text in texts(value)):
            found.append({"result_score": 1, "item": {"id": _id_of(record), code: value}})
    start, limit = read_place(query.get("cursor")), query.limit(_SEARCH_MOST)
    cursor = place_cursor(start + limit) if start + limit < len(found) else None
    more = {"next_cursor": cursor}
    return Answer(
        200, encode({"success": True, "data": found[start : start + limit], "additional_data": more})
    )


def _fits(text: str, term: str, match: str) -> bool:
    if match == "exact":
        return text == term
    return text.startswith(term) if match == "beginning" else term in text


def _read_term(query: Query) -> Term:
    exact, term = query.flag("exact_match"), (query.get("term") or "").strip()
    if len(term) < (1 if exact else 2):
        raise invalid("term: must have at least 2 characters, or 1 with exact_match")
    return Term(term.lower(), exact)


def _read_fields(query: Query, name: str) -> Sequence[str]:
    known = (*_FIELDS[name], "custom_fields", "notes")
    found = query.list("fields") or list(known)
    unknown = [each for each in found if each not in known]
    if unknown:
        raise invalid(f"fields: {', '.join(unknown)} cannot be searched")
    return found


def _narrowing(query: Query, name: str) -> dict[str, Any]:
    """Return which values results must have."""
    organization = "organization_id" if name == "leads" else "org_id"
    found = {organization: query.number("organization_id"), "status": query.get("status")}
    if name in ("deals", "leads"):
        found["person_id"] = query.number("person_id")
    return {key: value for key, value in found.items() if value is not None}


def _search(
    account: Account, name: str, term: Term, fields: Sequence[str], narrowing: dict[str, Any]
) -> list[dict[str, Any]]:
    searched = _searched_custom(account, name)
    noted = _notes(account, name, term) if "notes" in fields else {}
    found: list[dict[str, Any]] = []
    for record in account.indexes[name].list_visible():
        if record.haystack is None:
            record.haystack = _haystack(record, name, searched)
        if (term.text not in record.haystack and record.id not in noted) or any(
            record.values.get(key) != value for key, value in narrowing.items()
        ):
            continue
        custom = [text for code in searched for text in texts(record.custom.get(code))]
        hits = [each for each in custom if term.matches([each])] if "custom_fields" in fields else []
        is_hit = any(
            term.matches(texts(record.values.get(place)))
            for field in fields
            for place in _FIELDS[name].get(field, ())
        )
        if is_hit or hits or record.id in noted:
            item = _ITEMS[name](account, record)
            item |= {"custom_fields": hits, "notes": noted.get(record.id, [])}
            found.append({"result_score": 1.0 if term.exact else 0.5, "item": item})
    return found


def _searched_custom(account: Account, name: str) -> list[str]:
    fields = account.stores[name].fields
    custom = fields.custom if fields else {}
    return [code for code, field in custom.items() if field.type in CUSTOM_SEARCHED]


def _haystack(record: Record, name: str, searched: Iterable[str]) -> str:
    places = [place for found in _FIELDS[name].values() for place in found]
    words = [text for place in places for text in texts(record.values.get(place))]
    words += [text for code in searched for text in texts(record.custom.get(code))]
    return "\n".join(words).lower()


def _notes(account: Account, name: str, term: Term) -> dict[int, list[str]]:
    """Return id → the notes about it in which the term is."""
    found: dict[int, list[str]] = {}
    link = _LINKS[name]
    for note in account.indexes["notes"].list_visible():
        target, content = note.values.get(link), note.values["content"]
        if isinstance(target, int) and term.matches([content]):
            found.setdefault(target, []).append(content)
    return found


def texts(value: Any) -> list[str]:
    """Return the words of a value that search looks into."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for each in cast("list[Any]", value) for text in texts(each)]
    if isinstance(value, dict):
        return texts(cast("dict[str, Any]", value).get("value"))
    return [] if value is None or isinstance(value, bool) else [str(value)]


def _id_of(record: Record) -> Any:
    return record.values.get("uuid") or record.id


def _page(found: Sequence[Any], query: Query, most: int, **more: Any) -> Answer:
    start, limit = read_place(query.get("cursor")), query.limit(most)
    cursor = place_cursor(start + limit) if start + limit < len(found) else None
    data = {"items": found[start : start + limit], **more}
    return Answer(200, encode({"success": True, "data": data, "additional_data": {"next_cursor": cursor}}))


def _named(account: Account, kind: str, record_id: int | None) -> dict[str, Any] | None:
    record = account.stores[kind].records.get(record_id) if record_id else None
    if record is None:
        return None
    return {"id": record.id, account.stores[kind].kind.label: record.values[account.stores[kind].kind.label]}


def _organization_of(account: Account, record_id: int | None) -> dict[str, Any] | None:
    found = _named(account, "organizations", record_id)
    return None if found is None else found | {"address": _address(account, found["id"])}


def _address(account: Account, record_id: int) -> str | None:
    address = account.stores["organizations"].records[record_id].values["address"]
    return None if address is None else address["value"]


def _person(account: Account, record: Record) -> dict[str, Any]:
    values = record.values
    return {
        "id": record.id, "type": "person", "name": values["name"],
        "phones": [each["value"] for each in values["phones"]],
        "emails": [each["value"] for each in values["emails"]],
        "visible_to": values["visible_to"], "owner": {"id": values["owner_id"]},
        "organization": _organization_of(account, values["org_id"]),
    }  # fmt: skip


def _organization(account: Account, record: Record) -> dict[str, Any]:
    values = record.values
    return {
        "id": record.id, "type": "organization", "name": values["name"],
        "address": _address(account, record.id) if record.id in account.stores["organizations"].records
        else None,
        "visible_to": values["visible_to"], "owner": {"id": values["owner_id"]},
    }  # fmt: skip


def _deal(account: Account, record: Record) -> dict[str, Any]:
    values = record.values
    stage = next(each for each in account.stages if each.stage_id == values["stage_id"])
    return {
        "id": record.id, "type": "deal", "title": values["title"], "value": values["value"],
        "currency": values["currency"], "status": values["status"], "visible_to": values["visible_to"],
        "owner": {"id": values["owner_id"]}, "stage": {"id": stage.stage_id, "name": stage.name},
        "person": _named(account, "persons", values["person_id"]),
        "organization": _organization_of(account, values["org_id"]), "is_archived": values["is_archived"],
    }  # fmt: skip


def _lead(account: Account, record: Record) -> dict[str, Any]:
    values = record.values
    person = account.stores["persons"].records.get(values["person_id"] or 0)
    amount: dict[str, Any] = values["value"] or {}
    return {
        "id": values["uuid"], "type": "lead", "title": values["title"],
        "owner": {"id": values["owner_id"]}, "person": _named(account, "persons", values["person_id"]),
        "organization": _organization_of(account, values["organization_id"]),
        "phones": [each["value"] for each in person.values["phones"]] if person else [],
        "emails": [each["value"] for each in person.values["emails"]] if person else [],
        "value": amount.get("amount"), "currency": amount.get("currency"),
        "visible_to": int(values["visible_to"]), "is_archived": values["is_archived"],
    }  # fmt: skip


_ITEMS: dict[str, Callable[[Account, Record], dict[str, Any]]] = {
    "persons": _person, "organizations": _organization, "deals": _deal, "leads": _lead,
}  # fmt: skip
