"""The whole simulated account: its state, and how it is filled, kept alive and spoilt. Knows no HTTP."""

from __future__ import annotations

import random

from syncline.simulators.hubspot.colleagues import edit
from syncline.simulators.hubspot.planting import Planting
from syncline.simulators.hubspot.populating import populate
from syncline.simulators.hubspot.population import Counts
from syncline.simulators.hubspot.settings import Settings
from syncline.simulators.journal import Journal

__all__ = ["Settings", "World"]


class World(Planting):
    """One HubSpot account, as tests and the demo use it. From one thread only."""

    #: Remembers colleagues' edits for the next start.
    journal: Journal | None = None

    def populate(self, **counts: int) -> None:
        """Fill the account; see `population.Counts` for names and defaults. Once, on an empty world."""
        populate(self, Counts(**counts))

    def colleague_edit(self, rng: random.Random | None = None) -> str:
        """Let a colleague do one plausible thing in the CRM; return in words what it was."""
        if self.journal is not None:
            self.journal.note()
        return edit(self, rng or self.rng)
