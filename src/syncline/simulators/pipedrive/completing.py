"""What Pipedrive fills in by itself when a record is made or changed. Knows no API and no store."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from syncline.simulators.pipedrive.company import Stage
from syncline.simulators.pipedrive.settings import Settings
from syncline.simulators.times import iso

Values = dict[str, Any]
_SPACES = re.compile(r"\s+")
_ACTIVE = re.compile(r"<(script|style)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_HANDLER = re.compile(r"""\son\w+\s*=\s*("[^"]*"|'[^']*'|[^\s>]+)(?=[^<]*>)""", re.IGNORECASE)
_AMPERSAND = re.compile(r"&(?!#?\w+;)")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)


def complete_person(before: Mapping[str, Any], changes: Values, settings: Settings) -> None:
    """Split or join the name, and put addresses in order."""
    for name in ("name", "first_name", "last_name"):
        if settings.trims and isinstance(changes.get(name), str):
            changes[name] = _SPACES.sub(" ", changes[name]).strip()
    if "name" in changes:
        first, _, last = (changes["name"] or "").partition(" ")
        changes["first_name"], changes["last_name"] = first or None, last or None
    elif "first_name" in changes or "last_name" in changes:
        parts = [changes.get(each, before.get(each)) for each in ("first_name", "last_name")]
        changes["name"] = " ".join(part for part in parts if part)
        for each in ("first_name", "last_name"):
            if changes.get(each) == "":
                changes[each] = None
    for name in ("emails", "phones"):
        if name in changes:
            changes[name] = _complete_addresses(changes[name] or [], name, settings)


def _complete_addresses(given: Sequence[Mapping[str, Any]], name: str, settings: Settings) -> list[Values]:
    found: list[Values] = []
    primary = next((place for place, each in enumerate(given) if each.get("primary")), 0)
    for place, each in enumerate(given):
        value = str(each["value"])
        if settings.trims:
            value = value.strip()
        if name == "emails" and settings.lowercases_emails:
            value = value.lower()
        if name == "phones" and settings.strips_phones:
            value = re.sub(r"(?!^\+)\D", "", value)
        found.append({"value": value, "primary": place == primary, "label": each.get("label") or "work"})
    return found


def complete_deal(before: Mapping[str, Any], changes: Values, stages: Sequence[Stage], now_ms: int) -> None:
    """Let pipeline and stage, status and times go together."""
    living = [stage for stage in stages if not stage.deleted]
    if changes.get("stage_id") is not None:
        changes["pipeline_id"] = next(s.pipeline_id for s in stages if s.stage_id == changes["stage_id"])
    elif changes.get("pipeline_id") not in (None, before.get("pipeline_id")):
        changes["stage_id"] = next(s.stage_id for s in living if s.pipeline_id == changes["pipeline_id"])
    moved = changes.get("stage_id") not in (None, before.get("stage_id"))
    if before and moved:
        changes["stage_change_time"] = iso(now_ms)
    if changes.get("status") not in (None, before.get("status", "open")):
        _complete_status(changes, iso(now_ms))
    if changes.get("is_archived") and not changes.get("archive_time"):
        changes["archive_time"] = iso(now_ms)
    elif changes.get("is_archived") is False:
        changes["archive_time"] = None


def _complete_status(changes: Values, now: str) -> None:
    status, day = changes["status"], now[:10]
    for state in ("won", "lost"):
        is_it = status == state
        changes[f"{state}_time"] = changes.get(f"{state}_time") or now if is_it else None
        changes[f"local_{state}_date"] = day if is_it else None
    closed = status in ("won", "lost")
    changes["close_time"] = changes.get("close_time") or now if closed else None
    changes["local_close_date"] = day if closed else None
    if status != "lost":
        changes["lost_reason"] = None


def complete_note(changes: Values, settings: Settings) -> None:
    """Sanitise what a note says, which is HTML."""
    if settings.sanitizes and isinstance(changes.get("content"), str):
        changes["content"] = sanitize(changes["content"])


def sanitize(text: str) -> str:
    """Take out what a page must not run, and put the rest in order as serialisers of HTML do."""
    for pattern in (_ACTIVE, _COMMENT, _HANDLER):
        text = pattern.sub("", text)
    return _BREAK.sub("<br />", _AMPERSAND.sub("&amp;", text)).strip()


def complete_activity(before: Mapping[str, Any], changes: Values, now_ms: int, settings: Settings) -> None:
    """Let the person follow the participants, and the time of being done the mark."""
    if settings.sanitizes and isinstance(changes.get("note"), str):
        changes["note"] = sanitize(changes["note"])
    if settings.trims and isinstance(changes.get("subject"), str):
        changes["subject"] = _SPACES.sub(" ", changes["subject"]).strip()
    if "participants" in changes:
        given: list[Values] = changes["participants"] or []
        listed: list[Values] = [dict(each) for each in given]
        primary = next((place for place, each in enumerate(listed) if each.get("primary")), 0)
        for place, each in enumerate(listed):
            each["primary"] = place == primary
        changes["participants"] = listed
        changes["person_id"] = listed[primary]["person_id"] if listed else None
    elif changes.get("person_id") is not None:
        changes["participants"] = [{"person_id": changes["person_id"], "primary": True}]
    if "done" in changes and bool(changes["done"]) != bool(before.get("done")):
        changes["marked_as_done_time"] = iso(now_ms) if changes["done"] else None
    for name in ("due_time", "duration"):
        if isinstance(changes.get(name), str):
            if changes[name].count(":") == 1:
                changes[name] += ":00"
            if settings.cuts_seconds:
                changes[name] = f"{changes[name][:-2]}00"
