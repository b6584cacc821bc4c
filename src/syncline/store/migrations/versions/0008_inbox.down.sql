drop function sync.waiting_inboxes();
drop function sync.find_receivers(text, text, text, text);
drop index sync.connections_of_account;
drop table sync.refused_webhooks;
drop table sync.inbox;
