"""Where one can go: the entries of the navigation, in their groups and in this order."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from syncline.domain.callers import Caller, Permission


@dataclass(frozen=True, slots=True)
class Entry:
    path: str
    label: str
    icon: str
    permission: Permission
    #: What `g` and then this key leads to.
    key: str = ""
    #: The field of a `Glance` whose number stands beside it.
    count: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    label: str
    entries: tuple[Entry, ...]


GROUPS: tuple[Group, ...] = (
    Group(
        "",
        (
            Entry("/", "Overview", "home", "syncs:read", "h"),
            Entry("/dashboard", "Dashboard", "chart-bar", "records:read", "m"),
            Entry("/sales-pipeline", "Sales pipeline", "trending-up", "records:read", "p"),
        ),
    ),
    Group(
        "Records",
        (
            Entry("/contacts", "Contacts", "users", "records:read", "c"),
            Entry("/companies", "Companies", "building", "records:read", "o"),
            Entry("/deals", "Deals", "briefcase", "records:read", "d"),
            Entry("/board", "Board", "layout-kanban", "records:read", "b"),
            Entry("/activities", "Activities", "activity", "records:read", "a"),
            Entry("/tasks", "Tasks", "checklist", "records:read", "t"),
            Entry("/import", "Import", "file-import", "records:bulk"),
        ),
    ),
    Group(
        "Sync",
        (
            Entry("/syncs", "Sync status", "refresh", "syncs:read", "s"),
            Entry("/alerts", "Alerts", "bell", "connections:read", "", "open_alerts"),
            Entry("/conflicts", "Conflicts", "git-compare", "conflicts:resolve", "x", "open_conflicts"),
            Entry("/queue", "Queue", "send", "queue:manage", "q", "stuck"),
            Entry("/parked", "Set aside", "archive", "queue:manage", "", "parked"),
            Entry("/drift", "Drift", "arrows-left-right", "queue:manage", "", "drift"),
            Entry("/duplicates", "Duplicates", "copy", "conflicts:resolve", "u"),
            Entry("/connections", "Connections", "plug-connected", "connections:read", "n"),
        ),
    ),
    Group(
        "Administration",
        (
            Entry("/settings", "Settings", "settings", "settings:write", ","),
            Entry("/audit", "Audit", "shield-check", "audit:read"),
        ),
    ),
)


def list_groups(caller: Caller, served: Container[str]) -> list[Group]:
    """Return the groups with the entries that are served and that a caller may go to."""
    shown = (
        Group(
            group.label,
            tuple(each for each in group.entries if each.path in served and caller.may(each.permission)),
        )
        for group in GROUPS
    )
    return [group for group in shown if group.entries]
