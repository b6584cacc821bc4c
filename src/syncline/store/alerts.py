"""A tenant's alert rules as text, when they were last looked at, and the alerts that came of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from syncline.domain.alert_states import EndedBy, Standing, State
from syncline.domain.alerts import Severity
from syncline.errors import NotFound
from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class RuleText:
    """A tenant's own rules."""

    document: str
    changed_at: datetime
    changed_by: str


FIND_RULES = """
select document, changed_at, changed_by from app.alert_rules where tenant_id = %(tenant_id)s
"""


async def find_rules(conn: Conn, *, tenant_id: UUID) -> RuleText | None:
    """Return a tenant's own rules; None where the shipped ones hold."""
    async with conn.cursor(row_factory=class_row(RuleText)) as cursor:
        await cursor.execute(FIND_RULES, {"tenant_id": tenant_id})
        return await cursor.fetchone()


PUT_RULES = """
insert into app.alert_rules (tenant_id, document, changed_at, changed_by)
values (%(tenant_id)s, %(document)s, %(now)s, %(by)s)
on conflict (tenant_id) do update
  set document = excluded.document, changed_at = excluded.changed_at, changed_by = excluded.changed_by
"""


async def put_rules(conn: Conn, document: str, *, tenant_id: UUID, by: str, now: datetime) -> None:
    await conn.execute(PUT_RULES, {"tenant_id": tenant_id, "document": document, "by": by, "now": now})


DELETE_RULES = "delete from app.alert_rules where tenant_id = %(tenant_id)s"


async def delete_rules(conn: Conn, *, tenant_id: UUID) -> bool:
    """Let the shipped rules hold again; False where they do."""
    return (await conn.execute(DELETE_RULES, {"tenant_id": tenant_id})).rowcount == 1


BEGIN_LOOKS = """
insert into sync.alert_looks (tenant_id, looked_at) values (%(tenant_id)s, '-infinity')
on conflict (tenant_id) do nothing
"""
CLAIM_LOOK = """
with due as materialized (
  select tenant_id from sync.alert_looks
  where tenant_id = %(tenant_id)s and looked_at <= %(before)s
  for update skip locked)
update sync.alert_looks l set looked_at = %(now)s
from due
where l.tenant_id = %(tenant_id)s and due.tenant_id = l.tenant_id
"""


async def claim_look(conn: Conn, *, tenant_id: UUID, now: datetime, before: datetime) -> bool:
    """Take the right to look at a tenant's rules until the transaction ends.

    False when another looks now, or somebody has looked after `before`.
    """
    values = {"tenant_id": tenant_id, "now": now, "before": before}
    if (await conn.execute(CLAIM_LOOK, values)).rowcount == 1:
        return True
    await conn.execute(BEGIN_LOOKS, {"tenant_id": tenant_id})
    return (await conn.execute(CLAIM_LOOK, values)).rowcount == 1


@dataclass(frozen=True, slots=True)
class Alert:
    """One time that a rule held for one place."""

    id: UUID
    rule: str
    severity: Severity
    #: As it was when it began.
    condition: str
    metric: str
    #: None for the tenant as a whole.
    connection_id: UUID | None
    connection: str | None
    object: str
    state: State
    since_at: datetime
    opened_at: datetime | None
    clear_since: datetime | None
    closed_at: datetime | None
    ended_by: EndedBy | None
    value: float
    worst: float
    latest: float
    #: Recipients as `str` writes them.
    told: list[str]
    acknowledged_at: datetime | None
    acknowledged_by: str | None

    @property
    def place(self) -> str:
        """Return what it is about, for people; '' for the tenant as a whole."""
        return "/".join(each for each in (self.connection, self.object) if each)


_COLUMNS = """id, rule, severity, condition, metric, connection_id, connection, object, state, since_at,
  opened_at, clear_since, closed_at, ended_by, value, worst, latest, told, acknowledged_at, acknowledged_by"""

LIST_LIVE = (
    "select "
    + _COLUMNS
    + """ from sync.alerts
where tenant_id = %(tenant_id)s and state <> 'closed'
order by since_at, id"""
)


async def list_live(conn: Conn, *, tenant_id: UUID) -> list[Alert]:
    """Return the alerts that are not over, also those that nobody has been told of."""
    async with conn.cursor(row_factory=class_row(Alert)) as cursor:
        await cursor.execute(LIST_LIVE, {"tenant_id": tenant_id})
        return await cursor.fetchall()


LIST_PAGE = (
    "select "
    + _COLUMNS
    + """ from sync.alerts
where tenant_id = %(tenant_id)s and state <> 'waiting'
  and (%(state)s::text is null or state = %(state)s)
  and (%(before)s::timestamptz is null or (since_at, id) < (%(before)s, %(before_id)s::uuid))
order by since_at desc, id desc
limit %(limit)s"""
)


async def list_page(
    conn: Conn,
    *,
    tenant_id: UUID,
    state: State | None,
    limit: int,
    before: tuple[datetime, UUID] | None = None,
) -> list[Alert]:
    """Return alerts that somebody was told of, the latest first."""
    moment, row_id = before or (None, None)
    async with conn.cursor(row_factory=class_row(Alert)) as cursor:
        await cursor.execute(
            LIST_PAGE,
            {
                "tenant_id": tenant_id,
                "state": state,
                "before": moment,
                "before_id": row_id,
                "limit": limit,
            },
            prepare=False,
        )
        return await cursor.fetchall()


GET = "select " + _COLUMNS + " from sync.alerts where tenant_id = %(tenant_id)s and id = %(id)s"


async def find(conn: Conn, alert_id: UUID, *, tenant_id: UUID) -> Alert | None:
    async with conn.cursor(row_factory=class_row(Alert)) as cursor:
        await cursor.execute(GET, {"tenant_id": tenant_id, "id": alert_id})
        return await cursor.fetchone()


async def get(conn: Conn, alert_id: UUID, *, tenant_id: UUID) -> Alert:
    """Raises `NotFound`, also for one that nobody has been told of yet."""
    found = await find(conn, alert_id, tenant_id=tenant_id)
    if found is None or found.state == "waiting":
        raise NotFound("There is no such alert.")
    return found


INSERT = """
insert into sync.alerts (tenant_id, id, rule, severity, condition, metric, connection_id, connection, object,
  state, since_at, opened_at, value, worst, latest, told)
values (%(tenant_id)s, %(id)s, %(rule)s, %(severity)s, %(condition)s, %(metric)s, %(connection_id)s,
  %(connection)s, %(object)s, %(state)s, %(since_at)s, %(opened_at)s, %(value)s, %(worst)s, %(latest)s,
  %(told)s)
"""


async def insert(conn: Conn, alert: Alert, *, tenant_id: UUID) -> None:
    """Store a new alert. There must be none of its rule and place that is not over."""
    await conn.execute(
        INSERT,
        {
            "tenant_id": tenant_id,
            "id": alert.id,
            "rule": alert.rule,
            "severity": alert.severity,
            "condition": alert.condition,
            "metric": alert.metric,
            "connection_id": alert.connection_id,
            "connection": alert.connection,
            "object": alert.object,
            "state": alert.state,
            "since_at": alert.since_at,
            "opened_at": alert.opened_at,
            "value": alert.value,
            "worst": alert.worst,
            "latest": alert.latest,
            "told": alert.told,
        },
    )


UPDATE_MANY = """
update sync.alerts a set state = n.state, opened_at = n.opened_at, clear_since = n.clear_since,
  closed_at = n.closed_at, ended_by = n.ended_by, value = n.value, worst = n.worst, latest = n.latest,
  told = case when n.told = '' then a.told else string_to_array(n.told, E'\\n') end
from unnest(%(ids)s::uuid[], %(states)s::text[], %(opened)s::timestamptz[], %(clear)s::timestamptz[],
            %(closed)s::timestamptz[], %(ended_by)s::text[], %(values)s::float8[], %(worst)s::float8[],
            %(latest)s::float8[], %(told)s::text[])
  as n (id, state, opened_at, clear_since, closed_at, ended_by, value, worst, latest, told)
where a.tenant_id = %(tenant_id)s and a.id = n.id
"""


async def update_many(
    conn: Conn, changed: Sequence[tuple[UUID, Standing, Sequence[str]]], *, tenant_id: UUID
) -> None:
    """Store alerts as they stand now, each with who is told of its opening; none leaves that as it was."""
    standings = [each for _, each, _ in changed]
    await conn.execute(
        UPDATE_MANY,
        {
            "tenant_id": tenant_id,
            "ids": [alert_id for alert_id, _, _ in changed],
            "states": [each.state for each in standings],
            "opened": [each.opened_at for each in standings],
            "clear": [each.clear_since for each in standings],
            "closed": [each.closed_at for each in standings],
            "ended_by": [each.ended_by for each in standings],
            "values": [each.value for each in standings],
            "worst": [each.worst for each in standings],
            "latest": [each.latest for each in standings],
            "told": ["\n".join(told) for _, _, told in changed],
        },
    )


DROP_WAITING = """
delete from sync.alerts
where tenant_id = %(tenant_id)s and state = 'waiting' and id = any(%(ids)s::uuid[])
"""


async def drop_waiting(conn: Conn, alert_ids: Sequence[UUID], *, tenant_id: UUID) -> None:
    """Forget alerts that held for too short a time for anybody to be told."""
    await conn.execute(DROP_WAITING, {"tenant_id": tenant_id, "ids": list(alert_ids)})


ACKNOWLEDGE = """
update sync.alerts set acknowledged_at = %(now)s, acknowledged_by = %(by)s
where tenant_id = %(tenant_id)s and id = %(id)s and state = 'open' and acknowledged_at is null
"""


async def acknowledge(conn: Conn, alert_id: UUID, *, tenant_id: UUID, by: str, now: datetime) -> bool:
    """Write down who looks after an open alert; False when somebody does, or it is over."""
    values = {"tenant_id": tenant_id, "id": alert_id, "by": by, "now": now}
    return (await conn.execute(ACKNOWLEDGE, values)).rowcount == 1
