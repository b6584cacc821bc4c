drop function sync.take_quota(text, text, text, uuid, integer, integer, integer, boolean, integer, integer[],
  integer[], integer, integer, integer, integer, integer, integer, integer, bigint, bigint, integer);
drop function sync.quota_day_allows(sync.quota_days, timestamptz, boolean);
drop function sync.count_quota_day(text, text, text, timestamptz, integer, bigint, bigint, integer, integer);
drop function sync.close_quota(sync.quota_buckets, timestamptz, integer, integer);
drop function sync.correct_quota(
  sync.quota_buckets, timestamptz, integer, integer, integer, integer, integer, integer);
drop function sync.quota_others(sync.quota_buckets, timestamptz);
drop table sync.quota_days;
drop table sync.quota_answers;
drop table sync.quota_holders;
drop table sync.quota_buckets;
