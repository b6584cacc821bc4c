"""Changes of the company itself: users, pipelines, stages, and the events that tell of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from syncline.simulators.pipedrive.account import Account, Actor
from syncline.simulators.pipedrive.company import Pipeline, Stage, User
from syncline.simulators.times import iso


@dataclass(frozen=True, slots=True)
class CompanyEvent:
    """A change of a user, a pipeline or a stage, in the words of webhooks; None is a side there is not."""

    action: str
    entity: str
    entity_id: int
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    actor: Actor


class Company(Account):
    """An account whose users, pipelines and stages can be changed."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.company_listeners: list[Callable[[CompanyEvent], None]] = []

    def add_user(self, name: str, email: str) -> User:
        now = iso(self.now_ms() // 1000 * 1000)[:19].replace("T", " ")
        made = User(max(each.user_id for each in self.users) + 1009, name, email, now, now)
        self.users.append(made)
        self._told("create", "user", made.user_id, None, told_user(made))
        return made

    def change_user(self, user_id: int, **changes: Any) -> None:
        """Change a user; `active=False` switches him off, which is told as a change."""
        user = next(each for each in self.users if each.user_id == user_id)
        before = told_user(user)
        for name, value in changes.items():
            setattr(user, name, value)
        user.modified = iso(self.now_ms() // 1000 * 1000)[:19].replace("T", " ")
        self._told("change", "user", user_id, before, told_user(user))

    def add_pipeline(self, name: str, *, has_probability: bool = False, by: Actor | None = None) -> Pipeline:
        now = self._now()
        made = Pipeline(
            max(each.pipeline_id for each in self.pipelines) + 1, name, len(self.pipelines) + 1, now, now,
            has_probability=has_probability,
        )  # fmt: skip
        self.pipelines.append(made)
        self._told("create", "pipeline", made.pipeline_id, None, told_pipeline(made), by)
        return made

    def change_pipeline(self, pipeline_id: int, *, by: Actor | None = None, **changes: Any) -> Pipeline:
        """Change a pipeline; `deleted=True` deletes it with its stages."""
        found = next(each for each in self.pipelines if each.pipeline_id == pipeline_id)
        before = told_pipeline(found)
        for name, value in changes.items():
            setattr(found, name, value)
        found.updated = self._now()
        if found.deleted:
            self._told("delete", "pipeline", pipeline_id, before, None, by)
            for stage in self.stages:
                if stage.pipeline_id == pipeline_id and not stage.deleted:
                    self.change_stage(stage.stage_id, by=by, deleted=True)
        else:
            self._told("change", "pipeline", pipeline_id, before, told_pipeline(found), by)
        return found

    def add_stage(
        self, name: str, pipeline_id: int, probability: int = 100, *, by: Actor | None = None
    ) -> Stage:
        now = self._now()
        order = 1 + sum(each.pipeline_id == pipeline_id for each in self.stages)
        number = max(each.stage_id for each in self.stages) + 1
        made = Stage(number, name, pipeline_id, order, probability, now, now)
        self.stages.append(made)
        self._told("create", "stage", made.stage_id, None, told_stage(made), by)
        return made

    def change_stage(self, stage_id: int, *, by: Actor | None = None, **changes: Any) -> Stage:
        """Change a stage; `deleted=True` deletes it."""
        found = next(each for each in self.stages if each.stage_id == stage_id)
        before = told_stage(found)
        for name, value in changes.items():
            setattr(found, name, value)
        found.updated = self._now()
        if found.deleted:
            self._told("delete", "stage", stage_id, before, None, by)
        else:
            self._told("change", "stage", stage_id, before, told_stage(found), by)
        return found

    def _now(self) -> str:
        return iso(self.now_ms() // 1000 * 1000)

    def _told(
        self, action: str, entity: str, entity_id: int, before: dict[str, Any] | None,
        after: dict[str, Any] | None, by: Actor | None = None,
    ) -> None:  # fmt: skip
        event = CompanyEvent(action, entity, entity_id, before, after, by or self.colleague)
        for listener in list(self.company_listeners):
            listener(event)


def told_user(user: User) -> dict[str, Any]:
    """Return a user as webhooks tell of one: with his id as text, and times of v1."""
    return {
        "id": str(user.user_id), "default_currency": "USD", "name": user.name, "email": user.email,
        "phone": None, "locale": "en_US", "lang": "en-US", "active_flag": user.active, "last_login": None,
        "timezone_name": "America/New_York", "icon_url": None, "created": user.created,
        "modified": user.modified, "access": None,
    }  # fmt: skip


def told_pipeline(pipeline: Pipeline) -> dict[str, Any]:
    return {
        "id": pipeline.pipeline_id, "name": pipeline.name, "url_title": pipeline.name.replace(" ", "-"),
        "order_nr": pipeline.order_nr, "active_flag": not pipeline.deleted,
        "deal_probability": pipeline.has_probability, "add_time": pipeline.added,
        "update_time": pipeline.updated,
    }  # fmt: skip


def told_stage(stage: Stage) -> dict[str, Any]:
    return {
        "id": stage.stage_id, "name": stage.name, "active_flag": not stage.deleted,
        "rotten_days": stage.days_to_rotten, "order_nr": stage.order_nr,
        "deal_probability": stage.probability, "rotten_flag": stage.days_to_rotten is not None,
        "add_time": stage.added, "pipeline_id": stage.pipeline_id, "update_time": stage.updated,
    }  # fmt: skip
