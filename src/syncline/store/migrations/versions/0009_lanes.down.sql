drop function sync.take_quota(text, text, text, uuid, integer[], integer, integer, integer,
  integer, integer[], integer[], integer, integer, integer, integer, integer, integer, integer, bigint, bigint, integer);
drop function sync.keep_quota_day(sync.quota_days, timestamptz, integer[], integer);
drop function sync.share_quota(integer, integer, integer, integer[], integer[], integer[]);
drop function sync.forecast_quota_day(sync.quota_days, timestamptz);

-- As in 0002.
create or replace function sync.count_quota_day(
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

drop function sync.mark_quota_day(sync.quota_days, sync.quota_days, timestamptz, integer);
drop function sync.turn_quota_day(sync.quota_days, timestamptz);
drop table sync.quota_marks;
alter table sync.quota_days drop column counted_at;
alter table sync.quota_buckets drop column hurried_at;
alter table sync.quota_buckets drop column passed_over;
alter table sync.quota_holders drop column wanted;
alter table sync.quota_holders drop column wants;

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

revoke all on function sync.take_quota(text, text, text, uuid, integer, integer, integer, boolean, integer,
  integer[], integer[], integer, integer, integer, integer, integer, integer, integer, bigint, bigint, integer)
  from public;
grant execute on function sync.take_quota(text, text, text, uuid, integer, integer, integer, boolean, integer,
  integer[], integer[], integer, integer, integer, integer, integer, integer, integer, bigint, bigint, integer)
  to syncline_app;
