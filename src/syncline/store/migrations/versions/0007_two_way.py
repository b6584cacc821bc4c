"""Writing to CRMs: what is allowed, what was sent, conflicts, decisions, tombstones."""

from syncline.store.migrations import run_sql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run_sql(__file__, "up")


def downgrade() -> None:
    run_sql(__file__, "down")
