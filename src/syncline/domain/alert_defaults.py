"""The rules that hold for a tenant until it has its own, as the text that one begins with to write those."""

from __future__ import annotations

DEFAULT_RULES = """\
# Who is told. A recipient is role:ROLE (everybody with it, or a higher one), an e-mail
# address, slack:CHANNEL or webhook:CHANNEL; channels are added under Channels.
groups:
  devops: [role:admin]
  incident: [role:admin]
  admin: [role:admin]
  managers: [role:manager]

# What is watched. “for” is how long a condition has to hold before anybody is told.
alerts:
  - name: high_sync_latency
    condition: avg_sync_latency_ms > 10000
    for: 2m
    severity: warning
    notify: [devops]

  - name: low_success_rate
    condition: sync_success_rate < 0.95
    severity: critical
    notify: [incident]

  - name: api_rate_limit
    condition: api_rate_limit_hits > 0
    severity: info
    notify: [admin]

  - name: failed_run
    condition: failed_runs > 0 in 24h
    severity: warning
    notify: [devops]

  - name: connection_paused
    condition: paused > 0
    severity: critical
    notify: [admin]

  - name: contacts_stale
    condition: minutes_since_sync > 10
    object: contacts
    severity: critical
    notify: [devops, managers]

  - name: deals_stale
    condition: minutes_since_sync > 30
    object: deals
    severity: critical
    notify: [devops, managers]

  - name: records_failing
    condition: records_failed_share > 10% in 1h
    severity: warning
    notify: [devops]

  - name: queue_stuck
    condition: queue_age_minutes > 15
    for: 2m
    severity: warning
    notify: [devops]

  - name: drift_found
    condition: open_drift > 0
    severity: warning
    notify: [managers]
"""
