"""Quotas of CRM accounts: how much may be called, what is in use, and who holds it."""

from syncline.store.migrations import run_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_sql(__file__, "up")


def downgrade() -> None:
    run_sql(__file__, "down")
