"""The figures of the syncs at the command line."""

from __future__ import annotations

import json

from programs import Program

from syncline.store.sync_metrics import SyncMetrics


def test_the_nine_figures_are_shown_and_where_nothing_happened_a_dash(program: Program):
    shown = program("sync-metrics")
    assert shown.returncode == 0, shown.stderr
    assert "avg_sync_latency_ms" in shown.stdout
    found = json.loads(program("sync-metrics", "--json").stdout)
    assert found == dict.fromkeys(SyncMetrics.__dataclass_fields__)
    assert program("sync-metrics", "--tenant", "nobody").returncode == 2


def test_a_collector_without_its_extra_or_a_wrong_address_is_refused_in_words(program: Program):
    done = program("status", SYNCLINE_OTLP_ENDPOINT="localhost:4318")
    assert done.returncode != 0
    assert "SYNCLINE_OTLP_ENDPOINT" in done.stderr
