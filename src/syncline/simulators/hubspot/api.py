"""What every handler of the API works with: the account, and who may do what. Knows no route."""

from __future__ import annotations

import random

from syncline.simulators.faults import Faults
from syncline.simulators.hubspot.answers import Request, object_missing, scope_missing, unknown_type
from syncline.simulators.hubspot.faults import KINDS
from syncline.simulators.hubspot.limits import Limits
from syncline.simulators.hubspot.objects import ObjectType
from syncline.simulators.hubspot.search import Searcher
from syncline.simulators.hubspot.sending import Sender
from syncline.simulators.hubspot.store import Store
from syncline.simulators.hubspot.world import World


class Api:
    """One account as seen through its API."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.limits = Limits(world.settings, world.now_ms)
        self.faults = Faults(world.seed, KINDS)
        self.webhooks = Sender(world)
        self._searchers: dict[str, Searcher] = {}
        self._correlation = random.Random(f"correlation {world.seed}")

    def correlation_id(self) -> str:
        digits = f"{self._correlation.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def kind(self, name: str) -> ObjectType:
        """Return the object type of a path segment. Raises `ApiError`."""
        found = self.world.types.find(name)
        if found is None:
            raise unknown_type(name)
        return found

    def open(self, request: Request, name: str, way: str) -> Store:
        """Return a type's records if the caller may "read" or "write" them. Raises `ApiError`."""
        kind = self.kind(name)
        self.require(request, f"crm.objects.{kind.scope}.{way}")
        return self.world.stores[kind.type_id]

    def open_schema(self, request: Request, name: str, way: str) -> Store:
        """Return a type if the caller may see or change its definitions. Raises `ApiError`."""
        kind = self.kind(name)
        wanted = [f"crm.schemas.{kind.scope}.{way}"]
        if way == "read":
            wanted.append(f"crm.objects.{kind.scope}.read")
        self.require(request, *wanted)
        return self.world.stores[kind.type_id]

    def require(self, request: Request, *scopes: str) -> None:
        """Insist on one of these scopes. Raises `ApiError` 403."""
        held = request.grant.scopes if request.grant else frozenset[str]()
        if not any(scope in held for scope in scopes):
            raise scope_missing(scopes)

    def searcher(self, kind: ObjectType) -> Searcher:
        found = self._searchers.get(kind.type_id)
        if found is None:
            world = self.world

            def associated(other: str, other_id: int) -> set[int]:
                return set(world.associated(self.kind(other).type_id, other_id, kind.type_id))

            found = Searcher(world.stores[kind.type_id], world.indexes[kind.type_id], associated)
            self._searchers[kind.type_id] = found
        return found


def record_id(text: object) -> int:
    """Read a record id. Raises `ApiError` 404 as for one that does not exist."""
    word = str(text)
    if not word.isascii() or not word.isdigit():
        raise object_missing(word)
    return int(word)
