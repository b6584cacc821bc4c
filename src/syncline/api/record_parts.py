"""The parts of the API that are about records, in the order in which its description lists them."""

from __future__ import annotations

from fastapi import APIRouter

from syncline.api import bulk, dashboard, imports, records, search, timeline

#: Imports come first: `export.csv` and `views` are no ids of records.
RECORDS: tuple[APIRouter, ...] = (
    imports.router,
    records.router,
    timeline.router,
    bulk.router,
    search.router,
    dashboard.router,
)
