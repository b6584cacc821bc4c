"""Leases, schedules, workers, and the job queue of PgQueuer."""

from syncline.store.migrations import run_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_sql(__file__, "up")


def downgrade() -> None:
    run_sql(__file__, "down")
