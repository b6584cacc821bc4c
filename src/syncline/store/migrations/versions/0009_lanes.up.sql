-- Five lanes, highest first: a waiting person, webhooks, push, incremental, backfill. What is counted by lane
-- is an array in this order; `syncline.engine.lanes` has it, too.

-- What each process waits for, by lane and together. One that waits calls at least every second; after two
-- its wants count no more.
alter table sync.quota_holders add column wants integer[] not null default '{0,0,0,0,0}';
alter table sync.quota_holders add column wanted integer not null default 0;

-- How many slots higher lanes were given while a lane waited. See share_quota.
alter table sync.quota_buckets add column passed_over integer[] not null default '{0,0,0,0,0}';

-- When one of the lanes that somebody waits for (a person, webhooks, push) last asked for slots.
alter table sync.quota_buckets add column hurried_at timestamptz not null default '-infinity';

-- When calls were last counted, or headers last told of them.
alter table sync.quota_days add column counted_at timestamptz not null default '-infinity';

-- How many calls of the day had been used at a moment: about one row a minute while calls are made, of the
-- last hour and the one before that.
create unlogged table sync.quota_marks (
  platform    text not null,
  account_id  text not null,
  budget      text not null,
  marked_at   timestamptz not null,
  used        bigint not null,
  constraint quota_marks_pkey primary key (platform, account_id, budget, marked_at)
);
grant select, insert, update, delete on sync.quota_marks to syncline_app;
grant select on sync.quota_marks to syncline_reader;

-- Begins a new day where the old one has ended. Headers know when the account's own midnight is; without
-- them it is midnight UTC.
create function sync.turn_quota_day(inout d sync.quota_days, t timestamptz) language plpgsql stable as $$
begin
  if d.started_at < (case when d.stated then t - interval '25 hours'
                     else date_trunc('day', t, 'UTC') end) then
    d.started_at := date_trunc('day', t, 'UTC');
    d.ours := 0;
    d.used := 0;
  end if;
end $$;

-- Writes down how much of the day was used before the calls that are being counted, and after a pause also
-- how much it was when the pause began. `d` is the day with these calls, `before` without them.
create function sync.mark_quota_day(
  before sync.quota_days, d sync.quota_days, t timestamptz, calls integer
) returns void language plpgsql as $$
begin
  insert into sync.quota_marks (platform, account_id, budget, marked_at, used)
  select d.platform, d.account_id, d.budget, m.marked_at, m.used
  from (values (before.counted_at, before.used), (t, greatest(0, d.used - calls))) m (marked_at, used)
  where m.marked_at >= d.started_at and (m.marked_at = t or m.marked_at < t - interval '1 minute')
  on conflict on constraint quota_marks_pkey do nothing;
  -- The last one before the hour stays: what was used an hour ago lies between it and the next.
  delete from sync.quota_marks m
  where m.platform = d.platform and m.account_id = d.account_id and m.budget = d.budget
    and m.marked_at < (select max(o.marked_at) from sync.quota_marks o
                       where o.platform = d.platform and o.account_id = d.account_id and o.budget = d.budget
                         and o.marked_at <= t - interval '1 hour');
end $$;

create or replace function sync.count_quota_day(
  the_platform text, the_account text, the_budget text, t timestamptz, calls integer,
  day_calls bigint, day_remaining bigint, silent integer, daily_refusals integer
) returns sync.quota_days language plpgsql as $$
declare
  d sync.quota_days;
  before sync.quota_days;
begin
  select * into d from sync.quota_days q
  where q.platform = the_platform and q.account_id = the_account and q.budget = the_budget for update;
  if d.started_at < t - interval '24 hours' then
    d := sync.turn_quota_day(d, t);
  end if;
  before := d;
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
    if date_bin('1 minute', t, 'epoch') > d.counted_at or before.started_at <> d.started_at then
      perform sync.mark_quota_day(before, d, t, calls);
    end if;
    d.counted_at := t;
    update sync.quota_days q set started_at = d.started_at, ours = d.ours, used = d.used,
      max_calls = d.max_calls, stated = d.stated, silent_answers = d.silent_answers,
      refused_until = d.refused_until, counted_at = d.counted_at
    where q.platform = the_platform and q.account_id = the_account and q.budget = the_budget;
  end if;
  return d;
end $$;

-- How the day goes on at the pace of the last hour, or since it began: what will have been used at its end,
-- and until when it is enough, or was; null where it is enough for all of it. A tenth is kept for other tools
-- and is not counted on.
create function sync.forecast_quota_day(
  inout d sync.quota_days, t timestamptz,
  out ends_at timestamptz, out calls_per_hour double precision, out forecast bigint,
  out enough_until timestamptz
) language plpgsql stable as $$
declare
  since timestamptz;
  earlier sync.quota_marks;
  later sync.quota_marks;
  used_then double precision := 0;
  free bigint;
begin
  d := sync.turn_quota_day(d, t);
  ends_at := greatest(t, d.started_at + interval '24 hours');
  since := greatest(d.started_at, t - interval '1 hour');
  if since > d.started_at then
    select * into earlier from sync.quota_marks m
    where m.platform = d.platform and m.account_id = d.account_id and m.budget = d.budget
      and m.marked_at between d.started_at and since
    order by m.marked_at desc limit 1;
    select * into later from sync.quota_marks m
    where m.platform = d.platform and m.account_id = d.account_id and m.budget = d.budget
      and m.marked_at > since
    order by m.marked_at limit 1;
    later.marked_at := coalesce(later.marked_at, d.counted_at);
    later.used := coalesce(later.used, d.used);
    earlier.marked_at := coalesce(earlier.marked_at, d.started_at);
    earlier.used := coalesce(earlier.used, 0);
    used_then := later.used;
    if later.marked_at > since then
      used_then := earlier.used + (later.used - earlier.used) * extract(epoch from since - earlier.marked_at)
        / extract(epoch from later.marked_at - earlier.marked_at);
    end if;
  end if;
  calls_per_hour := greatest(0, d.used - used_then)
    / (extract(epoch from greatest(t - since, interval '1 minute')) / 3600);
  forecast := d.used + calls_per_hour * extract(epoch from ends_at - t) / 3600;
  free := greatest(0, floor(d.max_calls * 0.9) - d.used);
  if d.refused_until > t or d.max_calls is not null and free = 0 then
    enough_until := greatest(d.started_at, d.counted_at);
  elsif d.max_calls is not null and forecast - d.used > free then
    enough_until := t + make_interval(secs => 3600 * free / calls_per_hour);
  end if;
end $$;

-- Shares out `free` slots. `wants` is what the asking process waits for, `others` what all other processes
-- wait for, both by lane. The asking one gets what no process wants in a higher lane; in a lane, who comes
-- first is served first. The lowest lane leaves the last `kept` slots, so that who comes next waits less.
-- For every 19 slots that higher lanes are given while a lane waits, it has one coming, and this one goes
-- first: nobody waits for ever, and one slot in twenty is the price. `most` of them may come together.
create function sync.share_quota(
  free integer, kept integer, most integer, wants integer[], others integer[],
  inout passed_over integer[], out granted integer[]
) language plpgsql immutable as $$
declare
  lanes constant integer := cardinality(wants);
  unserved integer[] := others;
  above integer := 0;
  n integer;
begin
  granted := array_fill(0, array[lanes]);
  for lane in reverse lanes..2 loop
    n := least(passed_over[lane] / 19, wants[lane], free);
    granted[lane] := n;
    free := free - n;
    n := least(passed_over[lane] / 19 - n, others[lane], free);
    unserved[lane] := unserved[lane] - n;
    free := free - n;
  end loop;
  for lane in 1..lanes loop
    n := greatest(0, least(wants[lane] - granted[lane],
                           free - above - case lane when lanes then kept else 0 end));
    granted[lane] := granted[lane] + n;
    free := free - n;
    above := above + unserved[lane];
  end loop;
  above := 0;
  for lane in 1..lanes loop
    passed_over[lane] := case when wants[lane] > granted[lane] or others[lane] > 0
      then least(19 * most, greatest(0, passed_over[lane] + above - 19 * granted[lane])) else 0 end;
    above := above + granted[lane];
  end loop;
end $$;

-- Cuts down what was granted to what the day still allows. Only the first lane may touch the tenth that is
-- kept for other tools. Where it allows nothing, tells how long: for the first lane, and for the others.
create function sync.keep_quota_day(
  d sync.quota_days, t timestamptz, inout granted integer[], inout taken_ahead integer,
  out reserve_wait_ms bigint, out day_wait_ms bigint
) language plpgsql as $$
declare
  allowed bigint;
begin
  if d.max_calls is null and d.refused_until <= t then
    return;
  end if;
  if granted[1] > 0 then
    select x.allowed, x.wait_ms into allowed, reserve_wait_ms from sync.quota_day_allows(d, t, true) x;
    granted[1] := least(granted[1], allowed);
    if allowed <= 1 then
      d.probed_at := t;
    end if;
  end if;
  allowed := d.max_calls - ceil(d.max_calls * 0.1) - d.used;
  if 0 < any (granted[2:]) then
    select x.allowed, x.wait_ms into allowed, day_wait_ms from sync.quota_day_allows(d, t, false) x;
  end if;
  allowed := greatest(0, allowed - granted[1]);
  for lane in 2..cardinality(granted) loop
    granted[lane] := least(granted[lane], allowed);
    allowed := allowed - granted[lane];
  end loop;
  taken_ahead := least(taken_ahead, allowed);
end $$;

drop function sync.take_quota(text, text, text, uuid, integer, integer, integer, boolean, integer, integer[],
  integer[], integer, integer, integer, integer, integer, integer, integer, bigint, bigint, integer);

-- The governor. Reports what happened since the caller's last call and asks for the slots he waits for; see
-- store/quota.py for what the arguments mean. Returns no row when the bucket is unknown (then open it).
-- Every statement of a volatile function has its own snapshot, so the counts below see what the holder of
-- the lock before us wrote. Times are taken after the lock: now() would be from before the wait for it.
create function sync.take_quota(
  the_platform text, the_account text, the_bucket text, the_holder uuid,
  wants integer[], wanted integer, held integer, ahead integer, forget_after_ms integer,
  ages_ms integer[], refused_ages_ms integer[], close_ms integer, daily_refusals integer,
  stated_calls integer, stated_window_ms integer, remaining integer, fact_age_ms integer, silent integer,
  day_calls bigint, day_remaining bigint, day_silent integer
) returns table (granted integer[], taken_ahead integer, wait_ms integer, max_calls integer, window_ms integer,
                 on_trial boolean, unlimited boolean, reserve_wait_ms bigint, day_wait_ms bigint)
language plpgsql as $$
declare
  b sync.quota_buckets;
  before sync.quota_buckets;
  d sync.quota_days;
  t timestamptz;
  answers integer := cardinality(ages_ms) + cardinality(refused_ages_ms);
  no_slots constant integer[] := array_fill(0, array[cardinality(wants)]);
  left_waiting integer[];
  elsewhere integer[];
  wanted_elsewhere integer;
  out_now integer;
  cooling integer;
  oldest timestamptz;
  free integer;
  kept integer := 0;
  total integer := 0;
  n integer;
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

  insert into sync.quota_holders as h
  values (the_platform, the_account, the_bucket, the_holder, held, t, wants, wanted)
  on conflict on constraint quota_holders_pkey do update
    set held = excluded.held, seen_at = excluded.seen_at, wants = excluded.wants,
      wanted = excluded.wanted;
  -- Whoever has given no sign for so long is dead, and so are his calls.
  delete from sync.quota_holders h
  where h.platform = the_platform and h.account_id = the_account and h.bucket = the_bucket
    and h.seen_at < t - make_interval(secs => forget_after_ms / 1000.0);
  select coalesce(sum(h.held), 0), coalesce(sum(h.wanted) filter (
           where h.holder <> the_holder and h.seen_at > t - interval '2 seconds'), 0)
  into out_now, wanted_elsewhere
  from sync.quota_holders h
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
  free := case when b.max_calls is null then wanted + wanted_elsewhere + 4 * ahead
               else greatest(1, b.max_calls - sync.quota_others(b, t)) - out_now - cooling end;
  granted := no_slots;
  taken_ahead := 0;
  wait_ms := 0;
  if wants[1] + wants[2] + wants[3] > 0 and b.hurried_at < t - interval '1 second' then
    b.hurried_at := t;
  end if;
  if wanted > 0 then
    if t < b.closed_until then
      wait_ms := ceil(extract(epoch from b.closed_until - t) * 1000);
    elsif b.on_trial and b.trial_at > t - interval '30 seconds' and out_now > 0 then
      wait_ms := least(250, b.window_ms / 20 + 1);
    else
      if b.on_trial then
        free := least(free, 1);
      elsif b.hurried_at > t - make_interval(secs => b.window_ms / 1000.0) then
        kept := coalesce(b.max_calls, 0) / 50;
      end if;
      if wanted_elsewhere = 0 and wanted <= free - kept then
        granted := wants;
        b.passed_over := no_slots;
        total := wanted;
      else
        if wanted_elsewhere = 0 then
          elsewhere := no_slots;
        else
          select array[sum(h.wants[1]), sum(h.wants[2]), sum(h.wants[3]), sum(h.wants[4]), sum(h.wants[5])]::int[]
          into elsewhere
          from sync.quota_holders h
          where h.platform = the_platform and h.account_id = the_account and h.bucket = the_bucket
            and h.holder <> the_holder and h.seen_at > t - interval '2 seconds';
        end if;
        select x.passed_over, x.granted into b.passed_over, granted
        from sync.share_quota(greatest(0, free), kept, greatest(1, coalesce(b.max_calls, 0) / 20), wants,
                              elsewhere, b.passed_over) x;
        foreach n in array granted loop
          total := total + n;
        end loop;
      end if;
      if total = wanted and not b.on_trial
         and free - total - wanted_elsewhere > coalesce(b.max_calls, 0) / 2 then
        taken_ahead := least(ahead, (free - total - wanted_elsewhere) / 4);
      elsif total < wanted and (b.on_trial or free > total and wanted_elsewhere > 0) then
        -- There are more, and others are to have them first.
        wait_ms := least(250, b.window_ms / 20 + 1);
      elsif total < wanted then
        -- Without any call that is cooling, slots may still be given back unused at any time.
        wait_ms := case when oldest is null then least(1000, b.window_ms) else
          ceil(extract(epoch from oldest - t) * 1000) + b.window_ms + b.window_ms / 200 + 1 end;
        if b.others > 0 then
          wait_ms := least(wait_ms, b.window_ms / 20 + 1);
        end if;
      end if;
    end if;
    if total > 0 and (d.max_calls is not null or d.refused_until > t) then
      select x.granted, x.taken_ahead, x.reserve_wait_ms, x.day_wait_ms
      into granted, taken_ahead, reserve_wait_ms, day_wait_ms
      from sync.keep_quota_day(d, t, granted, taken_ahead) x;
      total := 0;
      foreach n in array granted loop
        total := total + n;
      end loop;
    end if;
    if total > 0 then
      left_waiting := no_slots;
      if total < wanted then
        for lane in 1..cardinality(wants) loop
          left_waiting[lane] := wants[lane] - granted[lane];
        end loop;
      end if;
      update sync.quota_holders h set held = h.held + total + taken_ahead, wants = left_waiting,
        wanted = h.wanted - total
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
      rate_limit_hits = b.rate_limit_hits, passed_over = b.passed_over, hurried_at = b.hurried_at
    where q.platform = the_platform and q.account_id = the_account and q.bucket = the_bucket;
  end if;
  max_calls := b.max_calls;
  window_ms := b.window_ms;
  on_trial := b.on_trial;
  unlimited := b.max_calls is null and d.max_calls is null and t >= d.refused_until and not b.on_trial;
  return next;
end $$;

-- They run with the rights of their caller, and these are the application's.
revoke all on function sync.turn_quota_day(sync.quota_days, timestamptz) from public;
revoke all on function sync.mark_quota_day(sync.quota_days, sync.quota_days, timestamptz, integer)
  from public;
revoke all on function sync.forecast_quota_day(sync.quota_days, timestamptz) from public;
revoke all on function sync.share_quota(integer, integer, integer, integer[], integer[], integer[])
  from public;
revoke all on function sync.keep_quota_day(sync.quota_days, timestamptz, integer[], integer) from public;
revoke all on function sync.take_quota(text, text, text, uuid, integer[], integer, integer, integer,
  integer, integer[], integer[], integer, integer, integer, integer, integer, integer, integer, bigint, bigint, integer)
  from public;
grant execute on function sync.turn_quota_day(sync.quota_days, timestamptz) to syncline_app;
grant execute on function sync.mark_quota_day(sync.quota_days, sync.quota_days, timestamptz, integer)
  to syncline_app;
grant execute on function sync.forecast_quota_day(sync.quota_days, timestamptz) to syncline_app;
grant execute on function sync.share_quota(integer, integer, integer, integer[], integer[], integer[])
  to syncline_app;
grant execute on function sync.keep_quota_day(sync.quota_days, timestamptz, integer[], integer)
  to syncline_app;
grant execute on function sync.take_quota(text, text, text, uuid, integer[], integer, integer, integer,
  integer, integer[], integer[], integer, integer, integer, integer, integer, integer, integer, bigint, bigint, integer)
  to syncline_app;
