"""Fixtures that run the program: beside a database of its own, or on a bare machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import Program, environment_of

from syncline.domain.sealing import new_key
from syncline.store.urls import DatabaseUrls


@pytest.fixture
def program(anyio_backend: str, database_urls: DatabaseUrls, home: Path) -> Program:
    """The program beside a migrated database of this test's own."""
    return Program(
        environment_of(home)
        | {
            "SYNCLINE_DATABASE_URL": database_urls.app,
            "SYNCLINE_ADMIN_DATABASE_URL": database_urls.admin,
            "SYNCLINE_READER_DATABASE_URL": database_urls.reader,
            "SYNCLINE_SECRET_KEY": new_key(),
        }
    )


@pytest.fixture
def bare(home: Path) -> Program:
    """The program on a machine where nothing is set but its home."""
    return Program(environment_of(home))
