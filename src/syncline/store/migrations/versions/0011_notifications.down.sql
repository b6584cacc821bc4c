drop view compat.notifications;
drop index sync.conflicts_unannounced;
drop table crm.notifications;
drop function app.set_author(text, text, uuid);
