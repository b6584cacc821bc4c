"""What search can see: the records as they were `index_lag` seconds ago. Knows no filters."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Searched(Protocol[R_co]):
    """The records of one kind, as far as searching them goes."""

    #: Grows with every change.
    version: int

    @property
    def records(self) -> Mapping[int, R_co]: ...

    @property
    def living(self) -> Sequence[int]: ...

    def find_living(self, record_id: int) -> R_co | None: ...


class SearchIndex(Generic[R]):
    """A view of a store in which changes show up late. While nothing lags it is the store itself."""

    def __init__(self, store: Searched[R], now_ms: Callable[[], int]) -> None:
        self._store = store
        self._now_ms = now_ms
        #: Record id → the state search still sees (None: nothing yet), and how many changes are under way.
        self._behind: dict[int, R | None] = {}
        self._waiting: dict[int, int] = {}
        self._queue: deque[tuple[int, int]] = deque()
        self._states: dict[int, deque[R | None]] = {}
        self.version = 0

    def before_change(self, record_id: int, lag_seconds: float) -> None:
        """To be called before each change of a record."""
        if lag_seconds <= 0 and record_id not in self._waiting:
            return
        visible = self._store.find_living(record_id)
        if record_id not in self._waiting:
            self._waiting[record_id] = 0
            self._behind[record_id] = visible
            self._states[record_id] = deque()
        else:
            self._states[record_id].append(visible)
        self._waiting[record_id] += 1
        due_ms = self._now_ms() + int(lag_seconds * 1000)
        # A lag that was lowered meanwhile must not let a change overtake an earlier one.
        if self._queue:
            due_ms = max(due_ms, self._queue[-1][0]) if lag_seconds > 0 else due_ms
        self._queue.append((due_ms, record_id))
        self.version += 1

    def list_visible(self) -> list[R]:
        """Return the records search sees now, ids ascending."""
        self._catch_up()
        records = self._store.records
        if not self._behind:
            return [records[record_id] for record_id in self._store.living]
        seen = {record_id: records[record_id] for record_id in self._store.living}
        for record_id, record in self._behind.items():
            if record is None:
                seen.pop(record_id, None)
            else:
                seen[record_id] = record
        return [seen[record_id] for record_id in sorted(seen)]

    def state(self) -> tuple[int, int]:
        """Return something that differs whenever `list_visible` may."""
        self._catch_up()
        return (self._store.version, self.version)

    def _catch_up(self) -> None:
        now = self._now_ms()
        while self._queue and self._queue[0][0] <= now:
            _, record_id = self._queue.popleft()
            self._waiting[record_id] -= 1
            self.version += 1
            states = self._states[record_id]
            if states:
                self._behind[record_id] = states.popleft()
            else:
                del self._waiting[record_id], self._behind[record_id], self._states[record_id]
