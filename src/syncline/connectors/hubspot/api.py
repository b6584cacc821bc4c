"""HubSpot's paths in their two families, and one call of them. Knows no object and no payload.

The dated version has been generally available since 2026-03-30; v4 is unsupported from 2027-03-30 and
v1 to v3 from 2027-09 on (HubSpot's changelog). Shapes are the same in both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote

from syncline.connectors.hubspot.failures import RouteUnknown
from syncline.connectors.transport import Request, Response, Send

VERSION = "2026-03"
LEGACY = "legacy"

Version = Literal["2026-03", "legacy"]
Route = Literal[
    "list", "search", "batch_read", "associations", "properties", "pipelines", "owners", "schemas", "account",
    "token", "batch_update", "batch_upsert", "batch_create", "batch_archive", "property_groups",
    "associate", "associate_default", "dissociate", "dissociate_types", "merge", "gdpr_delete",
]  # fmt: skip

_PATHS: dict[Route, tuple[str, str]] = {
    "list": ("/crm/objects/2026-03/{object}", "/crm/v3/objects/{object}"),
    "search": ("/crm/objects/2026-03/{object}/search", "/crm/v3/objects/{object}/search"),
    "batch_read": ("/crm/objects/2026-03/{object}/batch/read", "/crm/v3/objects/{object}/batch/read"),
    "associations": (
        "/crm/associations/2026-03/{object}/{to}/batch/read",
        "/crm/v4/associations/{object}/{to}/batch/read",
    ),
    "properties": ("/crm/properties/2026-03/{object}", "/crm/v3/properties/{object}"),
    "pipelines": ("/crm/pipelines/2026-03/{object}", "/crm/v3/pipelines/{object}"),
    "owners": ("/crm/owners/2026-03", "/crm/v3/owners"),
    "schemas": ("/crm-object-schemas/2026-03/schemas", "/crm/v3/schemas"),
    "account": ("/account-info/2026-03/details", "/account-info/v3/details"),
    "token": ("/oauth/2026-03/token", "/oauth/v3/token"),
    "batch_update": ("/crm/objects/2026-03/{object}/batch/update", "/crm/v3/objects/{object}/batch/update"),
    "batch_upsert": ("/crm/objects/2026-03/{object}/batch/upsert", "/crm/v3/objects/{object}/batch/upsert"),
    "batch_create": ("/crm/objects/2026-03/{object}/batch/create", "/crm/v3/objects/{object}/batch/create"),
    "batch_archive": (
        "/crm/objects/2026-03/{object}/batch/archive",
        "/crm/v3/objects/{object}/batch/archive",
    ),
    "merge": ("/crm/objects/2026-03/{object}/merge", "/crm/v3/objects/{object}/merge"),
    "gdpr_delete": ("/crm/objects/2026-03/{object}/gdpr-delete", "/crm/v3/objects/{object}/gdpr-delete"),
    "property_groups": ("/crm/properties/2026-03/{object}/groups", "/crm/v3/properties/{object}/groups"),
    "associate": (
        "/crm/associations/2026-03/{object}/{to}/batch/create",
        "/crm/v4/associations/{object}/{to}/batch/create",
    ),
    "associate_default": (
        "/crm/associations/2026-03/{object}/{to}/batch/associate/default",
        "/crm/v4/associations/{object}/{to}/batch/associate/default",
    ),
    "dissociate": (
        "/crm/associations/2026-03/{object}/{to}/batch/archive",
        "/crm/v4/associations/{object}/{to}/batch/archive",
    ),
    "dissociate_types": (
        "/crm/associations/2026-03/{object}/{to}/batch/labels/archive",
        "/crm/v4/associations/{object}/{to}/batch/labels/archive",
    ),
}


class Api:
    """HubSpot as one connection sees it. Remembers which family of paths answered, and nothing else.

    Where a dated path is unknown to the server when first called, the legacy one is used from then on.
    """

    def __init__(self, send: Send, version: Version | None = None) -> None:
        self._send = send
        self._first: Version = version or VERSION
        self._settled: dict[Route, Version] = {}
        self._may_fall_back = version is None

    async def call(
        self,
        method: Literal["GET", "POST"],
        route: Route,
        *,
        object_name: str = "",
        to: str = "",
        query: Mapping[str, str] | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        bucket: str = "burst",
        idempotent: bool = True,
        authorized: bool = True,
    ) -> Response:
        """Call a route. All but OAuth, plain creates and merges may be repeated: their effect is the same."""
        version = self._settled.get(route, self._first)
        while True:
            dated, legacy = _PATHS[route]
            template = dated if version == VERSION else legacy
            path = template.format(object=quote(object_name, safe=""), to=quote(to, safe=""))
            request = Request(
                method, path, query or {}, json=json, form=form, bucket=bucket,
                idempotent=idempotent, authorized=authorized, template=template,
            )  # fmt: skip
            try:
                response = await self._send(request)
            except RouteUnknown:
                if version == LEGACY or route in self._settled or not self._may_fall_back:
                    raise
                version = LEGACY
                continue
            if route not in self._settled:
                self._settled[route] = version
                if version == LEGACY:
                    self._first = LEGACY
            return response
