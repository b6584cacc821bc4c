"""Whatever stands in whichever field of whichever form: the answer names it, and nothing falls over."""

from __future__ import annotations

import re

import httpx2
import pytest
from looking import PAGES
from reading_forms import WRONG, FormOnPage, read_forms
from visiting import Site, enter, find_token

pytestmark = pytest.mark.anyio

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
#: They have no field to fill in, or end what the test goes by.
_PASSED_OVER = ("/sign-out", "/theme", "/tenant", "/remove")
_NAMED = ("invalid-feedback", 'role="alert"')


@pytest.mark.timeout(300)
async def test_every_field_of_every_form_refuses_nonsense_by_its_name(own_site: Site) -> None:
    faults: list[str] = []
    async with httpx2.AsyncClient(base_url=own_site.url, timeout=60) as client:
        token = await enter(client)
        await _open_default(client, own_site, token)
        forms = await _gather(client, own_site)
        assert len(forms) > 40
        sent = 0
        for form in forms:
            # What another value is, counts only where it was chosen.
            for name in (each for each in form.names if not each.startswith("value:")):
                kept = next(each for each in form.fields if each.name == name)
                for wrong in kept.can_be():
                    answer = await client.post(form.action, data=form.filled(name, WRONG[wrong], token))
                    sent += 1
                    what = f"{form.action}, {name} ({kept.kind}): {wrong}: {answer.status_code}"
                    if answer.status_code >= 500:
                        faults.append(f"{what} is a failure of ours")
                    elif answer.status_code >= 400 and not any(each in answer.text for each in _NAMED):
                        faults.append(f"{what} does not say what is wrong")
                    elif answer.status_code < 400 and kept.refuses(wrong) and "/check" not in form.action:
                        faults.append(f"{what} is taken")
    assert sent > 500
    assert not faults, "\n".join(faults)


async def _open_default(client: httpx2.AsyncClient, site: Site, token: str) -> None:
    [(tenant,)] = site.execute("select tenant_id::text from app.tenants where slug = 'default'")
    await client.post("/tenant", data={"csrf_token": token, "tenant": tenant, "next": "/"})
    assert await find_token(client)


async def _gather(client: httpx2.AsyncClient, site: Site) -> list[FormOnPage]:
    """Return one form of each kind that there is on any page."""
    found: dict[tuple[str, tuple[str, ...]], FormOnPage] = {}
    for path in [*PAGES, *_of_records(site)]:
        answer = await client.get(path)
        assert answer.status_code == 200, path
        for form in read_forms(path, answer.text):
            if not form.action.endswith(_PASSED_OVER):
                key = (_ID.sub("ID", form.action.partition("?")[0]), _kinds(form))
                found.setdefault(key, form)
    return list(found.values())


def _kinds(form: FormOnPage) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_ID.sub("ID", name) for name in form.names))


def _of_records(site: Site) -> list[str]:
    """Return pages about one thing, one of each kind."""
    paths: list[str] = []
    for plural in ("contacts", "companies", "deals", "activities", "tasks"):
        [(record,)] = site.execute(
            f"select id from crm.{plural} where archived_at is null order by id limit 1"
        )
        paths += [f"/{plural}/{record}{part}" for part in ("", "/crms", "/changes", "/edit")]
    [(one, other)] = site.execute(
        "select min(id::text), max(id::text) from crm.contacts where archived_at is null"
    )
    [(conflict,)] = site.execute("select id from sync.conflicts where status = 'open' limit 1")
    [(person,)] = site.execute("select id from app.users order by email limit 1")
    [(run,)] = site.execute("select id from sync.runs where object = 'notes' limit 1")
    return [
        *paths,
        f"/duplicates/{one}/{other}",
        f"/conflicts/{conflict}",
        f"/settings/people/{person}",
        f"/runs/{run}/undo",
    ]
