-- What people are told, and on whose behalf an edit is made.

-- The author of what follows in the transaction, for the change log; `connection` keeps the change from being
-- queued back to where it came from. By SET LOCAL, so that nothing is left behind after COMMIT.
create function app.set_author(source text, actor text, connection uuid) returns void
language plpgsql as $$
begin
  execute format('set local app.source = %L', source);
  execute format('set local app.actor = %L', actor);
  execute format('set local app.connection_id = %L', coalesce(connection::text, ''));
end $$;
revoke all on function app.set_author(text, text, uuid) from public;
grant execute on function app.set_author(text, text, uuid) to syncline_app;

create table crm.notifications (
  tenant_id          uuid not null,
  id                 uuid not null,
  -- Whom it is about and whom it is for, where that is one lead and one person.
  lead_id            uuid,
  user_id            uuid,
  -- By which way it is to be delivered.
  notification_type  text not null,
  template_name      text,
  -- An address, a channel, a URL, or a role ('manager'): then everybody who has it.
  recipient          text not null,
  subject            text,
  body               text,
  -- The record it is about, where it is about one.
  record_type        text,
  record_id          uuid,
  status             text not null default 'pending',
  sent_at            timestamptz,
  error_message      text,
  retry_count        integer not null default 0,
  created_at         timestamptz not null,
  constraint notifications_pkey primary key (tenant_id, id),
  constraint notifications_notification_type check
    (notification_type in ('email', 'slack', 'sms', 'webhook')),
  constraint notifications_status check (status in ('pending', 'sent', 'failed')),
  constraint notifications_sent_or_not check ((status = 'sent') = (sent_at is not null))
);
select app.distribute('crm.notifications');
select app.protect('crm.notifications');
-- What waits to be delivered, and what was told lately.
create index notifications_pending on crm.notifications (tenant_id, created_at) where status = 'pending';
create index notifications_latest on crm.notifications (tenant_id, created_at desc);

-- Conflicts nobody has been told of.
create index conflicts_unannounced on sync.conflicts (tenant_id, found_at)
  where status = 'open' and notified_at is null;

create view compat.notifications with (security_invoker = true) as
select n.id, n.lead_id, n.user_id, n.notification_type, n.template_name, n.recipient, n.subject, n.body,
  n.status, n.sent_at, n.error_message, n.retry_count, n.created_at
from crm.notifications n;
grant select on compat.notifications to syncline_app, syncline_reader;
