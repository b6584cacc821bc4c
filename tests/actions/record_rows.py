"""People and records for tests of what people do with records: owners, callers, rows in any state."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from two_way_rows import Rows

from syncline.actions.hub import Hub
from syncline.clock import new_id
from syncline.domain.callers import Caller, Role


@dataclass
class Desk:
    """Two reps and a manager of one tenant, with what they work on."""

    hub: Hub
    rows: Rows
    #: Owner records of the two reps.
    mine: UUID
    theirs: UUID
    manager: Caller = field(init=False)
    rep: Caller = field(init=False)
    other: Caller = field(init=False)

    def __post_init__(self) -> None:
        self.manager = self.caller("manager", "manager@example.com")
        self.rep = self.caller("rep", "rep@example.com", self.mine)
        self.other = self.caller("rep", "other@example.com", self.theirs)

    def caller(self, role: Role, name: str, *owners: UUID) -> Caller:
        return Caller(self.hub.tenant_id, role, name, "api", user_id=new_id(), owner_ids=frozenset(owners))

    async def place(self, pipeline: str, *stages: str, connection: UUID | None = None) -> dict[str, UUID]:
        """Make a pipeline; stages are keys, with '+' before one that wins and '-' before one that loses."""
        pipeline_id = new_id()
        await self.rows.execute(
            "insert into crm.pipelines (tenant_id, id, connection_id, remote_id, key, label) values"
            " (%(tenant_id)s, %(id)s, %(connection)s, %(remote)s, %(key)s, initcap(%(key)s))",
            id=pipeline_id,
            connection=connection,
            remote=pipeline if connection else None,
            key=pipeline,
        )
        ids = {"": pipeline_id}
        for position, text in enumerate(stages):
            key = text.lstrip("+-")
            ids[key] = new_id()
            await self.rows.execute(
                "insert into crm.stages (tenant_id, id, pipeline_id, key, label, position, is_closed, is_won,"
                " probability) values (%(tenant_id)s, %(id)s, %(pipeline)s, %(key)s, initcap(%(key)s),"
                " %(at)s, %(closed)s, %(won)s, %(probability)s)",
                id=ids[key],
                pipeline=pipeline_id,
                key=key,
                at=position,
                closed=text[0] in "+-",
                won=text[0] == "+",
                probability=100 if text[0] == "+" else 0 if text[0] == "-" else 10 * position,
            )
        return ids


async def make_desk(hub: Hub) -> Desk:
    rows = Rows(hub)
    mine = await rows.insert("owner", email="rep@example.com", first_name="Rae", last_name="Rep")
    theirs = await rows.insert("owner", email="other@example.com", first_name="Otto", last_name="Other")
    return Desk(hub, rows, mine, theirs)


def names(records: list[Any]) -> list[str]:
    return [each.label for each in records]
