"""What happens while somebody watches: records, runs, queue and conflicts, as far as they may know of them.

Runs in the process of whoever watches, and needs nothing of the one that causes it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from syncline.actions.hub import Hub
from syncline.domain.callers import Caller, Permission
from syncline.engine.feed import RELOAD, TOPICS, Event, Topic, feed_of, read_place, read_since
from syncline.engine.feed import Overtaken as _Overtaken
from syncline.errors import Invalid

__all__ = ["TOPICS", "Event", "Interest", "Topic", "subscribe"]

#: What somebody has to be allowed to hear of a topic.
_NEEDED: Mapping[Topic, Permission] = {
    "record": "records:read",
    "run": "syncs:read",
    "queue": "syncs:read",
    "conflicts": "syncs:read",
}
#: After so long without anything `subscribe` gives None, so that whoever sends it on can see who is gone.
SILENCE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Interest:
    """What somebody wants to hear of; nothing named means everything of the topics."""

    topics: Collection[Topic] = TOPICS
    record_types: Collection[str] = ()
    record_id: UUID | None = None
    run_id: UUID | None = None

    def wants(self, event: Event) -> bool:
        if event.kind == "reload":
            return "record" in self.topics
        if event.kind not in self.topics:
            return False
        if event.kind == "run":
            return self.run_id is None or event.data["id"] == str(self.run_id)
        change = event.change
        if change is None:
            return True
        if self.record_id is not None and change.record_id != self.record_id:
            return False
        return not self.record_types or change.record_type in self.record_types


async def subscribe(
    hub: Hub,
    caller: Caller,
    topics: Collection[Topic] = TOPICS,
    *,
    interest: Interest | None = None,
    after: str | None = None,
    silence_seconds: float = SILENCE_SECONDS,
) -> AsyncGenerator[Event | None]:
    """Yield what happens in the tenant from now on, or from behind the place `after`.

    None comes first, once nothing will be missed any more, and in silence.

    Each change is told at least once, within about a third of a second of its commit, and without values.
    A rep hears of no record that is another owner's. Ends when its reader is too slow: come back with the
    last `Event.place`. Close it (`aclosing`) when done. Raises `Forbidden`, and `Invalid` for no place.
    """
    wanted = interest or Interest(topics)
    if unknown := set(wanted.topics) - set(TOPICS):
        raise Invalid(f"There is no topic {min(unknown)!r}. There are: {', '.join(TOPICS)}.")
    for topic in wanted.topics:
        caller.require(_NEEDED[topic])
    if after is not None:
        read_place(after)
    async with feed_of(hub.db).watch(hub.tenant_id) as watcher:
        yield None
        told: set[str | None] = set()
        if after is not None:
            missed = await read_since(hub.db, hub.tenant_id, after)
            for event in [RELOAD] if missed is None else missed:
                told.add(event.place)
                if event.place != after and wanted.wants(event) and may_hear(caller, event):
                    yield event
        while True:
            try:
                event = await watcher.next(silence_seconds)
            except _Overtaken:
                return
            if event is None:
                yield None
            elif (
                wanted.wants(event)
                and may_hear(caller, event)
                and (event.place is None or event.place not in told)
            ):
                yield event


def may_hear(caller: Caller, event: Event) -> bool:
    """Tell whether somebody may know of an event: a rep of own and unassigned records only.

    Of a record that goes to somebody else whoever had it hears that once, for their lists to show it no more.
    """
    change = event.change
    if change is None or caller.sees_all:
        return True
    if change.record_type not in _OWNED:
        return True
    if change.has_moved and _may_see(caller, change.former_owner_id):
        return True
    return change.has_owner and _may_see(caller, change.owner_id)


def _may_see(caller: Caller, owner_id: UUID | None) -> bool:
    return owner_id is None or owner_id in caller.owner_ids


#: Kinds of records that belong to somebody; who the owners are is no secret.
_OWNED = frozenset(("company", "contact", "deal", "activity", "task"))
