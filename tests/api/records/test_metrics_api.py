"""Metrics over HTTP: numbers, the records behind them, tables, settings and rates; as JSON and as CSV."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest

from syncline.actions.hub import Hub
from syncline.clock import now
from syncline.store.reports import REPORTS

pytestmark = pytest.mark.anyio

V1 = "/api/v1"
THEIRS = UUID(int=(5 << 120) + 1)


@pytest.fixture(autouse=True)
async def deals(hub: Hub) -> None:
    """Three deals won today, one of them somebody else's, one in another currency; and one that is open."""
    rows = [
        (1, "won", 100, "USD", None),
        (2, "won", 50, "USD", THEIRS),
        (3, "won", 7, "EUR", None),
        (4, "open", 30, "USD", None),
    ]
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await conn.execute(
            "insert into crm.owners (tenant_id, id, email) values (%s, %s, 'bo@example.com')",
            (hub.tenant_id, THEIRS),
        )
        for n, status, amount, currency, owner in rows:
            await conn.execute(
                "insert into crm.deals (tenant_id, id, name, status, amount, currency, owner_id, closed_at,"
                " created_at) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    *(hub.tenant_id, UUID(int=(6 << 120) + n), f"=Deal {n}", status, amount, currency, owner),
                    *(now() if status == "won" else None, now() - timedelta(days=3)),
                ),
            )


def table(answer: httpx2.Response) -> list[list[str]]:
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"].startswith("attachment")
    return list(csv.reader(io.StringIO(answer.text)))


async def test_all_metrics_are_listed_and_each_has_a_value(manager: httpx2.AsyncClient):
    listed = (await manager.get(f"{V1}/metrics")).json()
    assert [each["number"] for each in listed] == list(range(1, 23))
    values = (await manager.get(f"{V1}/metrics/values", params={"period": "month"})).json()
    assert [each["metric"]["name"] for each in values] == [each["name"] for each in listed]
    one = (await manager.get(f"{V1}/metrics/total_sales")).json()
    assert (one["value"], one["previous"], one["currency"]) == (150, 0, "USD")
    assert one["by_currency"] == {"EUR": 7, "USD": 150}
    assert one["notes"] == ["Left out: 1 deal in EUR, for want of a rate to USD."]
    assert sum(point["value"] for point in one["series"]) == 150
    assert one["change"] is None


async def test_a_rep_is_told_of_own_and_unassigned_records_only(rep: httpx2.AsyncClient):
    assert (await rep.get(f"{V1}/metrics/total_sales")).json()["value"] == 100
    records = (await rep.get(f"{V1}/metrics/deals_won/records")).json()
    assert {each["name"] for each in records["items"]} == {"=Deal 1", "=Deal 3"}
    assert (await rep.put(f"{V1}/metrics/settings", json={"qualified": ["x"]})).status_code == 403
    assert (await rep.put(f"{V1}/exchange-rates", json={"rates": []})).status_code == 403


async def test_records_come_page_by_page(manager: httpx2.AsyncClient):
    found: list[str] = []
    after: str | None = None
    while True:
        params: dict[str, Any] = {"limit": 1, **({"after": after} if after else {})}
        page = (await manager.get(f"{V1}/metrics/total_sales/records", params=params)).json()
        found += [each["name"] for each in page["items"]]
        after = page["after"]
        if after is None:
            break
    assert sorted(found) == ["=Deal 1", "=Deal 2", "=Deal 3"]


async def test_everything_is_there_for_a_spreadsheet_too(manager: httpx2.AsyncClient):
    as_csv = {"format": "csv"}
    values = table(await manager.get(f"{V1}/metrics/values", params=as_csv))
    assert [row[0] for row in values[1:]] == [each.name for each in REPORTS.values() if each.number]
    one = {row[0]: row for row in table(await manager.get(f"{V1}/metrics/total_sales", params=as_csv))}
    assert one["period"][3] == "150"
    stages = table(await manager.get(f"{V1}/metrics/deals_by_stage", params=as_csv))
    assert stages[0] == ["pipeline", "stage", "deals", "value", "weighted"]
    records = table(await manager.get(f"{V1}/metrics/deals_won/records", params=as_csv))
    # What a spreadsheet would take for a formula is marked as text.
    assert {row[2] for row in records[1:]} == {"'=Deal 1", "'=Deal 2", "'=Deal 3"}
    assert table(await manager.get(f"{V1}/reports/revenue_forecast", params=as_csv))[0][0] == "month"


async def test_tables_are_read_by_name(manager: httpx2.AsyncClient):
    names = (await manager.get(f"{V1}/reports")).json()
    for name in names:
        answer = await manager.get(f"{V1}/reports/{name}")
        assert answer.status_code == 200, (name, answer.text)
        keys = {column["key"] for column in answer.json()["columns"]}
        assert all(keys <= row.keys() for row in answer.json()["rows"]), name
    overview = (await manager.get(f"{V1}/reports/pipeline_overview")).json()
    assert [(row["deals"], row["value"]) for row in overview["rows"]] == [(1, 30)]


async def test_what_makes_no_sense_is_refused_with_its_field(manager: httpx2.AsyncClient):
    for path, field in (
        ("metrics/total_sales?period=soon", "period"),
        ("metrics/total_sales?owner=nobody@example.com", "owner"),
        ("metrics/total_sales?from=2026-02-01&to=2026-01-01", "to"),
        ("reports/top_companies?pipeline=x", "pipeline"),
    ):
        answer = await manager.get(f"{V1}/{path}")
        assert answer.status_code in {400, 422}, answer.text
        assert answer.json()["errors"][0]["field"] == field
    assert (await manager.get(f"{V1}/metrics/no_such")).status_code == 404
    assert (await manager.get(f"{V1}/metrics/top_companies")).status_code == 404
    assert (await manager.get(f"{V1}/reports/no_such")).status_code == 404
    assert (await manager.get(f"{V1}/metrics/total_sales/records?after=x")).status_code in {400, 422}


async def test_rates_and_words_are_given_by_an_admin(clients: Any):
    admin = await clients("admin")
    day = now().date().isoformat()
    rate = {"from_currency": "EUR", "to_currency": "USD", "valid_on": day, "rate": 2}
    assert (await admin.put(f"{V1}/exchange-rates", json={"rates": [rate]})).json() == {"changed": 1}
    assert (await admin.get(f"{V1}/metrics/total_sales")).json()["value"] == 164
    files = {"file": ("rates.csv", f"currency,date,rate\nEUR,{day},3\n", "text/csv")}
    assert (await admin.post(f"{V1}/exchange-rates/import", files=files)).json() == {"changed": 1}
    assert (await admin.get(f"{V1}/exchange-rates", params={"currency": "EUR"})).json() == [
        rate | {"rate": 3}
    ]
    assert (await admin.delete(f"{V1}/exchange-rates/EUR/USD/{day}")).status_code == 204
    assert (await admin.get(f"{V1}/exchange-rates")).json() == []
    settings = (await admin.put(f"{V1}/metrics/settings", json={"qualified": ["Hot"]})).json()
    assert (settings["qualified"], settings["no_trial"]) == (["hot"], ["none"])
    assert (await admin.get(f"{V1}/metrics/settings")).json() == settings
