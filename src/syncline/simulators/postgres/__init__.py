"""A small company's CRM in a Postgres database: its tables, and made-up rows in them."""

from syncline.simulators.postgres.tables import Population, create_tables, populate

__all__ = ["Population", "create_tables", "populate"]
