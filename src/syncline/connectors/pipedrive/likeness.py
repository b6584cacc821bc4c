"""Whether a record is what a create made, by what it holds, where there is no room for our ids. Does no I/O.

Pipedrive sanitises HTML, trims, and may cut times to minutes: compared is what survives all that. What people
change without changing what it is (whose it is, whether it is done) and what Pipedrive looks up (an address)
is passed over.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache
from html.parser import HTMLParser
from typing import Any

from syncline.connectors.pipedrive.decode import parse_ms
from syncline.connectors.pipedrive.objects import ACTIVITIES, NOTES, REFERENCES, TASKS
from syncline.connectors.records import RemoteRecord
from syncline.connectors.writes import RemoteWrite

_MINUTE_MS = 60_000
#: What may differ. `add_time` is compared where what is asked of Pipedrive is known: see `finding`.
_FREE = frozenset({"owner_id", "user_id", "done", "busy", "location", "add_time"})
#: Texts that are compared also where nothing was sent: with one of them it is somebody else's.
_BODIES: Mapping[str, str] = {NOTES: "content", ACTIVITIES: "note", TASKS: "note"}
#: What a record can belong to; one that was made without must be without.
_PARENTS = ("deal_id", "person_id", "org_id", "lead_id", "project_id")


def find_likeness(object_name: str, write: RemoteWrite, record: RemoteRecord) -> frozenset[str] | None:
    """Return the properties in which a record holds what was sent; None where it is something else.

    It also belongs to what it was to belong to. Nearly all are told apart before any text is looked at.
    """
    held = record.properties
    if not _belongs_alike(object_name, write.references, held):
        return None
    sent = {name: text for name, text in write.properties.items() if text and name not in _FREE}
    alike = frozenset(sent)
    body = _BODIES[object_name]
    text = sent.pop(body, "")
    if object_name == ACTIVITIES:
        sent.setdefault("kind", "meeting")  # what is made of one that says nothing
    for name, value in sent.items():
        if not _COMPARERS.get(name, _same_text)(value, str(held.get(name) or "")):
            return None
    return alike if _same_html(text, str(held.get(body) or "")) else None


def _belongs_alike(object_name: str, references: Mapping[str, str], held: Mapping[str, Any]) -> bool:
    if not references:
        return not any(held.get(name) for name in _PARENTS)
    # Pipedrive may add to them: the organization of a person.
    wanted = ((REFERENCES[object_name, other][0], remote_id) for other, remote_id in references.items())
    return all(held.get(name) == remote_id for name, remote_id in wanted)


def _same_text(sent: str, held: str) -> bool:
    return sent == held or _squeeze(sent) == _squeeze(held)


def _same_html(sent: str, held: str) -> bool:
    """Compare what is left without tags and space, however the sent text is taken: as HTML or as it is."""
    return sent == held or _strip(held) in (_strip(sent), _squeeze(sent))


def _same_moment(sent: str, held: str) -> bool:
    return _near(parse_ms(sent), parse_ms(held))


def _same_duration(sent: str, held: str) -> bool:
    return _near(_number(sent), _number(held))


def _near(sent_ms: int | None, held_ms: int | None) -> bool:
    if sent_ms is None or held_ms is None:
        return sent_ms == held_ms
    return abs(sent_ms - held_ms) < _MINUTE_MS


def _number(text: str) -> int | None:
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        return None


_COMPARERS: Mapping[str, Callable[[str, str], bool]] = {
    "due_at": _same_moment,
    "happens_at": _same_moment,
    "duration_ms": _same_duration,
}


class _Words(HTMLParser):
    """Collects what a reader would see."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.seen: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style") and self._hidden > 0

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.seen.append(data)


@lru_cache(maxsize=256)  # one text is compared with many
def _strip(text: str) -> str:
    words = _Words()
    words.feed(text)
    words.close()
    return _squeeze("".join(words.seen))


def _squeeze(text: str) -> str:
    """Take out all space, and every difference that is none to the eye."""
    return "".join(unicodedata.normalize("NFKC", html.unescape(text)).split())
