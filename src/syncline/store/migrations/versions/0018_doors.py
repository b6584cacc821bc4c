"""What the API and the web application keep: idempotency, limits, subscriptions, saved views."""

from syncline.store.migrations import run_sql

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    run_sql(__file__, "up")


def downgrade() -> None:
    run_sql(__file__, "down")
