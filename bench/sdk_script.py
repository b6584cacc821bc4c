"""What a user would write: the vendor's SDK, page after page, and executemany. Run by run.py."""

from __future__ import annotations

import json
import sys

import hubspot
import psycopg

job = json.loads(sys.argv[1])
client = hubspot.HubSpot(access_token=job["token"], host=job["url"], base_url=job["url"])
apis = {
    "contacts": client.crm.contacts.basic_api,
    "deals": client.crm.deals.basic_api,
    "calls": client.crm.objects.calls.basic_api if hasattr(client.crm.objects, "calls") else None,
}
total = 0
with psycopg.connect(job["database"], autocommit=True) as conn:
    for name in job["objects"]:
        conn.execute(
            f"create table if not exists sdk_{name}"
            " (id text primary key, properties jsonb, updated_at timestamptz)"
        )
        properties = [each.name for each in client.crm.properties.core_api.get_all(object_type=name).results]
        after = None
        while True:
            api = apis[name]
            if api is not None:
                page = api.get_page(limit=100, after=after, properties=properties)
            else:
                page = client.crm.objects.basic_api.get_page(
                    name, limit=100, after=after, properties=properties
                )
            with conn.transaction(), conn.cursor() as cursor:
                cursor.executemany(
                    f"insert into sdk_{name} values (%s, %s, %s) on conflict (id) do update"
                    " set properties = excluded.properties, updated_at = excluded.updated_at",
                    [(each.id, json.dumps(each.properties), each.updated_at) for each in page.results],
                )
            total += len(page.results)
            if page.paging is None or page.paging.next is None:
                break
            after = page.paging.next.after
print(json.dumps({"records": total}))
