"""A Postgres with three years of a company in it, made for one measurement or kept for the next.

To fill the large size takes minutes; `--keep FOLDER` leaves it in a folder, and finds it there again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from metric_rows import LARGE, SMALL, TENANT, Size, fill
from page_rows import fill_pages
from syncline import clock
from syncline.store import migrate
from syncline.store.db import list_revisions
from syncline.store.embedded import EmbeddedServer, stop_server
from syncline.store.urls import DatabaseUrls


@dataclass(frozen=True, slots=True)
class Filled:
    size: Size
    urls: DatabaseUrls
    #: SYNCLINE_HOME of whoever works on it.
    home: Path


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--large", action="store_true", help="1,000,000 contacts instead of 29,000")
    parser.add_argument("--contacts", type=int, help="so many instead, with deals and calls in proportion")
    parser.add_argument("--keep", type=Path, help="a folder to keep the filled database in")
    parser.add_argument("--no-write", action="store_true", help="print only; leave docs/benchmarks.md alone")


def chosen_size(options: argparse.Namespace) -> Size:
    if options.contacts:
        return Size(options.contacts, max(1, options.contacts // 10), options.contacts)
    return LARGE if options.large else SMALL


@asynccontextmanager
async def filled(size: Size, keep: Path | None) -> AsyncIterator[Filled]:
    """Start an embedded Postgres that is filled to a size, for the length of the block."""
    folder = keep or Path(tempfile.mkdtemp(prefix="syncline-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)
    note = folder / "filled.json"
    # Days count from the day it was filled; a schema that has changed since is another database.
    state = {
        **asdict(size),
        "revision": list_revisions()[-1],
        "today": clock.now().date().isoformat(),
    }
    if not note.exists() or json.loads(note.read_text()) != state:
        shutil.rmtree(folder / "home", ignore_errors=True)
        note.unlink(missing_ok=True)
    server = EmbeddedServer(folder / "home", idle_seconds=60)
    try:
        urls = await server.start()
        if not note.exists():
            began = time.perf_counter()
            await migrate.upgrade(urls.admin)
            await fill(urls.superuser, str(TENANT), size, state["today"])
            await fill_pages(urls.superuser, size)
            note.write_text(json.dumps(state))
            print(f"filled in {time.perf_counter() - began:.0f} s", flush=True)
        yield Filled(size, urls, folder / "client")
    finally:
        server.close()
        await stop_server(folder / "home")
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def describe(size: Size) -> str:
    return f"{size.contacts:,} contacts, {size.deals:,} deals, {size.calls:,} calls"


def load() -> str:
    """Return how busy the machine was of late: what waits for a processor is in every figure."""
    one, _, _ = os.getloadavg()
    return f"{one:.1f}"
