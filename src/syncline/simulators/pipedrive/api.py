"""What every handler of the API works with: the company, and who may do what. Knows no route."""

from __future__ import annotations

from syncline.simulators.faults import Faults
from syncline.simulators.pipedrive.account import KEPT_DAYS, Actor
from syncline.simulators.pipedrive.answers import ApiError, Request, gone, missing, record_id
from syncline.simulators.pipedrive.faults import KINDS
from syncline.simulators.pipedrive.limits import Limits
from syncline.simulators.pipedrive.sending import Sender
from syncline.simulators.pipedrive.store import Record, Store
from syncline.simulators.pipedrive.values import CONTACT_SYNC
from syncline.simulators.pipedrive.world import World
from syncline.simulators.times import DAY_MS


class Api:
    """One company as seen through its API."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.limits = Limits(world.settings, world.now_ms)
        self.faults = Faults(world.seed, KINDS)
        self.webhooks = Sender(world)
        #: Conversion id → (UUID of the lead, id of the deal).
        self.conversions: dict[str, tuple[str, int]] = {}
        #: Addresses of webhooks on which nobody listens.
        self.unreachable: set[str] = set()

    def store(self, name: str) -> Store:
        """Return the records of a kind as the settings want them written."""
        found = self.world.stores[name]
        found.omits_empty = self.world.settings.omits_empty_custom_fields
        if name == "persons":
            found.more = tuple(CONTACT_SYNC) if self.world.settings.contact_sync else ()
        return found

    def actor(self, request: Request) -> Actor:
        return Actor(request.user_id, "api")

    def is_kept(self, record: Record) -> bool:
        """Tell whether a record can still be seen, deleted or not."""
        return record.deleted_ms is None or record.deleted_ms > self.world.now_ms() - KEPT_DAYS * DAY_MS

    def get(self, name: str, text: str) -> Record:
        """Return a record of a path for reading. Raises `ApiError` 404, and for a deleted one as set."""
        record = self.store(name).records.get(record_id(text))
        if record is None or not self.is_kept(record):
            raise missing()
        if record.deleted_ms is not None:
            match self.world.settings.get_deleted:
                case "404":
                    raise missing()
                case "410":
                    raise gone("Entity")
                case _:
                    pass
        return record

    def get_living(self, name: str, text: str) -> Record:
        """Return a record of a path for changing. Raises `ApiError` 404, 410."""
        record = self.store(name).records.get(record_id(text))
        if record is None or not self.is_kept(record):
            raise missing()
        if record.deleted_ms is not None:
            raise gone("Entity")
        return record

    def require_admin(self, request: Request) -> None:
        """Raises `ApiError` 403 for a user who may not change the company."""
        user = next((each for each in self.world.users if each.user_id == request.user_id), None)
        if user is None or not user.is_admin:
            raise ApiError(403, "Forbidden: admin rights are needed")
