"""What a burst of webhook events comes down to: which records are to be read again, each once.

Knows neither HTTP nor database. Events come twice, late and out of order, so that nothing is taken from their
order or their values: only that something may have become of a record.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from syncline.connectors.webhooks import WebhookEvent


@dataclass(slots=True)
class Hints:
    """What is to be looked at of one object."""

    #: To be read again, in the order in which they were first spoken of.
    changed: dict[str, None] = field(default_factory=dict[str, None])
    #: Said to be gone, by archive or by merge: believed of those that a reading does not find.
    gone: set[str] = field(default_factory=set[str])
    #: Said to be erased for privacy: likewise.
    erased: set[str] = field(default_factory=set[str])
    #: Other object → records whose associations with it are to be read again; "" stands for every object.
    associated: dict[str, set[str]] = field(default_factory=dict[str, set[str]])

    def associate(self, other: str, remote_id: str) -> None:
        self.associated.setdefault(other, set()).add(remote_id)


def objects_of(event: WebhookEvent) -> tuple[str, ...]:
    """Return the objects whose reading an event may lead to."""
    return (event.object,) if event.other is None else (event.object, event.other[0])


def gather_hints(
    events: Iterable[WebhookEvent], wanted: Collection[str], pairs: Collection[tuple[str, str]]
) -> dict[str, Hints]:
    """Return object → hints, without objects that are not `wanted`.

    An association is told from both sides; both come down to the one direction that `pairs` names, and what
    `pairs` does not name is not kept here.
    """
    found: dict[str, Hints] = {}
    for event in events:
        if event.object not in wanted or not event.remote_id:
            continue
        if event.kind == "associated":
            for name, other, remote_id in _directed(event, pairs):
                if name in wanted:
                    found.setdefault(name, Hints()).associate(other, remote_id)
            continue
        hints = found.setdefault(event.object, Hints())
        hints.changed[event.remote_id] = None
        if event.kind == "archived":
            hints.gone.add(event.remote_id)
        elif event.kind == "erased":
            hints.erased.add(event.remote_id)
        elif event.kind == "merged":
            hints.gone.update(each for each in event.merged_ids if each != event.remote_id)
    return found


def _directed(event: WebhookEvent, pairs: Collection[tuple[str, str]]) -> Iterable[tuple[str, str, str]]:
    """Yield (object, other object, id of the first) of an association, as `pairs` has it."""
    if event.other is None:
        yield event.object, "", event.remote_id
        return
    other, other_id = event.other
    if (event.object, other) in pairs:
        yield event.object, other, event.remote_id
    elif (other, event.object) in pairs and other_id:
        yield other, event.object, other_id
