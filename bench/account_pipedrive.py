"""The account that is loaded: a simulated Pipedrive, a quarter as many organizations and deals as persons.

Run by pipedrive.py.
"""

from __future__ import annotations

import json
import sys

from syncline.simulators.pipedrive import Settings, World
from syncline.simulators.pipedrive.app import App
from syncline.simulators.pipedrive.auth import DEFAULT_TOKEN
from syncline.simulators.server import ApplicationServer, listen, url_of


def main() -> None:
    job = json.loads(sys.argv[1])
    world = World(1, Settings(latency_ms=job["latency_ms"], rate=job["rate"]))
    persons = job["contacts"]
    world.populate(contacts=persons, organizations=persons // 4, deals=persons // 4, activities=0, notes=0)
    listener = listen("127.0.0.1", 0)
    listener.listen(1024)
    print(json.dumps({"url": url_of(listener), "token": DEFAULT_TOKEN}), flush=True)
    ApplicationServer(App(world)).run(sockets=[listener])


main()
