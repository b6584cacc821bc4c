"""Which path leads to which handler, what it costs and which scopes it needs. Does nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from syncline.simulators.answers import Answer
from syncline.simulators.pipedrive import (
    granting,
    leading,
    looking_up,
    noting,
    reading,
    recalling,
    searching,
    structuring,
    subscribing,
    writing,
)
from syncline.simulators.pipedrive.answers import Request
from syncline.simulators.pipedrive.api import Api
from syncline.simulators.pipedrive.defining import Definitions, list_lead_fields

Handler = Callable[[Api, Request], Answer]

_DEALS, _CONTACTS = ("deals:read", "deals:full"), ("contacts:read", "contacts:full")
_ACTIVITIES, _LEADS = ("activities:read", "activities:full"), ("leads:read", "leads:full")
_PIPELINES = (*_DEALS, "admin")


@dataclass(frozen=True, slots=True)
class Route:
    name: str
    handler: Handler
    #: Tokens of the day that a call takes.
    cost: int = 0
    #: One of these is needed by an OAuth token; none is needed where there are none.
    scopes: tuple[str, ...] = ()
    search: bool = False
    needs_token: bool = True


@dataclass(frozen=True, slots=True)
class Match:
    route: Route
    params: tuple[str, ...]


#: Version, method, path with `*` for a parameter, handler, cost, scopes.
_Row = tuple[str, str, str, Handler, int, tuple[str, ...]]


def _records(name: str, read: tuple[str, ...]) -> list[_Row]:
    write = read[1:]
    return [
        ("v2", "GET", name, reading.lister(name), 10, read),
        ("v2", "POST", name, writing.creator(name), 5, write),
        ("v2", "GET", f"{name} *", reading.getter(name), 1, read),
        ("v2", "PATCH", f"{name} *", writing.changer(name), 5, write),
        ("v2", "DELETE", f"{name} *", writing.deleter(name), 3, write),
    ]


def _found(name: str, read: tuple[str, ...]) -> list[_Row]:
    return [("v2", "GET", f"{name} search", searching.searcher(name), 20, (*read, "search:read"))]


def _kept(name: str, read: tuple[str, ...]) -> list[_Row]:
    return [
        ("v1", "PUT", f"{name} * merge", writing.merger(name), 40, read[1:]),
        ("v1", "GET", f"{name} * changelog", recalling.changelog(name), 20, (*read, "recents:read")),
    ]


def _fields(entity: str, read: tuple[str, ...], full: str) -> list[_Row]:
    handlers, name = Definitions(entity), f"{entity}Fields"
    reads, makes = (*read, "admin", full), ("admin", full)
    # What a record's scope may change is less than what a definition's may.
    changes = (*read[1:], "admin", full)
    return [
        ("v2", "GET", name, handlers.list, 10, reads),
        ("v2", "POST", name, handlers.create, 5, makes),
        ("v2", "GET", f"{name} *", handlers.get, 1, reads),
        ("v2", "PATCH", f"{name} *", handlers.change, 5, changes),
        ("v2", "DELETE", f"{name} *", handlers.delete, 3, makes),
        ("v2", "POST", f"{name} * options", handlers.add_options, 5, changes),
        ("v2", "PATCH", f"{name} * options", handlers.change_options, 5, changes),
        ("v2", "DELETE", f"{name} * options", handlers.delete_options, 3, changes),
    ]


_ACTIVITY_FIELDS = Definitions("activity")

_TABLE: list[_Row] = [
    *_records("persons", _CONTACTS),
    *_records("organizations", _CONTACTS),
    *_records("deals", _DEALS),
    *_records("activities", _ACTIVITIES),
    *_found("persons", _CONTACTS),
    *_found("organizations", _CONTACTS),
    *_found("deals", _DEALS),
    *_found("leads", _LEADS),
    *_kept("persons", _CONTACTS),
    *_kept("organizations", _CONTACTS),
    *_kept("deals", _DEALS),
    *_fields("person", _CONTACTS, "contact-fields:full"),
    *_fields("organization", _CONTACTS, "contact-fields:full"),
    *_fields("deal", _DEALS, "deal-fields:full"),
    ("v2", "GET", "activityFields", _ACTIVITY_FIELDS.list, 10, ("admin",)),
    ("v2", "GET", "activityFields *", _ACTIVITY_FIELDS.get, 1, ("admin",)),
    ("v2", "GET", "deals archived", reading.lister("deals", archived=True), 20, _DEALS),
    ("v2", "GET", "itemSearch", searching.search_items, 20, ("search:read",)),
    ("v2", "GET", "itemSearch field", searching.search_field, 20, ("search:read",)),
    ("v2", "GET", "pipelines", reading.list_pipelines, 5, _PIPELINES),
    ("v2", "POST", "pipelines", structuring.create_pipeline, 5, ("admin",)),
    ("v2", "GET", "pipelines *", reading.get_pipeline, 1, _PIPELINES),
    ("v2", "PATCH", "pipelines *", structuring.change_pipeline, 5, ("admin",)),
    ("v2", "DELETE", "pipelines *", structuring.delete_pipeline, 3, ("admin",)),
    ("v2", "GET", "stages", reading.list_stages, 5, _PIPELINES),
    ("v2", "POST", "stages", structuring.create_stage, 5, ("admin",)),
    ("v2", "GET", "stages *", reading.get_stage, 1, _PIPELINES),
    ("v2", "PATCH", "stages *", structuring.change_stage, 5, ("admin",)),
    ("v2", "DELETE", "stages *", structuring.delete_stage, 3, ("admin",)),
    ("v2", "POST", "leads * convert deal", leading.convert, 40, _LEADS[1:]),
    ("v2", "GET", "leads * convert status *", leading.conversion_status, 1, _LEADS),
    ("v1", "GET", "leads", leading.lister("living"), 20, _LEADS),
    ("v1", "POST", "leads", leading.create_lead, 10, _LEADS[1:]),
    ("v1", "GET", "leads archived", leading.lister("archived"), 40, _LEADS),
    ("v1", "GET", "leads *", leading.get_lead, 2, _LEADS),
    ("v1", "PATCH", "leads *", leading.change_lead, 10, _LEADS[1:]),
    ("v1", "DELETE", "leads *", leading.delete_lead, 6, _LEADS[1:]),
    ("v1", "GET", "leadLabels", looking_up.list_lead_labels, 20, _LEADS),
    ("v1", "GET", "leadSources", looking_up.list_lead_sources, 20, _LEADS),
    ("v1", "GET", "leadFields", list_lead_fields, 20, (*_LEADS, "admin")),
    ("v1", "GET", "notes", noting.list_notes, 20, (*_DEALS, *_CONTACTS)),
    ("v1", "POST", "notes", noting.create_note, 10, (_DEALS[1], _CONTACTS[1])),
    ("v1", "GET", "notes *", noting.get_note, 2, (*_DEALS, *_CONTACTS)),
    ("v1", "PUT", "notes *", noting.change_note, 10, (_DEALS[1], _CONTACTS[1])),
    ("v1", "DELETE", "notes *", noting.delete_note, 6, (_DEALS[1], _CONTACTS[1])),
    ("v1", "GET", "users", looking_up.list_users, 20, ("users:read",)),
    ("v1", "GET", "users me", looking_up.get_me, 2, ()),
    ("v1", "GET", "users *", looking_up.get_user, 2, ("users:read",)),
    ("v1", "GET", "activityTypes", looking_up.list_activity_types, 20, (*_ACTIVITIES, "admin")),
    ("v1", "GET", "currencies", looking_up.list_currencies, 20, ()),
    ("v1", "GET", "webhooks", subscribing.list_webhooks, 10, ("webhooks:read", "webhooks:full", "admin")),
    ("v1", "POST", "webhooks", subscribing.create_webhook, 10, ("webhooks:full", "admin")),
    ("v1", "DELETE", "webhooks *", subscribing.delete_webhook, 6, ("webhooks:full", "admin")),
    ("v1", "GET", "deals * flow", recalling.deal_flow, 40, _DEALS),
    ("v1", "GET", "recents", recalling.recents, 20, ("recents:read",)),
]
_SEARCHES = ("search", "itemSearch")

#: (version, method, number of segments) → routes, those with the earlier literal words first.
_BY_SIZE: dict[tuple[str, str, int], list[tuple[tuple[str, ...], Route]]] = {}


def _add(version: str, segments: tuple[str, ...], route: Route) -> None:
    method = route.name.split(" ", 1)[0]
    _BY_SIZE.setdefault((version, method, len(segments)), []).append((segments, route))


for _version, _method, _pattern, _handler, _cost, _scopes in _TABLE:
    _segments = tuple(_pattern.split())
    _search = any(word in _segments for word in _SEARCHES)
    _name = f"{_method} /{_version}/{'/'.join(_segments)}"
    _add(_version, _segments, Route(_name, _handler, _cost, _scopes, search=_search))
for _method, _pattern, _handler in (
    ("GET", "oauth authorize", granting.authorize),
    ("POST", "oauth token", granting.token),
    ("POST", "oauth revoke", granting.revoke),
):
    _segments = tuple(_pattern.split())
    _add("", _segments, Route(f"{_method} /{'/'.join(_segments)}", _handler, needs_token=False))
for _routes in _BY_SIZE.values():
    _routes.sort(key=lambda entry: [segment == "*" for segment in entry[0]])

#: All there are.
ROUTES: tuple[Route, ...] = tuple(route for routes in _BY_SIZE.values() for _, route in routes)

_UNKNOWN = Route("unknown", looking_up.unknown_route)


@lru_cache(maxsize=8192)
def match(method: str, path: str) -> Match:
    """Find the route of a path; trailing slashes do not matter. Unknown paths get a route that says so."""
    segments = [segment for segment in path.split("/") if segment]
    version = ""
    if segments[:1] == ["v1"]:
        version, segments = "v1", segments[1:]
    elif len(segments) > 1 and segments[0] == "api" and segments[1] in ("v1", "v2"):
        version, segments = segments[1], segments[2:]
    for pattern, route in _BY_SIZE.get((version, method, len(segments)), ()):
        if all(wanted in ("*", got) for wanted, got in zip(pattern, segments, strict=True)):
            params = tuple(got for wanted, got in zip(pattern, segments, strict=True) if wanted == "*")
            return Match(route, params)
    return Match(_UNKNOWN, ())
