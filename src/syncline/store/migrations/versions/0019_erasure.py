"""Erasure of persons with its receipts, what keeps them from coming back, and how long things are kept."""

from syncline.store.migrations import run_sql

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    run_sql(__file__, "up")


def downgrade() -> None:
    run_sql(__file__, "down")
