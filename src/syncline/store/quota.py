"""Quotas of CRM accounts as all processes share them: slots taken, answers reported, limits as known.

Knows the functions of migrations 0002, 0009 and 0015. Rows belong to an account at a CRM, not to a tenant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket as configured: what holds until a header or a refusal has told better."""

    platform: str
    account_id: str
    name: str
    #: Name of the daily budget that its calls count to.
    budget: str
    calls: int
    window_ms: int
    has_headers: bool
    #: In units of the budget, as `dearest` is: the most that one call costs.
    daily_calls: int | None
    dearest: int = 1


OPEN_BUCKET = """
with day as (
  insert into sync.quota_days (platform, account_id, budget, started_at, max_calls)
  values (%(platform)s, %(account_id)s, %(budget)s, date_trunc('day', now(), 'UTC'), %(daily_calls)s)
  on conflict on constraint quota_days_pkey do update
    set max_calls = coalesce(excluded.max_calls, quota_days.max_calls)
    where not quota_days.stated and quota_days.silent_answers < 3)
insert into sync.quota_buckets as b (platform, account_id, bucket, budget, guess_calls, guess_window_ms,
  has_headers, max_calls, window_ms)
values (%(platform)s, %(account_id)s, %(name)s, %(budget)s, %(calls)s, %(window_ms)s, %(has_headers)s,
  %(calls)s, %(window_ms)s)
on conflict on constraint quota_buckets_pkey do update
  set budget = excluded.budget, guess_calls = excluded.guess_calls,
    guess_window_ms = excluded.guess_window_ms, has_headers = excluded.has_headers,
    max_calls = case b.source when 'guess' then excluded.guess_calls else b.max_calls end,
    window_ms = case b.source when 'guess' then excluded.guess_window_ms else b.window_ms end
  where (b.budget, b.guess_calls, b.guess_window_ms, b.has_headers)
    is distinct from (excluded.budget, excluded.guess_calls, excluded.guess_window_ms, excluded.has_headers)
"""


async def open_bucket(conn: Conn, bucket: Bucket) -> None:
    """Make the bucket known. Idempotent; what headers or refusals have taught is kept."""
    await conn.execute(OPEN_BUCKET, asdict(bucket))


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What happened in one process since it last called. Ages are milliseconds before the call."""

    passed_ages_ms: list[int]
    #: Answers that refused the call because the quota was used up (429).
    refused_ages_ms: list[int]
    #: What these answers took of the day's budget.
    spent: int
    #: How long the server said to wait after a refusal; None when it did not say.
    close_ms: int | None = None
    daily_refusals: int = 0
    #: The newest headers, and their age; None where they were silent.
    stated_calls: int | None = None
    stated_window_ms: int | None = None
    remaining: int | None = None
    fact_age_ms: int = 0
    day_calls: int | None = None
    day_remaining: int | None = None
    #: Good answers without a header for the window, and without one for the day.
    silent: int = 0
    day_silent: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """What `take` gave."""

    #: By lane, highest first; never more than the lane wanted.
    granted: list[int]
    #: Slots beyond what was wanted.
    taken_ahead: int
    #: When fewer than wanted were granted: when to ask again at the earliest.
    wait_ms: int
    window_ms: int
    max_calls: int | None
    #: One call at a time until one has got through after a refusal.
    on_trial: bool
    #: There is no limit of any kind: calls need not be asked for, only reported.
    unlimited: bool
    #: The daily budget stops the first lane for so long, and the other lanes; None when it does not.
    reserve_wait_ms: int | None
    day_wait_ms: int | None


TAKE = """
select granted, taken_ahead, wait_ms, window_ms, max_calls, on_trial, unlimited, reserve_wait_ms, day_wait_ms
from sync.take_quota(
  %(platform)s, %(account_id)s, %(bucket)s, %(holder)s, %(wants)s::int[], %(wanted)s, %(held)s, %(ahead)s,
  %(forget_after_ms)s, %(passed_ages_ms)s::int[], %(refused_ages_ms)s::int[], %(spent)s,
  %(close_ms)s, %(daily_refusals)s, %(stated_calls)s, %(stated_window_ms)s, %(remaining)s,
  %(fact_age_ms)s, %(silent)s, %(day_calls)s, %(day_remaining)s, %(day_silent)s, %(dearest)s)
"""


async def take(
    conn: Conn,
    bucket: Bucket,
    report: Report,
    *,
    holder: UUID,
    wants: Sequence[int],
    held: int,
    ahead: int = 0,
    forget_after_ms: int = 120_000,
) -> Grant | None:
    """Report and ask for slots in one round trip; None when the bucket must be opened (again) first.

    `wants` is how many the holder waits for in each of the five lanes, highest first. A lower lane gets only
    what no holder wants in a higher one, but for every twentieth slot; the wants of a holder who has not
    called for two seconds count no more. Only the first lane is given the day's last tenth.
    `held` is what the holder has after the reported answers: calls under way and slots taken ahead. It is
    absolute, so that a lost answer of ours heals by itself; a holder therefore never has two calls of this
    running. `ahead` are slots he would take beyond `wanted` while the bucket is mostly free. A holder who
    has not called for `forget_after_ms` is taken for dead.
    """
    parameters = asdict(report) | {
        "platform": bucket.platform,
        "account_id": bucket.account_id,
        "bucket": bucket.name,
        "holder": holder,
        "wants": list(wants),
        "wanted": sum(wants),
        "held": held,
        "ahead": ahead,
        "forget_after_ms": forget_after_ms,
        "dearest": bucket.dearest,
    }
    async with conn.cursor(row_factory=class_row(Grant)) as cursor:
        await cursor.execute(TAKE, parameters)
        return await cursor.fetchone()


@dataclass(frozen=True, slots=True)
class Usage:
    """How far one bucket of an account and its daily budget are used."""

    bucket: str
    budget: str
    #: Calls of ours in the window, under way included, and what others were last seen to use.
    used: int
    others: int
    #: None when the server states no limit.
    limit: int | None
    window_ms: int
    #: Where the limit comes from: guess, stated, found or none.
    source: str
    closed_until: datetime | None
    rate_limit_hits: int
    day_started_at: datetime
    day_ends_at: datetime
    #: Calls since the day began: of ours, and of everybody as far as headers told.
    day_ours: int
    day_used: int
    day_limit: int | None
    #: Everybody's calls per hour: in the last one, or since the day began when it is younger.
    day_pace: float
    #: What everybody will have used at the day's end, going on at this pace.
    day_forecast: int
    #: When the day's budget, less the tenth kept for other tools, will be used up at this pace: all work for
    #: which nobody waits stops then. In the past when it is used up, None when it lasts until the day's end.
    day_enough_until: datetime | None


LIST_USAGE = """
select b.bucket, b.budget,
  (coalesce((select sum(a.passed + a.refused) from sync.quota_answers a
             where a.platform = b.platform and a.account_id = b.account_id and a.bucket = b.bucket
               and a.answered_at > now() - make_interval(secs => b.window_ms / 1000.0)), 0)
   + coalesce((select sum(h.held) from sync.quota_holders h
               where h.platform = b.platform and h.account_id = b.account_id and h.bucket = b.bucket
                 and h.seen_at > now() - interval '2 minutes'), 0))::int as used,
  sync.quota_others(b, now()) as others, b.max_calls as "limit", b.window_ms, b.source,
  case when b.closed_until > now() then b.closed_until end as closed_until, b.rate_limit_hits,
  (f.d).started_at as day_started_at, f.ends_at as day_ends_at, (f.d).ours as day_ours,
  (f.d).used as day_used, (f.d).max_calls as day_limit,
  round(f.calls_per_hour::numeric, 1)::float8 as day_pace,
  f.forecast as day_forecast, f.enough_until as day_enough_until
from sync.quota_buckets b
join sync.quota_days d on d.platform = b.platform and d.account_id = b.account_id and d.budget = b.budget
cross join lateral sync.forecast_quota_day(d, now()) f
where b.platform = %(platform)s and b.account_id = %(account_id)s
order by b.bucket
"""


async def list_usage(conn: Conn, *, platform: str, account_id: str) -> list[Usage]:
    """Return the state of every bucket of an account, by name."""
    async with conn.cursor(row_factory=class_row(Usage)) as cursor:
        await cursor.execute(LIST_USAGE, {"platform": platform, "account_id": account_id})
        return await cursor.fetchall()
