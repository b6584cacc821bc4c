"""Which path leads to which handler, in both families of paths. Does nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from syncline.simulators.answers import Answer
from syncline.simulators.hubspot import (
    associating,
    describing,
    granting,
    looking_up,
    reading,
    writing,
)
from syncline.simulators.hubspot.answers import Request
from syncline.simulators.hubspot.api import Api

Handler = Callable[[Api, Request], Answer]

_LEGACY = re.compile(r"v[1-4]")
_DATED = re.compile(r"2026-0[39]")


@dataclass(frozen=True, slots=True)
class Route:
    name: str
    handler: Handler
    #: Which limit it counts against: "burst", "search", "associations"; "" for none, and no token either.
    limit: str


@dataclass(frozen=True, slots=True)
class Match:
    route: Route
    params: tuple[str, ...]
    #: The version segment of the path.
    version: str


#: Methods and paths without their version segment; `*` is a parameter.
_TABLE: tuple[tuple[str, str, Handler, str], ...] = (
    ("GET", "crm objects *", reading.list_records, "burst"),
    ("POST", "crm objects *", writing.create_record, "burst"),
    ("POST", "crm objects * search", reading.search, "search"),
    ("POST", "crm objects * merge", writing.merge, "burst"),
    ("POST", "crm objects contacts gdpr-delete", writing.gdpr_delete, "burst"),
    ("POST", "crm objects * batch read", reading.batch_read, "burst"),
    ("POST", "crm objects * batch create", writing.batch_create, "burst"),
    ("POST", "crm objects * batch update", writing.batch_update, "burst"),
    ("POST", "crm objects * batch upsert", writing.batch_upsert, "burst"),
    ("POST", "crm objects * batch archive", writing.batch_archive, "burst"),
    ("GET", "crm objects * *", reading.get_record, "burst"),
    ("PATCH", "crm objects * *", writing.update_record, "burst"),
    ("DELETE", "crm objects * *", writing.archive_record, "burst"),
    ("GET", "crm objects * * associations *", associating.list_of_record, "associations"),
    ("PUT", "crm objects * * associations * *", associating.put_one, "associations"),
    ("DELETE", "crm objects * * associations * *", associating.delete_one, "associations"),
    ("PUT", "crm objects * * associations default * *", associating.put_default, "associations"),
    ("POST", "crm associations * * batch read", associating.batch_read, "associations"),
    ("POST", "crm associations * * batch create", associating.batch_create, "associations"),
    ("POST", "crm associations * * batch archive", associating.batch_archive, "associations"),
    ("POST", "crm associations * * batch associate default", associating.batch_default, "associations"),
    ("POST", "crm associations * * batch labels archive", associating.batch_labels_archive, "associations"),
    ("GET", "crm associations * * labels", associating.list_labels, "associations"),
    ("POST", "crm associations * * labels", associating.create_label, "associations"),
    ("PUT", "crm associations * * labels", associating.change_label, "associations"),
    ("DELETE", "crm associations * * labels *", associating.delete_label, "associations"),
    ("GET", "crm properties *", describing.list_properties, "burst"),
    ("POST", "crm properties *", describing.create_property, "burst"),
    ("POST", "crm properties * batch read", describing.batch_read, "burst"),
    ("POST", "crm properties * batch create", describing.batch_create, "burst"),
    ("POST", "crm properties * batch archive", describing.batch_archive, "burst"),
    ("GET", "crm properties * groups", describing.list_groups, "burst"),
    ("POST", "crm properties * groups", describing.create_group, "burst"),
    ("GET", "crm properties * *", describing.get_property, "burst"),
    ("PATCH", "crm properties * *", describing.change_property, "burst"),
    ("DELETE", "crm properties * *", describing.archive_property, "burst"),
    ("GET", "crm pipelines *", looking_up.list_pipelines, "burst"),
    ("POST", "crm pipelines *", looking_up.create_pipeline, "burst"),
    ("GET", "crm pipelines * *", looking_up.get_pipeline, "burst"),
    ("PATCH", "crm pipelines * *", looking_up.change_pipeline, "burst"),
    ("DELETE", "crm pipelines * *", looking_up.archive_pipeline, "burst"),
    ("GET", "crm pipelines * * stages", looking_up.list_stages, "burst"),
    ("POST", "crm pipelines * * stages", looking_up.create_stage, "burst"),
    ("GET", "crm pipelines * * stages *", looking_up.get_stage, "burst"),
    ("PATCH", "crm pipelines * * stages *", looking_up.change_stage, "burst"),
    ("DELETE", "crm pipelines * * stages *", looking_up.archive_stage, "burst"),
    ("GET", "crm owners", looking_up.list_owners, "burst"),
    ("GET", "crm owners *", looking_up.get_owner, "burst"),
    ("GET", "crm schemas", looking_up.list_schemas, "burst"),
    ("GET", "crm schemas *", looking_up.get_schema, "burst"),
    ("GET", "crm-object-schemas schemas", looking_up.list_schemas, "burst"),
    ("GET", "crm-object-schemas schemas *", looking_up.get_schema, "burst"),
    ("GET", "account-info details", looking_up.account_details, "burst"),
    ("GET", "account-info api-usage daily private-apps", looking_up.daily_usage, "burst"),
    ("GET", "oauth authorize", granting.authorize, ""),
    ("POST", "oauth token", granting.token, ""),
    ("POST", "oauth token introspect", granting.introspect, ""),
    ("POST", "oauth token revoke", granting.revoke, ""),
    ("GET", "oauth access-tokens *", granting.access_token, ""),
    ("GET", "oauth refresh-tokens *", granting.refresh_token, ""),
    ("DELETE", "oauth refresh-tokens *", granting.delete_refresh_token, ""),
)

#: (method, number of segments) → routes, those with the earlier literal words first.
_BY_SIZE: dict[tuple[str, int], list[tuple[tuple[str, ...], Route]]] = {}
for _method, _pattern, _handler, _limit in _TABLE:
    _segments = tuple(_pattern.split())
    _route = Route(f"{_method} /{_pattern.replace(' ', '/')}", _handler, _limit)
    _BY_SIZE.setdefault((_method, len(_segments)), []).append((_segments, _route))
for _routes in _BY_SIZE.values():
    _routes.sort(key=lambda entry: [segment == "*" for segment in entry[0]])

_UNKNOWN = Route("unknown", looking_up.unknown_route, "burst")


@lru_cache(maxsize=8192)
def match(method: str, path: str, *, dated_paths: bool) -> Match:
    """Find the route of a path; trailing slashes do not matter. Unknown paths get a route that says so."""
    segments = [segment for segment in path.split("/") if segment]
    version = ""
    for place in (1, 2):
        if len(segments) > place and (
            _LEGACY.fullmatch(segments[place]) or _DATED.fullmatch(segments[place])
        ):
            version = segments.pop(place)
            break
    if _DATED.fullmatch(version) and not dated_paths:
        return Match(_UNKNOWN, (), version)
    for pattern, route in _BY_SIZE.get((method, len(segments)), ()):
        if all(wanted in ("*", got) for wanted, got in zip(pattern, segments, strict=True)):
            params = tuple(got for wanted, got in zip(pattern, segments, strict=True) if wanted == "*")
            return Match(route, params, version)
    return Match(_UNKNOWN, (), version)
