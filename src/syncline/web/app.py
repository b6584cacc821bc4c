"""The pages as routes beside the API's, in one ASGI application."""

from __future__ import annotations

from fastapi import FastAPI

from syncline.actions.hub import Hub


def add_pages(app: FastAPI, hub: Hub) -> None:
    """Let an application that has the API's routes serve the pages, too."""
    del app, hub
