"""Where answers are kept: in this process, or sealed in a Redis that several processes share.

Knows keys and bytes, and neither what they mean nor when they hold: that is `caching`'s.
"""

from __future__ import annotations

import asyncio
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable
from importlib.util import find_spec
from typing import Protocol

import structlog
from cashews import Cache
from cashews.exceptions import CacheBackendInteractionError

from syncline.config import Settings
from syncline.domain.sealing import Vault
from syncline.errors import SettingInvalid

_log = structlog.get_logger(__name__)

#: Nothing larger is kept: it would push a thousand others out.
MOST_BYTES_EACH = 1_000_000
#: What has expired is dropped from memory no later than so long after, also where nobody asks for anything.
SWEEP_SECONDS = 60.0
#: A Redis that did not answer is asked again after so long.
_AWAY_SECONDS = 5.0
#: To ask Redis must not take longer than to do without.
_REDIS_TIMEOUT_SECONDS = 0.5
#: No bound of its own beside ours, which is in bytes.
_ANY_NUMBER = 1 << 40


class Store(Protocol):
    """Keeps bytes by a key until their time is over, or until room is needed. Never raises for being away."""

    async def find(self, key: str) -> bytes | None: ...

    async def keep(self, key: str, value: bytes, seconds: float) -> None: ...

    async def close(self) -> None: ...


class InMemory:
    """In this process: at most so many bytes, of which the longest unused go first."""

    def __init__(self, most_bytes: int) -> None:
        self._cache = Cache()
        # No task of its own that walks over all each second.
        self._cache.setup("mem://", size=_ANY_NUMBER, check_interval=0)
        self._most_bytes = most_bytes
        #: Key → how many bytes, and until when; the longest unused first.
        self._known: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._bytes = 0
        self._alarm: asyncio.TimerHandle | None = None
        self._sweeping: asyncio.Task[None] | None = None

    @property
    def bytes(self) -> int:
        return self._bytes

    async def find(self, key: str) -> bytes | None:
        found: bytes | None = await self._cache.get(key)
        if found is None:
            self._forget(key)
        else:
            self._known.move_to_end(key)
        return found

    async def keep(self, key: str, value: bytes, seconds: float) -> None:
        size = len(key) + len(value)
        if len(value) > MOST_BYTES_EACH or size > self._most_bytes:
            return
        self._forget(key)
        await self._cache.set(key, value, expire=seconds)
        self._known[key] = size, time.monotonic() + seconds
        self._bytes += size
        while self._bytes > self._most_bytes:
            await self._drop(next(iter(self._known)))
        self._set_alarm()

    def _set_alarm(self) -> None:
        if self._alarm is None and self._known:
            self._alarm = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._sweeping = asyncio.create_task(self._sweep())

    async def _sweep(self) -> None:
        """Drop what has expired: nobody will ask for it, and it may be about persons."""
        now = time.monotonic()
        for key in [key for key, (_, until) in self._known.items() if until < now]:
            await self._drop(key)
        self._set_alarm()

    async def _drop(self, key: str) -> None:
        self._forget(key)
        await self._cache.delete(key)

    def _forget(self, key: str) -> None:
        self._bytes -= self._known.pop(key, (0, 0.0))[0]

    async def close(self) -> None:
        self._known.clear()
        self._bytes = 0
        if self._alarm is not None:
            self._alarm.cancel()
        if self._sweeping is not None:
            await asyncio.wait([self._sweeping])
        await self._cache.close()


class InRedis:
    """In a Redis, sealed with the installation's key: whoever gets at it learns and changes nothing.

    While it is away there is no cache; that is said once.
    """

    def __init__(self, url: str, vault: Vault) -> None:
        self._cache = Cache()
        self._cache.setup(
            url,
            suppress=False,
            check_repr=False,
            # Never unpickled by cashews: that would be done before it is known whether we have sealed it.
            pickle_type="null",
            socket_timeout=_REDIS_TIMEOUT_SECONDS,
            socket_connect_timeout=_REDIS_TIMEOUT_SECONDS,
            wait_for_connection_timeout=_REDIS_TIMEOUT_SECONDS,
            max_connections=20,
        )
        self._vault = vault
        self._away_until = 0.0
        self._is_away = False

    async def find(self, key: str) -> bytes | None:
        if time.monotonic() < self._away_until:
            return None
        try:
            sealed: object = await self._cache.get(key)
        except CacheBackendInteractionError as error:
            self._note_away(error)
            return None
        self._note_back()
        # What somebody else wrote there may come as a number.
        return self._open(key, sealed) if isinstance(sealed, bytes) else None

    async def keep(self, key: str, value: bytes, seconds: float) -> None:
        if len(value) > MOST_BYTES_EACH or time.monotonic() < self._away_until:
            return
        sealed = self._vault.seal(key.encode() + b"\n" + value)
        try:
            await self._cache.set(key, sealed, expire=seconds)
        except CacheBackendInteractionError as error:
            self._note_away(error)

    def _open(self, key: str, sealed: bytes) -> bytes | None:
        """Return what was kept under this very key; None for what was not sealed by us."""
        try:
            named, _, value = self._vault.open(sealed).partition(b"\n")
        except SettingInvalid:
            return None
        return value if named == key.encode() else None

    def _note_away(self, error: CacheBackendInteractionError) -> None:
        self._away_until = time.monotonic() + _AWAY_SECONDS
        if not self._is_away:
            self._is_away = True
            _log.warning("cache_away", reason=type(error.__cause__ or error).__name__)

    def _note_back(self) -> None:
        if self._is_away:
            self._is_away = False
            _log.info("cache_back")

    async def close(self) -> None:
        with warnings.catch_warnings():
            # cashews 7.6 closes its client by a name that redis 5 gave up.
            warnings.simplefilter("ignore", DeprecationWarning)
            await self._cache.close()


def open_store(settings: Settings, vault: Callable[[], Vault]) -> Store | None:
    """Return where answers are kept as the settings say; None where they are not. Connects to nothing yet.

    Raises `SettingInvalid` when Redis is configured and its client is not installed.
    """
    if settings.redis_url is not None:
        _require_client()
        return InRedis(settings.redis_url.get_secret_value(), vault())
    return InMemory(settings.cache_mb * 1_000_000) if settings.cache_mb else None


def _require_client() -> None:
    if find_spec("redis") is None:
        raise SettingInvalid(
            "SYNCLINE_REDIS_URL is set, and the client for Redis is not installed. "
            "Install it with `pip install 'syncline[redis]'`, or unset the variable."
        )
