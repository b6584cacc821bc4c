"""`syncline sync-metrics`: how the syncs fare, in nine figures."""

from __future__ import annotations

from dataclasses import asdict

from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.actions.sync_metrics import read_sync_metrics
from syncline.cli.options import AsJson, Tenant
from syncline.cli.output import add_row, make_table, open_console, print_json
from syncline.cli.person import operator
from syncline.cli.running import run
from syncline.config import Settings
from syncline.store.sync_metrics import SyncMetrics


def command(as_json: AsJson = False, tenant: Tenant = DEFAULT_TENANT) -> None:
    """Show how the syncs fare: latency, success, volume, failures. A dash is where nothing happened."""

    async def act(settings: Settings) -> SyncMetrics:
        async with open_hub(settings, tenant=tenant) as hub:
            return await read_sync_metrics(hub, operator(hub))

    found = asdict(run(act))
    if as_json:
        print_json(found)
        return
    table = make_table("figure", "value", right=("value",))
    for name, value in found.items():
        add_row(table, (name, _show(name, value)))
    open_console().print(table)


def _show(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    if name == "sync_success_rate":
        return f"{value:.1%}"
    return f"{value:,.0f} ms" if name.endswith("_ms") else f"{value:,}"
