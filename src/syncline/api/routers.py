"""Every part of the API: one router per subject, in the order in which its description lists them."""

from __future__ import annotations

from fastapi import APIRouter

from syncline.api import (
    audit,
    erasure,
    invitations,
    keys,
    metrics,
    people,
    retention,
    session,
    single_sign_on,
    tenants,
)
from syncline.api.operations import OPERATIONS
from syncline.api.record_parts import RECORDS

ROUTERS: tuple[APIRouter, ...] = (
    *(
        session.router,
        single_sign_on.router,
        people.router,
        invitations.router,
        keys.router,
        tenants.router,
        audit.router,
        erasure.router,
        retention.router,
    ),
    *RECORDS,
    *OPERATIONS,
    metrics.router,
)
