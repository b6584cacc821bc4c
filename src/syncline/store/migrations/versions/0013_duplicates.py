"""Records that may be one: what people said of pairs, and merging at a CRM."""

from syncline.store.migrations import run_sql

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    run_sql(__file__, "up")


def downgrade() -> None:
    run_sql(__file__, "down")
