"""Every part of the API: one router per subject, in the order in which its description lists them."""

from __future__ import annotations

from fastapi import APIRouter

ROUTERS: tuple[APIRouter, ...] = ()
