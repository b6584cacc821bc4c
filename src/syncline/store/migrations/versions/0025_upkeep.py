"""What keeps creates, imports and erasures exact."""

from syncline.store.migrations import run_sql

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    run_sql(__file__, "up")


def downgrade() -> None:
    run_sql(__file__, "down")
