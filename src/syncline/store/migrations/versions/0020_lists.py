"""Lists of records that answer quickly: indexes and search; edits of many records, imports."""

from syncline.store.migrations import run_sql

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    run_sql(__file__, "up")


def downgrade() -> None:
    run_sql(__file__, "down")
