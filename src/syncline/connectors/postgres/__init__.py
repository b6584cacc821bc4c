"""A CRM kept in another Postgres, Supabase included: its tables read and written as a CRM's records."""
