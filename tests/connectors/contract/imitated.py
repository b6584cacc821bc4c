"""What the contract's tests ask of an imitated CRM: to be a connector's other side, changed behind its back.

A new connector brings one `Crm` and one line in `imitations`; the tests name no platform.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from syncline.connectors.base import Connector, Platform, RemoteObject
from syncline.connectors.registry import quotas_of
from syncline.connectors.transport import Request, Response, Token, Transport
from syncline.connectors.webhooks import Delivery
from syncline.errors import Unavailable

#: What can go wrong with every call: no service, an answer that is a page of a gateway's or breaks off in the
#: middle, a quota that is used up, a token that is none, one that may do nothing.
Failure = Literal["unavailable", "garbled", "truncated", "limited", "token", "forbidden"]

#: A word, a version, or nothing: of a path that begins with a slash.
_WORD = re.compile(r"|[A-Za-z][A-Za-z-]*|v[0-9]|20[0-9]{2}-[0-9]{2}")

SECRET = "a-secret-of-webhooks-0123456789"


@dataclass(frozen=True, slots=True)
class Way:
    """A way of reading all records that a connector may plan, and the variant of the CRM where it does."""

    variant: str
    object_name: str
    kind: Literal["list", "search", "serial"]


class Crm(ABC):
    """One account of an imitated CRM, and a connector to it as the engine would have one.

    Ids are as the connector tells them; objects have the names of `Capabilities.objects`. What the methods
    below change, colleagues change: it goes by no connector, is checked by nobody, and moves what it would
    move there.
    """

    platform: ClassVar[Platform]
    #: An object of which `add` can make thousands.
    crowded: ClassVar[str]
    #: More records than a page of `crowded` has, of whatever way it is read.
    crowd: ClassVar[int]
    #: Every way of reading everything that the connector may plan.
    ways: ClassVar[tuple[Way, ...]]
    #: Failures that this CRM can be brought to; a database, for one, has no quota to be used up.
    failures: ClassVar[tuple[Failure, ...]]
    #: Object → a property that can be emptied.
    emptied: ClassVar[Mapping[str, str]]
    #: Objects of which `archived_page` tells what `end` ended; others only by the absence of an id.
    lists_ended: ClassVar[frozenset[str]] = frozenset()
    #: Variant in which optional objects are missing; None where none is optional.
    bare: ClassVar[str | None] = None
    #: Object → properties of the default mapping that this imitation's account has not.
    lacks: ClassVar[Mapping[str, frozenset[str]]] = {}
    #: Object and property → the text to write, where any text of its kind will not do.
    particular: ClassVar[Mapping[tuple[str, str], str]] = {}

    def __init__(self, transport: Transport, token: Token, settings: Mapping[str, str] | None = None) -> None:
        self.transport = transport
        self.token = token
        self.settings = dict(settings or {})
        self.requests: list[Request] = []
        #: The object whose next record is made, but its answer lost on the way back.
        self._losing: tuple[str, set[str]] | None = None
        #: The object after whose next record no call gets through.
        self._breaking: tuple[str, set[str]] | None = None
        self.connector = self.fresh()

    def fresh(self) -> Connector:
        """Return another connector to the same account, which knows nothing of what the first has seen."""
        return self.platform.make(self.send, self.settings)

    async def send(self, request: Request) -> Response:
        """Send once, as a transport does; no retry hides what the connector makes of a failure."""
        self.requests.append(request)
        if self._breaking is not None and await self.living(self._breaking[0]) - self._breaking[1]:
            raise Unavailable("The connection broke.")
        response = await self.transport.send(request, self.token)
        if self._losing is not None:
            name, before = self._losing
            if await self.living(name) - before:
                self._losing = None
                raise Unavailable("The answer was lost on its way.")
        return response

    async def lose_the_answer_of_a_create(self, object_name: str) -> None:
        """From now on: once a record of the object has been made, nobody hears of it."""
        self._losing = object_name, await self.living(object_name)

    async def break_after_a_create(self, object_name: str) -> None:
        """From now on: once a record of the object has been made, no call gets through any more."""
        self._breaking = object_name, await self.living(object_name)

    def mend(self) -> None:
        """Let calls through again."""
        self._breaking = None

    @property
    def objects(self) -> tuple[RemoteObject, ...]:
        return self.platform.capabilities.objects

    def check_costs(self) -> None:
        """Every call goes into a bucket that is known, and costs no more than the bucket says."""
        dearest = {each.bucket: each.dearest for each in quotas_of(self.platform, self.settings)}
        for each in self.requests:
            assert each.bucket in dearest, f"{each.path} goes into {each.bucket}, which has no quota"
            assert 0 < each.cost <= dearest[each.bucket], f"{each.method} {each.path} costs {each.cost}"

    def check_templates(self) -> None:
        """What a call tells of its path is the same for all accounts; braces stand for the rest."""
        for each in self.requests:
            if not each.template:
                continue
            path, told = each.path.split("/"), each.template.split("/")
            assert len(path) == len(told), f"{each.template} does not stand for {each.path}"
            for part, word in zip(path, told, strict=True):
                assert word == part or re.fullmatch(r"\{\w*\}", word), each.template
                assert word != part or _WORD.fullmatch(word), f"{each.template} tells {part}"

    # -- what is there

    @abstractmethod
    async def living(self, object_name: str) -> set[str]:
        """Return the ids of all living records."""

    @abstractmethod
    def unknown_id(self, object_name: str) -> str:
        """Return an id of the form that ids have, of no record."""

    # -- what colleagues do

    @abstractmethod
    async def add(self, object_name: str, count: int = 1) -> list[str]:
        """Make records; return their ids in the order of the CRM's own."""

    @abstractmethod
    async def touch(self, object_name: str, remote_ids: Sequence[str]) -> None:
        """Change records at once: all have one and the same new modified time."""

    @abstractmethod
    async def end(self, object_name: str, remote_id: str) -> None:
        """Archive a record, or delete it, as a colleague would."""

    async def bring_back(self, object_name: str, remote_id: str) -> bool:
        """Take back what `end` did; False where the CRM cannot."""
        del object_name, remote_id
        return False

    async def unite(self, object_name: str, survivor_id: str, merged_id: str) -> str | None:
        """Merge two records; return the id that means both, None where the CRM does not merge."""
        del object_name, survivor_id, merged_id
        return None

    async def plant(self, object_name: str, text: str) -> str | None:
        """Make a record that holds a text; None where the CRM itself could never hold it."""
        del object_name, text
        return None

    # -- what it refuses

    @abstractmethod
    def spoiled(self, object_name: str, word: str) -> Mapping[str, str]:
        """Return properties that are refused for their content, with `word` in a value."""

    @abstractmethod
    def meeting(self, failure: Failure, word: str) -> AbstractAsyncContextManager[Connector]:
        """Let every call of a connector meet a failure. `word` is the token, where that is at fault."""

    def refusal(self, status: int, word: str) -> tuple[Mapping[str, str], bytes] | None:
        """Return headers and body of a refusal that quotes `word`; None for what is not reached by HTTP."""
        del status, word
        return None

    # -- what it tells

    async def deliveries(self, work: Callable[[], Awaitable[None]], count: int) -> list[Delivery]:
        """Have the CRM call for what `work` does; return its first `count` deliveries, made with `SECRET`."""
        raise NotImplementedError

    async def some_parents(self, object_name: str) -> dict[str, str]:
        """Return what a new record can belong to: object → the id of a living record."""
        others = [to for name, to in self.platform.capabilities.references if name == object_name]
        return {other: min(await self.living(other)) for other in others}

    async def names(self, object_name: str) -> list[str]:
        """Return the properties to ask for, as the engine would."""
        return [each.name for each in await self.connector.describe(object_name)]


@dataclass(frozen=True, slots=True)
class Imitation:
    """How an imitated CRM is opened; `variant` is one that the CRM knows, "" the usual one."""

    crm: type[Crm]
    open: Callable[[Any, str], AbstractAsyncContextManager[Crm]]

    @asynccontextmanager
    async def opened(self, server: Any, variant: str = "") -> AsyncGenerator[Crm]:
        """Open it for the length of a block, and hold what was sent against the quotas at its end."""
        async with self.open(server, variant) as crm:
            yield crm
            crm.check_costs()
            crm.check_templates()
