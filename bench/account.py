"""The account that is loaded: a simulated HubSpot whose contacts have sixty properties. Run by run.py."""

from __future__ import annotations

import json
import sys

from syncline.simulators.hubspot import Settings, World
from syncline.simulators.hubspot.auth import DEFAULT_TOKEN
from syncline.simulators.hubspot.server import Server, listen, url_of

PROPERTIES = 60
#: What the queries of a sales team rest on comes first; the rest is filled up in the catalogue's order.
FIRST = frozenset(
    {
        *("email", "phone", "firstname", "lastname", "createdate", "lifecyclestage", "hubspot_owner_id"),
        *("vsl_watched", "sales_script_version", "hs_lead_status", "hs_lead_source", "jobtitle"),
        *("lastmodifieddate", "hs_object_id", "hs_merged_object_ids"),
    }
)


def main() -> None:
    job = json.loads(sys.argv[1])
    world = World(1, Settings(latency_ms=job["latency_ms"], rate=job["rate"]))
    world.populate(contacts=job["contacts"], companies=1000, deals=1000, calls=2000)
    contacts = world.store("contacts")
    others = (name for name in contacts.definitions if name not in FIRST)
    kept = {*FIRST, *(name for name, _ in zip(others, range(PROPERTIES - len(FIRST)), strict=False))}
    for name, definition in contacts.definitions.items():
        definition.archived = name not in kept
    contacts.definitions_changed()
    listener = listen("127.0.0.1", 0)
    listener.listen(1024)
    print(json.dumps({"url": url_of(listener), "token": DEFAULT_TOKEN}), flush=True)
    Server(world).run(sockets=[listener])


main()
