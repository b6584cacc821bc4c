"""What numbers at large sizes rest on."""

from syncline.store.migrations import run_sql

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    run_sql(__file__, "up")


def downgrade() -> None:
    run_sql(__file__, "down")
