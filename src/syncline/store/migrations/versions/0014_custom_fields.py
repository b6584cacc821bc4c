"""Custom fields in the change log and the queue key by key; properties known by their first label."""

from syncline.store.migrations import run_sql

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    run_sql(__file__, "up")


def downgrade() -> None:
    run_sql(__file__, "down")
