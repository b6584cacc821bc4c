"""The vendor's own client for Node runs against the simulator unmodified, where it is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from syncline.simulators.pipedrive import World
from syncline.simulators.pipedrive.auth import DEFAULT_TOKEN
from syncline.simulators.pipedrive.server import in_thread

pytestmark = pytest.mark.skipif(
    "PIPEDRIVE_NODE_FOLDER" not in os.environ or shutil.which("node") is None,
    reason="PIPEDRIVE_NODE_FOLDER does not name a folder with `npm install pipedrive`, or there is no node",
)


def test_it_reads_writes_searches_and_subscribes(world: World):
    living = world.stores["persons"].sections["living"].ids
    expected = list(living)
    script = Path(__file__).with_name("official_client.mjs")
    with in_thread(world) as url:
        done = subprocess.run(
            ["node", script, os.environ["PIPEDRIVE_NODE_FOLDER"], url, DEFAULT_TOKEN],
            capture_output=True, check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout)
    assert told["listed"] == expected
    assert (told["lastName"], told["found"]) == ("Byron", [told["made"]])
    assert (told["stage"], told["me"], told["subscribed"]) == (1, "syncline-example", 1)
    assert (told["leads"], told["archived"]) == (8, 4)
    assert told["fields"] == len(world.fields["deal"].fields)
    assert world.get("persons", told["made"]).deleted_ms is not None
