"""Fills an empty company in the right order. Knows no HTTP."""

from __future__ import annotations

from syncline.simulators.pipedrive.account import Account
from syncline.simulators.pipedrive.population import Counts, start
from syncline.simulators.pipedrive.selling import load_activities, load_deals, load_leads, load_notes


def populate(account: Account, counts: Counts) -> None:
    """Fill an empty account. Archived and deleted records come on top of the others."""
    draft = start(account, counts)
    load_deals(draft, counts)
    load_activities(draft, counts.activities)
    load_notes(draft, counts.notes)
    load_leads(draft, counts)
