"""Records as bad as real ones can be, put where tests want them. They go out on the wire as they are."""

from __future__ import annotations

from typing import Any

from syncline.simulators.hubspot.account import Account
from syncline.simulators.hubspot.definitions import Definition
from syncline.simulators.hubspot.store import Record

LONG_TEXT = 70 * 1024

#: What is wrong → the properties that are, as Python holds them.
DEFECTS: dict[str, dict[str, Any]] = {
    "bad_date": {"createdate": "the day before yesterday", "vsl_watched_at": "2026-13-45T99:00:00Z"},
    "bad_number": {"hubspotscore": "1,5 or so", "num_notes": "NaN", "total_revenue": "1e999999"},
    "long_text": {"message": "long " * (LONG_TEXT // 5)},
    "nul": {"message": "before\x00after"},
    "literal_nul": {"message": r"before\u0000after"},
    "lone_surrogate": {"message": "before\ud800after"},
    "not_strings": {
        "num_notes": 7, "hubspotscore": 1.5, "vsl_watched": True, "message": ["a", {"b": None}],
        "company": {"x": 1},
    },
    "unknown_type": {"planted_unknown": '{"lat": 1}'},
}  # fmt: skip


class Planting(Account):
    """Adds to an account what the API would never have let in."""

    def plant(
        self, properties: dict[str, Any], *, name: str = "contacts", now_ms: int | None = None
    ) -> Record:
        """Make a record with any values, also of properties without a definition (these stay hidden)."""
        return self.create(name, properties, now_ms=now_ms)

    def plant_defect(self, defect: str) -> Record:
        """Make a contact with one of `DEFECTS`, otherwise good. Raises `KeyError`."""
        values = dict(DEFECTS[defect])
        if defect == "unknown_type":
            self.define_property(
                "contacts", Definition("planted_unknown", "Unknown", type="object_coordinates")
            )
        good = {"email": f"{defect}@planted.example", "firstname": "Planted", "lastname": defect}
        return self.plant({**good, **values})

    def plant_all_defects(self) -> dict[str, Record]:
        """Make one contact of every defect."""
        return {defect: self.plant_defect(defect) for defect in DEFECTS}

    def spoil(self, name: str, record_id: int, properties: dict[str, Any]) -> Record:
        """Put any values into an existing record, moving its modified time."""
        return self.update(name, record_id, properties)

    def define_property(self, name: str, definition: Definition) -> None:
        """Add a property to a type, as an administrator would."""
        store = self.store(name)
        store.definitions[definition.name] = definition
        store.definitions_changed()

    def remove_property(self, name: str, property_name: str) -> None:
        """Archive a property definition; its values are no longer readable."""
        store = self.store(name)
        store.definitions[property_name].archived = True
        store.definitions_changed()
