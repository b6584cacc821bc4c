"""Which commands there are, in the order of the help. A new one adds a line here and a module beside it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """A command as the help lists it. Its module holds `command`, or `group` for one with subcommands."""

    name: str
    module: str
    summary: str
    panel: str
    is_group: bool = False


_START, _DAILY, _OPERATE = "Begin", "Every day", "Operate"

COMMANDS = (
    Command("demo", "demo", "Try everything on this machine with a simulated CRM.", _START),
    Command("init", "init", "Prepare a database: roles, schema, key.", _START),
    Command("connect", "connect", "Connect a CRM account, or renew its token.", _START),
    Command("sync", "sync", "Bring what changed in the CRMs into Postgres, now.", _DAILY),
    Command("plan", "plan", "Say what would be written on each side, before anything is.", _DAILY),
    Command("push", "push", "Send what waits to the CRMs, now.", _DAILY),
    Command("runs", "runs", "List what was done lately.", _DAILY),
    Command("undo", "undo", "Take back what a run did, on both sides.", _DAILY),
    Command("status", "status", "Show how current everything is.", _DAILY),
    Command("metrics", "metrics", "Show the numbers: sales, pipeline, calls, forecast.", _DAILY),
    Command("sync-metrics", "sync_metrics", "Show how the syncs fare, in nine figures.", _DAILY),
    Command("check", "check", "Try each connection: token, permissions, quota, clock.", _DAILY),
    Command("alerts", "alerts", "See what is wrong with the syncs; say who is told.", _DAILY, is_group=True),
    Command("parked", "parked", "List records that could not be read whole, and why.", _DAILY),
    Command("reconcile", "reconcile", "Compare everything with the CRMs, and mend a little.", _DAILY),
    Command("drift", "drift", "List what differs between the CRMs and here.", _DAILY),
    Command("explain", "explain", "Say why a record is not syncing, and what mends it.", _DAILY),
    Command("resync", "resync", "Read one record again, merge it and send what differs.", _DAILY),
    Command("conflicts", "conflicts", "See and decide what both sides changed.", _DAILY, is_group=True),
    Command(
        "duplicates", "duplicates", "See records that may be one, and merge them.", _DAILY, is_group=True
    ),
    Command("decisions", "decisions", "See values that were overruled, and put one back.", _DAILY),
    Command("queue", "queue", "See and govern what waits to be sent to CRMs.", _DAILY, is_group=True),
    Command(
        "writing", "writing", "Say what may be written to a CRM; stop and resume.", _DAILY, is_group=True
    ),
    Command(
        "properties",
        "properties",
        "Create what Syncline needs at a CRM to write there.",
        _DAILY,
        is_group=True,
    ),
    Command("mapping", "mapping", "See and change which property is which field.", _DAILY, is_group=True),
    Command("webhooks", "webhooks", "Receive what CRMs send of their own accord.", _DAILY, is_group=True),
    Command("psql", "psql", "Open psql on your data.", _DAILY),
    Command("disconnect", "disconnect", "End a connection, keeping its data or not.", _DAILY),
    Command(
        "erase", "erase", "Erase a person, here and in the CRMs; show receipts.", _OPERATE, is_group=True
    ),
    Command("export", "export", "Write what is known of a person into a file.", _OPERATE, is_group=True),
    Command("retention", "retention", "Say how long what is kept.", _OPERATE, is_group=True),
    Command("secret", "secret", "Change the key that secrets are sealed with.", _OPERATE, is_group=True),
    Command("serve", "serve", "Run worker, pages and API in one process.", _OPERATE),
    Command("web", "web", "Serve pages and API, without a worker.", _OPERATE),
    Command("user", "user", "Say who may sign in, and as what.", _OPERATE, is_group=True),
    Command("key", "key", "Make and end API keys.", _OPERATE, is_group=True),
    Command("rates", "rates", "Say what currencies are worth.", _OPERATE, is_group=True),
    Command("tenant", "tenant", "See and make tenants; their zone and currency.", _OPERATE, is_group=True),
    Command("worker", "worker", "Keep the schedules, until told to stop.", _OPERATE),
    Command("doctor", "doctor", "Find out what is wrong, and what mends it.", _OPERATE),
    Command("migrate", "migrate", "Bring the database's schema up to this version.", _OPERATE),
    Command("backup", "backup", "Write everything into one file.", _OPERATE),
    Command("restore", "restore", "Bring a backup back.", _OPERATE),
    Command("db", "db", "Look after the embedded Postgres.", _OPERATE, is_group=True),
    Command("simulate", "simulate", "Run a simulated CRM, to try a set-up against.", _OPERATE),
    Command("version", "version", "Show the version.", _OPERATE),
)
