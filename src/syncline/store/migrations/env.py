"""What Alembic runs for each command, through `store.migrate` only, which holds the lock and the role."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

# In a schema of ours, and not in `public`, which may belong to somebody else.
_OPTIONS = {"version_table": "alembic_version", "version_table_schema": "app"}

connection: Connection | None = context.config.attributes.get("connection")
if connection is None:
    context.configure(
        dialect_name="postgresql",
        literal_binds=True,
        output_buffer=context.config.output_buffer,
        transaction_per_migration=True,
        version_table=_OPTIONS["version_table"],
        version_table_schema=_OPTIONS["version_table_schema"],
    )
else:
    context.configure(
        connection=connection,
        transaction_per_migration=True,
        version_table=_OPTIONS["version_table"],
        version_table_schema=_OPTIONS["version_table_schema"],
    )
with context.begin_transaction():
    context.run_migrations()
