"""The whole simulated company: its state, and how it is filled and kept alive. Knows no HTTP."""

from __future__ import annotations

import random

from syncline.simulators.journal import Journal
from syncline.simulators.pipedrive.colleagues import edit
from syncline.simulators.pipedrive.populating import populate
from syncline.simulators.pipedrive.population import Counts
from syncline.simulators.pipedrive.restructuring import Company
from syncline.simulators.pipedrive.settings import Settings

__all__ = ["Settings", "World"]


class World(Company):
    """One Pipedrive company, as tests and the demo use it. From one thread only."""

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
