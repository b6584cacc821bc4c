"""What tells that something was changed, and traffic of the doors."""

from syncline.store.migrations import run_sql

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    run_sql(__file__, "up")


def downgrade() -> None:
    run_sql(__file__, "down")
