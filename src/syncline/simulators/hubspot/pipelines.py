"""Owners, and pipelines with their stages. Knows no records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_EPOCH = "1970-01-01T00:00:00Z"


@dataclass(slots=True)
class Stage:
    stage_id: str
    label: str
    order: int
    metadata: dict[str, str]
    created_at: str = _EPOCH
    updated_at: str = _EPOCH
    archived: bool = False

    def wire(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "displayOrder": self.order,
            "metadata": self.metadata,
            "id": self.stage_id,
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
            "archived": self.archived,
        }


@dataclass(slots=True)
class Pipeline:
    pipeline_id: str
    label: str
    order: int
    stages: list[Stage] = field(default_factory=list[Stage])
    created_at: str = _EPOCH
    updated_at: str = _EPOCH
    archived: bool = False

    def wire(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "displayOrder": self.order,
            "id": self.pipeline_id,
            "stages": [stage.wire() for stage in self.stages if not stage.archived],
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "archived": self.archived,
        }


@dataclass(slots=True)
class Owner:
    owner_id: int
    email: str
    first_name: str
    last_name: str
    created_at: str
    updated_at: str
    user_id: int
    team: tuple[str, str]
    archived: bool = False

    def wire(self) -> dict[str, Any]:
        out: dict[str, Any] = {
            "id": str(self.owner_id),
            "email": self.email,
            "type": "PERSON",
            "firstName": self.first_name,
            "lastName": self.last_name,
            "userId": None if self.archived else self.user_id,
            "userIdIncludingInactive": self.user_id,
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "archived": self.archived,
        }
        if not self.archived:
            out["teams"] = [{"id": self.team[0], "name": self.team[1], "primary": True}]
        return out


#: (id, label, probability)
_SALES = (
    ("appointmentscheduled", "Appointment Scheduled", "0.2"),
    ("qualifiedtobuy", "Qualified To Buy", "0.4"),
    ("presentationscheduled", "Presentation Scheduled", "0.6"),
    ("decisionmakerboughtin", "Decision Maker Bought-In", "0.8"),
    ("contractsent", "Contract Sent", "0.9"),
    ("closedwon", "Closed Won", "1.0"),
    ("closedlost", "Closed Lost", "0.0"),
)
_PARTNERS = (
    ("148213467", "Introduced", "0.1"),
    ("148213468", "In Evaluation", "0.3"),
    ("148213469", "Agreement Negotiation", "0.7"),
    ("148213470", "Signed", "1.0"),
    ("148213471", "Declined", "0.0"),
)
_SUPPORT = (("1", "New"), ("2", "Waiting on contact"), ("3", "Waiting on us"), ("4", "Closed"))


def default_pipelines() -> dict[str, list[Pipeline]]:
    """Return fresh pipelines by object type id."""
    return {
        "0-3": [
            Pipeline("default", "Sales Pipeline", 0, _deal_stages(_SALES)),
            Pipeline("75893264", "Partner Pipeline", 1, _deal_stages(_PARTNERS)),
        ],
        "0-5": [
            Pipeline(
                "0", "Support Pipeline", 0,
                [
                    Stage(stage_id, label, order, {"ticketState": "CLOSED" if stage_id == "4" else "OPEN"})
                    for order, (stage_id, label) in enumerate(_SUPPORT)
                ],
            )
        ],
    }  # fmt: skip


def _deal_stages(rows: tuple[tuple[str, str, str], ...]) -> list[Stage]:
    return [
        Stage(
            stage_id, label, order, {"isClosed": str(chance in {"0.0", "1.0"}).lower(), "probability": chance}
        )
        for order, (stage_id, label, chance) in enumerate(rows)
    ]


def find_stage(pipelines: list[Pipeline], pipeline_id: object, stage_id: object) -> Stage | None:
    for pipeline in pipelines:
        if pipeline.pipeline_id == pipeline_id:
            for stage in pipeline.stages:
                if stage.stage_id == stage_id:
                    return stage
    return None


def stage_facts(pipelines: list[Pipeline], pipeline_id: object, stage_id: object) -> dict[str, str] | None:
    """Return the calculated deal properties that follow from the stage; None for an unknown one."""
    stage = find_stage(pipelines, pipeline_id, stage_id)
    if stage is None:
        return None
    chance = stage.metadata.get("probability", "0.0")
    closed = stage.metadata.get("isClosed") == "true"
    return {
        "hs_deal_stage_probability": chance,
        "hs_is_closed": str(closed).lower(),
        "hs_is_closed_won": str(closed and float(chance) == 1.0).lower(),
    }
