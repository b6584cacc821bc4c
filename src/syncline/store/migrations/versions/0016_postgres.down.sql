drop table raw.postgres_users;
drop table raw.postgres_activities;
drop table raw.postgres_deals;
drop table raw.postgres_contacts;
drop table raw.postgres_companies;
