-- Quotas belong to an account at a CRM, not to a tenant: two tenants may share one account, and the
-- CRM counts them together. So there is no tenant_id here and no row-level security.
-- Unlogged: a counter is worth nothing after a crash that lost the calls it counted.

create unlogged table sync.quota_buckets (
  platform         text not null,
  account_id       text not null,
  bucket           text not null,
  -- Which row of quota_days its calls count to.
  budget           text not null,
  guess_calls      integer not null,
  guess_window_ms  integer not null,
  has_headers      boolean not null,
  -- Calls per window; null when the server states no limit and none was found.
  max_calls        integer,
  window_ms        integer not null,
  -- guess: configured; stated: by a header; found: by a 429; none: headers should be there and are not.
  source           text not null default 'guess',
  found_at         timestamptz,
  silent_answers   integer not null default 0,
  -- What others were last seen to use of the window, and when; counts for one window.
  others           integer not null default 0,
  others_at        timestamptz not null default '-infinity',
  closed_until     timestamptz not null default '-infinity',
  -- After a 429 one call at a time, until one of them got through.
  on_trial         boolean not null default false,
  trial_at         timestamptz,
  rate_limit_hits  bigint not null default 0,
  constraint quota_buckets_pkey primary key (platform, account_id, bucket),
  constraint quota_buckets_source check (source in ('guess', 'stated', 'found', 'none')),
  constraint quota_buckets_none_has_no_limit check ((source = 'none') = (max_calls is null)),
  constraint quota_buckets_positive check (max_calls > 0 and window_ms > 0)
) with (fillfactor = 50);

-- Slots out with one process: calls under way, and slots it took ahead.
create unlogged table sync.quota_holders (
  platform    text not null,
  account_id  text not null,
  bucket      text not null,
  holder      uuid not null,
  held        integer not null,
  seen_at     timestamptz not null,
  constraint quota_holders_pkey primary key (platform, account_id, bucket, holder)
) with (fillfactor = 50);

-- Answers of the last window, in steps of a two-hundredth of it, rounded up: never free too early.
create unlogged table sync.quota_answers (
  platform     text not null,
  account_id   text not null,
  bucket       text not null,
  answered_at  timestamptz not null,
  passed       integer not null,
  refused      integer not null default 0,
  constraint quota_answers_pkey primary key (platform, account_id, bucket, answered_at)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

create unlogged table sync.quota_days (
  platform        text not null,
  account_id      text not null,
  budget          text not null,
  started_at      timestamptz not null,
  -- Calls of ours, and of everybody as far as is known.
  ours            bigint not null default 0,
  used            bigint not null default 0,
  -- Null when there is no daily limit, or none is known.
  max_calls       bigint,
  -- True once a header has told; then headers also tell when the account's day begins.
  stated          boolean not null default false,
  silent_answers  integer not null default 0,
  refused_until   timestamptz not null default '-infinity',
  probed_at       timestamptz not null default '-infinity',
  constraint quota_days_pkey primary key (platform, account_id, budget)
) with (fillfactor = 50);

grant select, insert, update, delete on sync.quota_buckets, sync.quota_holders, sync.quota_answers,
  sync.quota_days to syncline_app;
grant select on sync.quota_buckets, sync.quota_holders, sync.quota_answers, sync.quota_days
  to syncline_reader;

-- Corrects what is known of a bucket's limit by the headers of the newest answer. `t` is now.
create function sync.correct_quota(
  inout b sync.quota_buckets, t timestamptz, held integer,
  stated_calls integer, stated_window_ms integer, remaining integer, fact_age_ms integer, silent integer
) language plpgsql as $$
declare
  ours integer;
begin
  if not b.has_headers then
    return;
  end if;
  if stated_calls > 0 then
    b.max_calls := stated_calls;
    b.window_ms := coalesce(nullif(stated_window_ms, 0), b.window_ms);
    b.source := 'stated';
    b.silent_answers := 0;
  elsif silent > 0 and b.source = 'guess' then
    b.silent_answers := b.silent_answers + silent;
    if b.silent_answers >= 3 then
      b.source := 'none';
      b.max_calls := null;
    end if;
  end if;
  if remaining is null or b.max_calls is null then
    return;
  end if;
  -- All that may have been ours when the header was written: what is out now, and what was answered
  -- later or within the window before. Counting rather too much here (a hundredth of the window, for clocks)
  -- never invents another user.
  select held + coalesce(sum(a.passed + a.refused), 0) into ours
  from sync.quota_answers a
  where a.platform = b.platform and a.account_id = b.account_id and a.bucket = b.bucket
    and a.answered_at > t - make_interval(secs => (b.window_ms * 1.01 + fact_age_ms) / 1000.0);
  b.others := greatest(0, b.max_calls - remaining - ours);
  -- Calls of ours that were still under way are counted as ours above, though the header may not know
  -- them yet. That is right while we are alone; beside another user it would let as many out too many.
  if b.others > b.max_calls * 0.05 then
    b.others := b.others + held;
  end if;
  b.others_at := t;
end $$;

-- What to leave to other users now: what they were last seen to use, until those calls left the window.
create function sync.quota_others(b sync.quota_buckets, t timestamptz) returns integer
language sql stable
return case when t < b.others_at + make_interval(secs => b.window_ms / 1000.0) then b.others else 0 end;

-- Closes a bucket after refusals (429): for as long as the server said, else until the oldest call of the
-- window has left it, else for a whole window when the last trial failed, too.
create function sync.close_quota(
  inout b sync.quota_buckets, t timestamptz, refusals integer, close_ms integer
) language plpgsql as $$
declare
  oldest timestamptz;
  got_through integer;
  pause interval := make_interval(secs => b.window_ms / 1000.0);
begin
  b.rate_limit_hits := b.rate_limit_hits + refusals;
  select min(a.answered_at), coalesce(sum(a.passed), 0) into oldest, got_through
  from sync.quota_answers a
  where a.platform = b.platform and a.account_id = b.account_id and a.bucket = b.bucket
    and a.answered_at > t - pause;
  -- The first refusal of a volley teaches the limit, unless a header states it.
  if b.source <> 'stated' and t >= b.closed_until then
    b.max_calls := greatest(1, least(b.max_calls - 1, greatest(b.max_calls / 2, got_through)));
    b.source := 'found';
    b.found_at := t;
  end if;
  if close_ms is not null then
    pause := make_interval(secs => close_ms / 1000.0);
  elsif not b.on_trial and oldest is not null then
    pause := greatest(oldest + pause - t, pause / 10);
  end if;
  b.closed_until := greatest(b.closed_until, t + pause);
  b.on_trial := true;
  b.trial_at := null;
end $$;

-- Keeps the account's day: adds calls, believes headers, begins a new day. Returns the row as stored.
create function sync.count_quota_day(
  the_platform text, the_account text, the_budget text, t timestamptz, calls integer,
  day_calls bigint, day_remaining bigint, silent integer, daily_refusals integer
) returns sync.quota_days language plpgsql as $$
declare
  d sync.quota_days;
  midnight timestamptz := date_trunc('day', t, 'UTC');
begin
  select * into d from sync.quota_days q
  where q.platform = the_platform and q.account_id = the_account and q.budget = the_budget for update;
  -- Headers know when the account's own midnight is; without them it is midnight UTC.
  if d.started_at < (case when d.stated then t - interval '25 hours' else midnight end) then
    d.started_at := midnight;
    d.ours := 0;
    d.used := 0;
  end if;
  d.ours := d.ours + calls;
  d.used := d.used + calls;
  if day_calls is not null and day_remaining is not null then
    if day_calls - day_remaining < d.used * 0.9 - 100 then
      d.started_at := t;
      d.ours := calls;
    end if;
    d.used := day_calls - day_remaining;
    d.max_calls := day_calls;
    d.stated := true;
  elsif silent > 0 and not d.stated and d.max_calls is not null then
    d.silent_answers := d.silent_answers + silent;
    if d.silent_answers >= 3 then
      d.max_calls := null;
    end if;
  end if;
  if daily_refusals > 0 then
    d.refused_until := t + interval '15 minutes';
  end if;
  if calls > 0 or day_calls is not null or daily_refusals > 0 or silent > 0 then
    update sync.quota_days q set started_at = d.started_at, ours = d.ours, used = d.used,
      max_calls = d.max_calls, stated = d.stated, silent_answers = d.silent_answers,
      refused_until = d.refused_until
    where q.platform = the_platform and q.account_id = the_account and q.budget = the_budget;
  end if;
  return d;
end $$;

-- How many calls the day still allows, and how long to wait when it is none. A tenth is kept for other
-- tools, which only `spends_reserve` may touch; one call a quarter of an hour looks whether a new day began.
create function sync.quota_day_allows(
  d sync.quota_days, t timestamptz, spends_reserve boolean, out allowed bigint, out wait_ms bigint
) language plpgsql as $$
declare
  kept bigint := case when spends_reserve then 0 else ceil(d.max_calls * 0.1) end;
begin
  allowed := d.max_calls - d.used - kept;
  if d.refused_until > t then
    allowed := 0;
    wait_ms := ceil(extract(epoch from d.refused_until - t) * 1000);
  elsif allowed <= 0 and d.probed_at > t - interval '15 minutes' then
    allowed := 0;
    wait_ms := ceil(extract(epoch from least(
      d.probed_at + interval '15 minutes' - t,
      date_trunc('day', t, 'UTC') + interval '1 day' - t)) * 1000);
  elsif allowed <= 0 then
    allowed := 1;
    update sync.quota_days q set probed_at = t
    where q.platform = d.platform and q.account_id = d.account_id and q.budget = d.budget;
  end if;
end $$;

-- The governor. Reports what happened since the caller's last call and asks for `wanted` slots; see
-- store/quota.py for what the arguments mean. Returns no row when the bucket is unknown (then open it).
-- Every statement of a volatile function has its own snapshot, so the counts below see what the holder of
-- the lock before us wrote. Times are taken after the lock: now() would be from before the wait for it.
create function sync.take_quota(
  the_platform text, the_account text, the_bucket text, the_holder uuid,
  wanted integer, held integer, ahead integer, spends_reserve boolean, forget_after_ms integer,
  ages_ms integer[], refused_ages_ms integer[], close_ms integer, daily_refusals integer,
  stated_calls integer, stated_window_ms integer, remaining integer, fact_age_ms integer, silent integer,
  day_calls bigint, day_remaining bigint, day_silent integer
) returns table (granted integer, wait_ms integer, max_calls integer, window_ms integer, on_trial boolean,
                 unlimited boolean, day_wait_ms bigint)
language plpgsql as $$
declare
  b sync.quota_buckets;
  before sync.quota_buckets;
  d sync.quota_days;
  day_allows bigint;
  t timestamptz;
  answers integer := cardinality(ages_ms) + cardinality(refused_ages_ms);
  out_now integer;
  cooling integer;
  oldest timestamptz;
  free integer;
begin
  set local synchronous_commit = off;
  select * into b from sync.quota_buckets q
  where q.platform = the_platform and q.account_id = the_account and q.bucket = the_bucket for update;
  if not found then
    return;
  end if;
  before := b;
  t := clock_timestamp();

  if answers > 0 then
    insert into sync.quota_answers as a
    select the_platform, the_account, the_bucket,
      date_bin(make_interval(secs => b.window_ms / 200000.0),
               t - make_interval(secs => x.age_ms / 1000.0), 'epoch')
        + make_interval(secs => b.window_ms / 200000.0) as at,
      count(*) filter (where x.passed), count(*) filter (where not x.passed)
    from (select age_ms, true as passed from unnest(ages_ms) age_ms
          union all select age_ms, false from unnest(refused_ages_ms) age_ms) x
    group by at
    on conflict on constraint quota_answers_pkey do update
      set passed = a.passed + excluded.passed, refused = a.refused + excluded.refused;
    delete from sync.quota_answers a
    where a.platform = the_platform and a.account_id = the_account and a.bucket = the_bucket
      and a.answered_at < t - make_interval(secs => b.window_ms / 1000.0 + 5);
  end if;
  d := sync.count_quota_day(the_platform, the_account, b.budget, t, answers, day_calls, day_remaining,
                            day_silent, daily_refusals);

  insert into sync.quota_holders as h values (the_platform, the_account, the_bucket, the_holder, held, t)
  on conflict on constraint quota_holders_pkey do update set held = excluded.held, seen_at = excluded.seen_at;
  -- Whoever has given no sign for so long is dead, and so are his calls.
  delete from sync.quota_holders h
  where h.platform = the_platform and h.account_id = the_account and h.bucket = the_bucket
    and h.seen_at < t - make_interval(secs => forget_after_ms / 1000.0);
  select coalesce(sum(h.held), 0) into out_now from sync.quota_holders h
  where h.platform = the_platform and h.account_id = the_account and h.bucket = the_bucket;

  b := sync.correct_quota(b, t, out_now, stated_calls, stated_window_ms, remaining, fact_age_ms, silent);
  if b.on_trial and t - make_interval(secs => (select min(x) from unnest(ages_ms) x) / 1000.0) > b.trial_at then
    b.on_trial := false;
  end if;
  if cardinality(refused_ages_ms) > 0 then
    b := sync.close_quota(b, t, cardinality(refused_ages_ms), close_ms);
  elsif b.source = 'found' and b.found_at < t - interval '10 minutes' then
    b.source := case when b.has_headers then 'none' else 'guess' end;
    b.max_calls := case when b.has_headers then null else b.guess_calls end;
  end if;

  select a.n, a.first_at into cooling, oldest
  from (select coalesce(sum(a.passed + a.refused), 0) as n, min(a.answered_at) as first_at
        from sync.quota_answers a
        where a.platform = the_platform and a.account_id = the_account and a.bucket = the_bucket
          and a.answered_at > t - make_interval(secs => b.window_ms / 1000.0)) a;
  free := case when b.max_calls is null then wanted + 4 * ahead
               else greatest(1, b.max_calls - sync.quota_others(b, t)) - out_now - cooling end;
  granted := 0;
  wait_ms := 0;
  if wanted > 0 then
    if t < b.closed_until then
      wait_ms := ceil(extract(epoch from b.closed_until - t) * 1000);
    elsif b.on_trial and b.trial_at > t - interval '30 seconds' and out_now > 0 then
      wait_ms := least(250, b.window_ms / 20 + 1);
    else
      granted := greatest(0, least(wanted, free, case when b.on_trial then 1 end));
      if granted = wanted and not b.on_trial and free - granted > coalesce(b.max_calls, 0) / 2 then
        granted := granted + least(ahead, (free - granted) / 4);
      end if;
      if granted < wanted then
        -- Without any call that is cooling, slots may still be given back unused at any time.
        wait_ms := case when oldest is null then least(1000, b.window_ms) else
          ceil(extract(epoch from oldest - t) * 1000) + b.window_ms + b.window_ms / 200 + 1 end;
        if b.others > 0 then
          wait_ms := least(wait_ms, b.window_ms / 20 + 1);
        end if;
      end if;
    end if;
    if granted > 0 and (d.max_calls is not null or d.refused_until > t) then
      select x.allowed, x.wait_ms into day_allows, day_wait_ms from sync.quota_day_allows(d, t, spends_reserve) x;
      granted := least(granted, coalesce(day_allows, granted));
    end if;
    if granted > 0 then
      update sync.quota_holders h set held = h.held + granted
      where h.platform = the_platform and h.account_id = the_account and h.bucket = the_bucket
        and h.holder = the_holder;
      if b.on_trial then
        b.trial_at := t;
      end if;
    end if;
  end if;

  if b is distinct from before then
    update sync.quota_buckets q set max_calls = b.max_calls, window_ms = b.window_ms, source = b.source,
      found_at = b.found_at, silent_answers = b.silent_answers, others = b.others, others_at = b.others_at,
      closed_until = b.closed_until, on_trial = b.on_trial, trial_at = b.trial_at,
      rate_limit_hits = b.rate_limit_hits
    where q.platform = the_platform and q.account_id = the_account and q.bucket = the_bucket;
  end if;
  max_calls := b.max_calls;
  window_ms := b.window_ms;
  on_trial := b.on_trial;
  unlimited := b.max_calls is null and d.max_calls is null and t >= d.refused_until and not b.on_trial;
  return next;
end $$;

-- They run with the rights of their caller, and these are the application's.
revoke all on all functions in schema sync from public;
grant execute on all functions in schema sync to syncline_app;
