"""What a company has beside records: users, pipelines with stages, types, currencies. Only data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

COMPANY_ID = 8_087_566
COMPANY_NAME = "Syncline Example"
COMPANY_DOMAIN = "syncline-example"


@dataclass(slots=True)
class User:
    user_id: int
    name: str
    email: str
    created: str
    modified: str
    is_admin: bool = False
    active: bool = True

    def wire(self, *, is_you: bool = False) -> dict[str, Any]:
        """Return the user as v1 has it."""
        return {
            "id": self.user_id, "name": self.name, "default_currency": "USD", "locale": "en_US", "lang": 1,
            "email": self.email, "phone": None, "activated": True, "last_login": self.modified,
            "created": self.created, "modified": self.modified, "has_created_company": self.is_admin,
            "access": [{"app": "sales", "admin": self.is_admin, "permission_set_id": str(self.user_id)}],
            "active_flag": self.active, "timezone_name": "America/New_York", "timezone_offset": "-05:00",
            "role_id": 1, "icon_url": None, "is_you": is_you, "is_deleted": not self.active,
            "is_admin": int(self.is_admin),
        }  # fmt: skip


@dataclass(slots=True)
class Stage:
    stage_id: int
    name: str
    pipeline_id: int
    order_nr: int
    probability: int
    added: str
    updated: str
    deleted: bool = False
    days_to_rotten: int | None = None

    def wire(self) -> dict[str, Any]:
        return {
            "id": self.stage_id, "order_nr": self.order_nr, "name": self.name, "is_deleted": self.deleted,
            "deal_probability": self.probability, "pipeline_id": self.pipeline_id,
            "is_deal_rot_enabled": self.days_to_rotten is not None, "days_to_rotten": self.days_to_rotten,
            "add_time": self.added, "update_time": self.updated,
        }  # fmt: skip


@dataclass(slots=True)
class Pipeline:
    pipeline_id: int
    name: str
    order_nr: int
    added: str
    updated: str
    deleted: bool = False
    has_probability: bool = True

    def wire(self) -> dict[str, Any]:
        return {
            "id": self.pipeline_id, "name": self.name, "order_nr": self.order_nr, "is_deleted": self.deleted,
            "is_deal_probability_enabled": self.has_probability, "add_time": self.added,
            "update_time": self.updated,
        }  # fmt: skip


#: Name of a pipeline → its stages with their probabilities.
PIPELINES = (
    (
        "Sales Pipeline",
        (("Qualified", 20), ("Contact Made", 30), ("Demo Scheduled", 40), ("Proposal Made", 60),
         ("Negotiations Started", 80)),
    ),
    (
        "Government Contracts",
        (("New Match", 5), ("Initial Outreach", 10), ("Qualified", 25), ("Proposal Sent", 50),
         ("Negotiation", 75)),
    ),
)  # fmt: skip
ACTIVITY_TYPES = ("call", "meeting", "task", "deadline", "email", "lunch")
CURRENCIES = (("USD", "US Dollar", "$"), ("EUR", "Euro", "€"), ("GBP", "Pound Sterling", "£"),
              ("CAD", "Canadian Dollar", "CA$"), ("PLN", "Polish Zloty", "zł"))  # fmt: skip
CURRENCY_CODES = frozenset(code for code, _, _ in CURRENCIES)
LEAD_LABELS = (("Hot", "red"), ("Warm", "yellow"), ("Cold", "blue"))


def default_pipelines(created: str) -> tuple[list[Pipeline], list[Stage]]:
    pipelines: list[Pipeline] = []
    stages: list[Stage] = []
    for position, (name, listed) in enumerate(PIPELINES, 1):
        pipelines.append(Pipeline(position, name, position, created, created))
        for order, (stage, probability) in enumerate(listed, 1):
            stages.append(Stage(len(stages) + 1, stage, position, order, probability, created, created))
    return pipelines, stages
