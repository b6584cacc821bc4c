"""What a CRM shows that may be ours, and the answer to its making is still out: left until that is known.

Only of objects whose records carry no id of ours. A webhook is often quicker than the answer to the call that
made the record; taken for a stranger, it would become a second record here. Who is making it decides whose it
is (`adopt`), and reads again what was left; so does every pull, in case nobody came to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from syncline.clock import from_ms
from syncline.connectors.base import Connector
from syncline.connectors.records import RemoteRecord
from syncline.connectors.writes import RemoteWrite
from syncline.domain.records import RecordType
from syncline.domain.writing import Writer
from syncline.engine.prepare import Prepared, list_unreadable, prepare_page
from syncline.store import creates, cursors, parents, sent
from syncline.store.creates import Unanswered
from syncline.store.db import Conn
from syncline.store.keys import ConnectionKeys, ObjectKeys

if TYPE_CHECKING:
    from syncline.engine.write import Target

#: Records in doubt that are looked at again at once: there is hardly ever one.
_AT_ONCE = 500


class Doubts:
    """Tells what may have been made by creates of one object of one connection whose answers are out."""

    def __init__(
        self,
        connector: Connector,
        recall: Callable[[str, bytes], RemoteRecord],
        kind: RecordType,
        writer: Writer,
        objects: Mapping[str, str],
        keys: ObjectKeys,
    ) -> None:
        self._connector = connector
        self._recall = recall
        self._kind = kind
        self._writer = writer
        self._keys = keys
        #: Column → object of what that refers to.
        self._objects = objects
        #: Remote ids that this run has left in doubt.
        self.left: set[str] = set()

    async def list_pending(self, conn: Conn) -> list[RemoteWrite]:
        """Return the creates whose answers are out, as they were sent.

        Ask before links are looked at: what is answered in between is linked by then.
        """
        pending = await creates.list_pending(conn, self._kind, **self._keys)
        return await self.rebuild(conn, pending)

    async def rebuild(self, conn: Conn, unanswered: Sequence[Unanswered]) -> list[RemoteWrite]:
        """Return creates as they were sent, from what was written down of them, by our ids as `external_id`.

        Where what one belongs to has been merged since there are two: nobody knows whether it went along.
        """
        sent_with = {each.record_id: self._read_references(each) for each in unanswered}
        named = sorted({place for each in sent_with.values() for place in each.items()})
        connection: ConnectionKeys = {
            "tenant_id": self._keys["tenant_id"],
            "connection_id": self._keys["connection_id"],
        }
        moved = await parents.list_successors(conn, named, **connection) if named else {}
        found: list[RemoteWrite] = []
        for one in unanswered:
            values = {name: each[1] for name, each in one.changes.items() if name in self._kind.content}
            key, references = str(one.record_id), sent_with[one.record_id]
            write = RemoteWrite(key, None, self._writer.write(values).properties, key, references)
            found.append(write)
            now_with = {name: moved.get((name, each), each) for name, each in references.items()}
            if now_with != references:
                found.append(replace(write, key=f"{key} as merged", references=now_with))
        return found

    def _read_references(self, one: Unanswered) -> dict[str, str]:
        """Return object → remote id of what one was sent together with."""
        return {
            self._objects[name]: str(each[1]) for name, each in one.changes.items() if name in self._objects
        }

    def find(self, pending: Sequence[RemoteWrite], strangers: Sequence[Prepared]) -> set[str]:
        """Return the remote ids of strangers that one of the creates may have made."""
        found: set[str] = set()
        for stranger in strangers if pending else ():
            if stranger.external_id is not None or stranger.mapped is None:
                continue
            record = self._recall(self._keys["object_name"], stranger.payload)
            likely = (
                self._connector.find_likeness(self._keys["object_name"], each, record) for each in pending
            )
            if any(each is not None for each in likely):
                found.add(stranger.remote_id)
        return found

    async def leave(
        self, target: Target, conn: Conn, strangers: Sequence[Prepared], in_doubt: set[str], at: datetime
    ) -> None:
        """Have what is in doubt read again later, as if it had not been read."""
        if not in_doubt:
            return
        self.left |= in_doubt
        unread = [
            (each.remote_id, None, from_ms(each.requested_ms))
            for each in strangers
            if each.remote_id in in_doubt
        ]
        await sent.outdate_payloads(conn, target.table, unread, **target.keys)
        state = dict.fromkeys(sorted(in_doubt), True)
        await cursors.put(conn, state, **target.cursor_keys(creates.IN_DOUBT), now=at)


async def take_up(target: Target, connector: Connector, names: Sequence[str]) -> None:
    """Read again what was left in doubt: what is known by now comes in, and what is not is left once more.

    Costs one look into the database where nothing was left. Raises `RetryLater`, `PauseConnection`.
    """
    doubts = target.doubts
    if doubts is None:
        return
    async with target.db.transaction(tenant_id=target.tenant_id) as conn:
        ids = await creates.list_doubts(conn, **target.object_keys, limit=_AT_ONCE)
        claims = await creates.list_claims(conn, ids, **target.object_keys) if ids else {}
    if not ids:
        return
    open_ = [each for each in ids if each not in claims]
    size = connector.capabilities.read_batch
    read: set[str] = set()
    for start in range(0, len(open_), size):
        page = await connector.read_many(target.object_name, open_[start : start + size], names)
        await target.commit(prepare_page(page, target.mapper), list_unreadable(page))
        read.update(each.remote_id for each in page.records)
    async with target.db.transaction(tenant_id=target.tenant_id) as conn:
        claims = await creates.list_claims(conn, ids, **target.object_keys)
        known = [each for each in ids if each in claims or each not in read or each not in doubts.left]
        await creates.forget_doubts(conn, known, **target.object_keys)
