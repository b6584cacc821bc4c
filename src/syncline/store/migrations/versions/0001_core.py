"""Tenants, connections, runs, links, cursors: the ground the engine stands on."""

from syncline.store.migrations import run_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_sql(__file__, "up")


def downgrade() -> None:
    run_sql(__file__, "down")
