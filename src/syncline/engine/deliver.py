"""Delivers notifications: expands roles to people, sends, tries again, and gives up in time.

At least once: what a process was just sending when it was killed is sent again a minute later, and nothing
else is. Knows the ways; what is told, and to whom, is written down by others.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import structlog

from syncline.clock import now
from syncline.config import Settings
from syncline.domain.alerts import roles_reached
from syncline.domain.callers import ROLES
from syncline.domain.sealing import Vault
from syncline.engine.deliver_channels import Sent, post_to_channel
from syncline.engine.mail import Letter, can_mail, send_mail
from syncline.engine.notify_http import Poster
from syncline.errors import RetryLater
from syncline.store import alerts, channels, memberships, notifications
from syncline.store.db import Database
from syncline.store.memberships import Person
from syncline.store.notifications import Due, Tried

LOOK_SECONDS = 1.0
#: For how long something may wait to be tried; attempts that fail have their number.
GIVEN_UP_AFTER = timedelta(hours=24)
MOST_TRIES = 15
CLAIM = timedelta(seconds=60)
#: How long an attempt may take: it is cut off while the claim still holds, with time to write that down.
_LONGEST_TRY = CLAIM - timedelta(seconds=15)
_NO_MAIL_AGAIN = timedelta(minutes=5)
_FIRST_DELAY_SECONDS = 5.0
_LONGEST_DELAY_SECONDS = 3600.0
#: Of one tenant. No more are claimed than are sent at once: what waits would outlast its claim.
_AT_ONCE = 2
#: Times `_AT_ONCE`, this is what a `Poster` has connections for.
_TENANTS_AT_ONCE = 10
_NO_MAIL = "No mail can be sent: SYNCLINE_SMTP_URL is not set."

#: Template → the page that tells more.
_PAGES = {"conflict": "/conflicts", "conflicts": "/conflicts", "drift": "/drift"}

_log = structlog.get_logger(__name__)


async def serve_notifications(db: Database, vault: Vault, settings: Settings, stop: asyncio.Event) -> None:
    """Deliver the notifications of all tenants until `stop`. Any number of processes may do so."""
    async with Poster(private=settings.webhooks_to_private_addresses) as poster:
        await Deliverer(db, vault, settings, poster).serve(stop)


class Deliverer:
    def __init__(self, db: Database, vault: Vault, settings: Settings, poster: Poster) -> None:
        self._db = db
        self._vault = vault
        self._settings = settings
        self._poster = poster
        self._tenants = asyncio.Semaphore(_TENANTS_AT_ONCE)

    async def serve(self, stop: asyncio.Event) -> None:
        """Serve each tenant by itself until `stop`: dead hooks of one delay none of the others."""
        serving: set[UUID] = set()

        async def serve_tenant(tenant_id: UUID) -> None:
            try:
                while not stop.is_set() and await self._serve_tenant(tenant_id):
                    pass
            finally:
                serving.discard(tenant_id)

        async with asyncio.TaskGroup() as tasks:
            while not stop.is_set():
                try:
                    for each in set(await self._list_tenants()) - serving:
                        serving.add(each)
                        tasks.create_task(serve_tenant(each))
                except Exception as error:  # noqa: BLE001 - whatever befell one look, the next one may do
                    _tell_failure(error)
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await stop.wait()

    async def deliver_due(self) -> int:
        """Try once some of what is due, of all tenants; returns how many that was, 0 when nothing is due."""
        found = await self._list_tenants()
        return sum(await asyncio.gather(*(self._serve_tenant(each) for each in found)))

    async def _list_tenants(self) -> list[UUID]:
        async with self._db.statement() as conn:
            return await notifications.list_tenants(conn, now())

    async def _serve_tenant(self, tenant_id: UUID) -> int:
        """Try once a little of what is due; returns how much. What fails is told, and keeps nobody else."""
        async with self._tenants:
            at = now()
            try:
                async with self._db.transaction(tenant_id=tenant_id) as conn:
                    due = await notifications.claim_due(
                        conn, tenant_id=tenant_id, now=at, until=at + CLAIM, limit=_AT_ONCE
                    )
            except Exception as error:  # noqa: BLE001 - one tenant's trouble must not silence the others
                _tell_failure(error, tenant_id)
                return 0
            done = await asyncio.gather(
                *(self._deliver(tenant_id, each) for each in due), return_exceptions=True
            )
            for one, failure in zip(due, done, strict=True):
                if failure is not None:
                    _tell_failure(failure, tenant_id, one.id)
            return len(due)

    async def _deliver(self, tenant_id: UUID, due: Due) -> None:
        try:
            async with asyncio.timeout(_LONGEST_TRY.total_seconds()):
                tried = await self._try(tenant_id, due)
        except TimeoutError:
            tried = _judge(due, Sent("There was no answer in time."))
        if tried is None:
            return
        async with self._db.transaction(tenant_id=tenant_id) as conn:
            await notifications.end_try(conn, due.id, tried, tenant_id=tenant_id, now=now())
        if tried.status == "failed":
            _log.warning(
                "notification_failed",
                tenant=str(tenant_id),
                notification=str(due.id),
                channel=due.channel,
                reason=tried.reason,
            )

    async def _try(self, tenant_id: UUID, due: Due) -> Tried | None:
        """Try once; None when others stand in its place now."""
        if _is_too_late(due):
            return Tried("failed", f"Given up after a day. {due.error_message or ''}".strip(), counts=False)
        if due.user_id is not None and (reason := await self._find_objection(tenant_id, due, due.user_id)):
            return Tried("failed", reason, counts=False)
        if due.channel == "email":
            return await self._try_mail(tenant_id, due)
        if due.channel == "sms":
            return Tried("failed", "Nothing here sends text messages.", counts=False)
        return _judge(due, await self._post(tenant_id, due))

    async def _find_objection(self, tenant_id: UUID, due: Due, user_id: UUID) -> str | None:
        """Say why somebody is not to be told after all: their role was taken apart a while ago."""
        async with self._db.transaction(tenant_id=tenant_id) as conn:
            person = await memberships.find_person(conn, user_id, tenant_id=tenant_id)
        if person is None or not person.is_active:
            return "They do not work here any more."
        if due.channel == "email" and not person.notify_email:
            return "They do not want mail any more."
        if due.channel == "slack" and not person.notify_slack:
            return "They do not want to be told in chats any more."
        return None

    async def _try_mail(self, tenant_id: UUID, due: Due) -> Tried | None:
        if not can_mail(self._settings):
            return Tried("pending", _NO_MAIL, now() + _NO_MAIL_AGAIN, counts=False)
        if due.recipient in ROLES:
            return await self._take_apart(tenant_id, due)
        letter = Letter(due.recipient, _line(due.subject), self._write(due))
        try:
            await send_mail(self._settings, letter)
        except RetryLater as error:
            return _judge(due, Sent(str(error)))
        except ValueError:
            return Tried("failed", "This is not an address that mail can be sent to.")
        return Tried("sent")

    async def _take_apart(self, tenant_id: UUID, due: Due) -> Tried | None:
        async with self._db.transaction(tenant_id=tenant_id) as conn:
            people = _members(await memberships.list_people(conn, tenant_id=tenant_id), due.recipient)
            members = [(each.id, each.email) for each in people if each.notify_email]
            if not members:
                return Tried("failed", f"Nobody with the role {due.recipient} wants mail.", counts=False)
            await notifications.take_apart(conn, due.id, members, tenant_id=tenant_id, now=now())
        return None

    async def _post(self, tenant_id: UUID, due: Due) -> Sent:
        async with self._db.transaction(tenant_id=tenant_id) as conn:
            channel = await channels.find(conn, due.channel, due.recipient, tenant_id=tenant_id)
            alert = (
                None if due.alert_id is None else await alerts.find(conn, due.alert_id, tenant_id=tenant_id)
            )
            called: list[str] = []
            if due.mention is not None:
                people = _members(await memberships.list_people(conn, tenant_id=tenant_id), due.mention)
                called = [each.slack_user_id for each in people if each.notify_slack and each.slack_user_id]
        if channel is None:
            return Sent("There is no such channel any more.", is_final=True)
        return await post_to_channel(
            self._poster, self._vault, channel, due, alert, link=self._link(due), called=called
        )

    def _link(self, due: Due) -> str | None:
        """Return where the matter is shown; None where this installation does not know its own address."""
        path = f"/alerts/{due.alert_id}" if due.alert_id is not None else _PAGES.get(due.template or "")
        return None if path is None or self._settings.public_url is None else self._settings.public_url + path

    def _write(self, due: Due) -> str:
        link = self._link(due)
        text = f"{due.body}\n" if link is None else f"{due.body}\n\n{link}\n"
        if self._settings.public_url is None:
            return text
        return f"{text}\nWhat you are told is set here: {self._settings.public_url}/account\n"


def _tell_failure(
    error: BaseException, tenant_id: UUID | None = None, notification_id: UUID | None = None
) -> None:
    about = {"tenant": tenant_id, "notification": notification_id}
    known = {name: str(value) for name, value in about.items() if value is not None}
    if isinstance(error, RetryLater):
        _log.warning("notifications_wait", reason=str(error), **known)
    else:
        _log.error("notifications_failed", error=type(error).__name__, **known)


def _members(people: list[Person], role: str) -> list[Person]:
    reached = roles_reached(role)
    return [each for each in people if each.is_active and each.role in reached]


def _is_too_late(due: Due) -> bool:
    """Tell whether nobody came to it for a day, or it could not be tried at all for one."""
    waits = due.retry_count == 0 and due.error_message is not None
    return now() > (due.created_at if waits else due.not_before) + GIVEN_UP_AFTER


def _judge(due: Due, sent: Sent) -> Tried:
    """Say what follows from an attempt: it is done, is tried again, or is given up."""
    if sent.error is None:
        return Tried("sent")
    if sent.is_final:
        return Tried("failed", sent.error)
    if due.retry_count + 1 >= MOST_TRIES:
        return Tried("failed", f"Given up after {MOST_TRIES} attempts. {sent.error}")
    longest = min(_LONGEST_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2 ** min(due.retry_count, 20))
    delay = random.uniform(longest / 2, longest)  # noqa: S311 - spreads, hides nothing
    return Tried("pending", sent.error, now() + timedelta(seconds=delay))


def _line(text: str) -> str:
    """Return a subject as one line: a line break in it would be a header of its own."""
    return " ".join(text.split()) or "A notification"
