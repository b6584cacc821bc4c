-- A day's budget is counted in units: calls, or tokens where one call costs more of them than another. What is
-- let out is taken to cost as much as the dearest call of its bucket until its answer says what it did cost, so
-- that no budget is overrun by calls that are under way at once.

drop function sync.take_quota(text, text, text, uuid, integer[], integer, integer, integer,
  integer, integer[], integer[], integer, integer, integer, integer, integer, integer, integer, bigint, bigint, integer);
drop function sync.keep_quota_day(sync.quota_days, timestamptz, integer[], integer);
drop function sync.quota_day_allows(sync.quota_days, timestamptz, boolean);

-- How many calls the day still allows, `under_way` of all its buckets being out; where it allows none because it
-- is used up, tells how long, and lets one through every 15 minutes to see.
create function sync.quota_day_allows(
  d sync.quota_days, t timestamptz, spends_reserve boolean, dearest integer, under_way bigint,
  out allowed bigint, out wait_ms bigint
) language plpgsql as $$
declare
  rest bigint := (d.max_calls - d.used - case when spends_reserve then 0 else ceil(d.max_calls * 0.1) end)
                 / dearest;
begin
  allowed := greatest(0, rest - under_way);
  if d.refused_until > t then
    allowed := 0;
    wait_ms := ceil(extract(epoch from d.refused_until - t) * 1000);
  elsif rest <= 0 and d.probed_at > t - interval '15 minutes' then
    allowed := 0;
    wait_ms := ceil(extract(epoch from least(
      d.probed_at + interval '15 minutes' - t,
      date_trunc('day', t, 'UTC') + interval '1 day' - t)) * 1000);
  elsif rest <= 0 then
    allowed := 1;
    update sync.quota_days q set probed_at = t
    where q.platform = d.platform and q.account_id = d.account_id and q.budget = d.budget;
  end if;
end $$;

-- Cuts down what was granted to what the day still allows. Only the first lane may touch the tenth that is
-- kept for other tools. Where it allows nothing, tells how long: for the first lane, and for the others.
create function sync.keep_quota_day(
  d sync.quota_days, t timestamptz, inout granted integer[], inout taken_ahead integer, dearest integer,
  under_way bigint, out reserve_wait_ms bigint, out day_wait_ms bigint
) language plpgsql as $$
declare
  allowed bigint;
  rest bigint;
begin
  if d.max_calls is null and d.refused_until <= t then
    return;
  end if;
  if granted[1] > 0 then
    select x.allowed, x.wait_ms into allowed, reserve_wait_ms
    from sync.quota_day_allows(d, t, true, dearest, under_way) x;
    granted[1] := least(granted[1], allowed);
    if allowed <= 1 then
      d.probed_at := t;
    end if;
  end if;
  rest := (d.max_calls - ceil(d.max_calls * 0.1) - d.used) / dearest - under_way;
  if 0 < any (granted[2:]) then
    select x.allowed, x.wait_ms into rest, day_wait_ms
    from sync.quota_day_allows(d, t, false, dearest, under_way) x;
  end if;
  rest := greatest(0, rest - granted[1]);
  for lane in 2..cardinality(granted) loop
    granted[lane] := least(granted[lane], rest);
    rest := rest - granted[lane];
  end loop;
  taken_ahead := least(taken_ahead, rest);
end $$;

-- As in 0009, but that `spent` is what the answers cost, and `dearest` what a call may cost.
create function sync.take_quota(
  the_platform text, the_account text, the_bucket text, the_holder uuid,
  wants integer[], wanted integer, held integer, ahead integer, forget_after_ms integer,
  ages_ms integer[], refused_ages_ms integer[], spent integer, close_ms integer, daily_refusals integer,
  stated_calls integer, stated_window_ms integer, remaining integer, fact_age_ms integer, silent integer,
  day_calls bigint, day_remaining bigint, day_silent integer, dearest integer
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
  d := sync.count_quota_day(the_platform, the_account, b.budget, t, spent, day_calls, day_remaining,
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
      from sync.keep_quota_day(d, t, granted, taken_ahead, dearest, coalesce((
        select sum(h.held) from sync.quota_holders h
        join sync.quota_buckets q using (platform, account_id, bucket)
        where h.platform = the_platform and h.account_id = the_account and q.budget = b.budget), 0)) x;
      total := 0;
      foreach n in array granted loop
        total := total + n;
      end loop;
      if total < wanted and wait_ms = 0 then
        -- What is under way may cost less than it was taken for.
        wait_ms := least(250, b.window_ms / 20 + 1);
      end if;
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

revoke all on function sync.quota_day_allows(sync.quota_days, timestamptz, boolean, integer, bigint) from public;
grant execute on function sync.quota_day_allows(sync.quota_days, timestamptz, boolean, integer, bigint) to syncline_app;
revoke all on function sync.keep_quota_day(sync.quota_days, timestamptz, integer[], integer, integer, bigint) from public;
grant execute on function sync.keep_quota_day(sync.quota_days, timestamptz, integer[], integer, integer, bigint) to syncline_app;
revoke all on function sync.take_quota(text, text, text, uuid, integer[], integer, integer, integer,
  integer, integer[], integer[], integer, integer, integer, integer, integer, integer, integer, integer, bigint,
  bigint, integer, integer) from public;
grant execute on function sync.take_quota(text, text, text, uuid, integer[], integer, integer, integer,
  integer, integer[], integer[], integer, integer, integer, integer, integer, integer, integer, integer, bigint,
  bigint, integer, integer) to syncline_app;
