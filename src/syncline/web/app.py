"""The pages as routes beside the API's, in one ASGI application."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import BaseRoute, Route

from syncline.actions.hub import Hub
from syncline.web import (
    alerts,
    board,
    bulk,
    conflicts,
    connecting,
    connection_mapping,
    connection_writing,
    connections,
    dashboard,
    dashboard_metric,
    dashboard_settings,
    dashboard_sync,
    dashboard_tables,
    duplicates,
    erasure,
    importing,
    live,
    outgoing,
    overview,
    people,
    record,
    records,
    retention,
    runs,
    sales_pipeline,
    searching,
    settings,
    sign_in,
    syncs,
    waiting,
)
from syncline.web import help as help_pages
from syncline.web.assets import Assets, add_assets
from syncline.web.failures import add_failures
from syncline.web.guard import Guard
from syncline.web.page import Site
from syncline.web.render import make_environment

#: Every part of the web application, one per subject.
ROUTERS: tuple[APIRouter, ...] = (
    sign_in.router,
    overview.router,
    dashboard.router,
    dashboard_tables.router,
    dashboard_sync.router,
    # Behind the other pages of the dashboard, since a metric may be called anything.
    dashboard_metric.router,
    dashboard_settings.router,
    live.router,
    syncs.router,
    runs.router,
    conflicts.router,
    waiting.router,
    alerts.router,
    duplicates.router,
    # Before the pages of a connection, whose name may be anything.
    connecting.router,
    connection_writing.router,
    connection_mapping.router,
    connections.router,
    sales_pipeline.router,
    settings.router,
    people.router,
    outgoing.router,
    erasure.router,
    retention.router,
    searching.router,
    board.router,
    importing.router,
    bulk.router,
    records.router,
    # Behind the lists, whose parts have words where a record has its id.
    record.router,
    help_pages.router,
)
#: Shorter answers are not worth packing.
_PACKED_FROM_BYTES = 700


def add_pages(app: FastAPI, hub: Hub) -> None:
    """Let an application that has the API's routes serve the pages, too."""
    assets = Assets()
    public = hub.settings.public_url
    secure = public is not None and public.startswith("https://")
    site = Site(hub, make_environment(assets), assets)
    app.state.site = site
    add_assets(app, assets)
    for router in ROUTERS:
        app.include_router(router)
        site.served.update(_paths(router.routes))
    add_failures(app, site)
    # The last one added is the outermost: what is packed carries the guard's headers, too.
    app.add_middleware(GZipMiddleware, minimum_size=_PACKED_FROM_BYTES, compresslevel=5)
    app.add_middleware(Guard, strict=secure)


def _paths(routes: list[BaseRoute]) -> set[str]:
    return {each.path for each in routes if isinstance(each, Route)}
