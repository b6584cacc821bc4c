"""What is known of a record beside its fields: timeline, history, associations, every CRM's version of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import Field

from syncline.actions import associations, remote_versions, timeline
from syncline.actions.associations import Associations
from syncline.actions.remote_versions import RemoteVersion, Versions
from syncline.actions.seeing import PAGE
from syncline.actions.timeline import ITEM_KINDS, ItemKind
from syncline.api.calls import Call
from syncline.api.record_shapes import RECORD_MODELS, answer, answer_record
from syncline.api.records import READS, WRITES, PageSize
from syncline.api.shapes import After, Given, Shape, Value
from syncline.domain.record_fields import RECORD_FIELDS, RecordFields

router = APIRouter(prefix="/api/v1")


class ItemOut(Shape):
    """One thing that happened: an activity, a task, a change here, or a write to a CRM."""

    kind: ItemKind
    at: datetime
    id: UUID
    detail: dict[str, Any]


class TimelineOut(Shape):
    """What happened around a record, the latest first."""

    items: list[ItemOut]
    after: str | None


class FieldChangeOut(Shape):
    """One field of one change."""

    change_id: UUID
    changed_at: datetime
    action: str
    field: str
    old: Value
    new: Value
    left_out: bool = Field(description="True where the values were too long to be kept.")
    source: str
    actor: str | None
    connection: str | None
    run_id: UUID | None


class HistoryOut(Shape):
    """The changes of a record, the latest first."""

    changes: list[FieldChangeOut]
    after: str | None


class AssociationOut(Shape):
    """A record that this one belongs to, or that belongs to it."""

    record_type: str
    id: UUID
    label: str
    field: str | None = Field(description="The reference that says so; null where only a CRM says it.")
    direction: Literal["refers", "referred", "associated"]
    crm_label: str | None
    connection: str | None


class AssociationsOut(Shape):
    """What belongs to what; of kinds in `more` the filtered list has the others."""

    items: list[AssociationOut]
    more: list[str]


class AssociationGiven(Given):
    """The other record."""

    record_type: Annotated[str, Field(examples=["company"], max_length=20)]
    id: UUID


class FieldVersionOut(Shape):
    """A field as both sides have it, and what they last agreed on."""

    field: str
    property: str | None
    ours: Value
    theirs: Value
    base: Value
    state: str = Field(description="Who changed it since: agreed, ours, theirs, both, fill.")
    may_push: bool


class RemoteOut(Shape):
    """A record as one connection's CRM has it."""

    connection: str
    platform: str
    object: str | None
    remote_id: str | None
    is_linked: bool
    linked_at: datetime | None
    others: list[str]
    status: str
    writes_enabled: bool
    synced_at: datetime | None
    archived_at: datetime | None
    queued: dict[str, Any] | None = Field(description="What waits to be sent there.")
    conflicts: list[dict[str, Any]]
    fields: list[FieldVersionOut]
    raw: Value = Field(description="The payload as it was read last, where it was asked for.")


class ReasonOut(Shape):
    """What stands in the way of syncing, or is good to know."""

    code: str
    weight: Literal["blocks", "waits", "says"]
    connection: str | None
    text: str
    command: str | None


class VersionsOut(Shape):
    """Every CRM's version of a record, and why it is not syncing."""

    conclusion: str
    command: str | None
    reasons: list[ReasonOut]
    remotes: list[RemoteOut]


def show_versions(found: Versions) -> dict[str, Any]:
    """Return versions as the API tells them."""
    return {
        "conclusion": found.explanation.conclusion,
        "command": found.explanation.command,
        "reasons": found.explanation.reasons,
        "remotes": [_show_remote(each) for each in found.remotes],
    }


def _show_remote(each: RemoteVersion) -> dict[str, Any]:
    side = each.side
    plain = ("connection", "platform", "object", "remote_id", "is_linked", "linked_at", "others", "status")
    told: dict[str, Any] = {name: getattr(side, name) for name in (*plain, "writes_enabled", "fields")}
    told["synced_at"] = None if side.read is None else side.read.synced_at
    told["archived_at"] = None if side.read is None else side.read.archived_at
    told["queued"] = None
    if side.queued is not None:
        told["queued"] = {
            name: getattr(side.queued, name)
            for name in ("state", "what", "fields", "queued_at", "attempts", "reason")
        }
    told["conflicts"] = side.conflicts
    told["raw"] = each.raw
    return told


def _add_looking(fields: RecordFields) -> None:
    plural, name = fields.plural, fields.name
    base = f"/{plural}/{{record_id}}"

    @router.get(
        f"{base}/timeline",
        tags=[plural],
        response_model=TimelineOut,
        name=f"read_{name}_timeline",
        summary=f"What happened around a {name}",
    )
    async def read_timeline(  # pyright: ignore[reportUnusedFunction] - registered by its decorator
        record_id: UUID,
        kind: Annotated[list[ItemKind], Query(max_length=4)] = list(ITEM_KINDS),  # noqa: B006 - FastAPI copies it
        limit: PageSize = PAGE,
        after: After = None,
        call: Call = READS,
    ) -> Response:
        """Activities, tasks, changes and writes to CRMs in one order, the latest first."""
        return answer(
            await timeline.read_timeline(
                call.hub, call.caller, name, record_id, kinds=kind, limit=limit, after=after
            )
        )

    @router.get(
        f"{base}/changes",
        tags=[plural],
        response_model=HistoryOut,
        name=f"list_{name}_changes",
        summary=f"The changes of a {name}, field by field",
    )
    async def list_changes(  # pyright: ignore[reportUnusedFunction]
        record_id: UUID, limit: PageSize = PAGE, after: After = None, call: Call = READS
    ) -> Response:
        """Old and new value, by whom and from where. A page ends with a whole change."""
        return answer(
            await timeline.list_history(call.hub, call.caller, name, record_id, limit=limit, after=after)
        )

    @router.get(
        f"{base}/remotes",
        tags=[plural],
        response_model=VersionsOut,
        name=f"read_{name}_remotes",
        summary=f"Every CRM's version of a {name}, and why it is not syncing",
    )
    async def read_remotes(record_id: UUID, raw: bool = False, call: Call = READS) -> Response:  # pyright: ignore[reportUnusedFunction]
        """`raw` brings the payloads as they were read last."""
        found = await remote_versions.read_versions(call.hub, call.caller, name, record_id, raw=raw)
        return answer(show_versions(found))


def _add_associating(fields: RecordFields) -> None:
    plural, name = fields.plural, fields.name
    base = f"/{plural}/{{record_id}}"

    @router.get(
        f"{base}/associations",
        tags=[plural],
        response_model=AssociationsOut,
        name=f"list_{name}_associations",
        summary=f"What a {name} belongs to, and what belongs to it",
    )
    async def list_them(record_id: UUID, call: Call = READS) -> Response:  # pyright: ignore[reportUnusedFunction]
        return answer(await _list(call, name, record_id))

    @router.post(
        f"{base}/associations",
        tags=[plural],
        response_model=AssociationsOut,
        name=f"add_{name}_association",
        summary=f"Let a {name} and another record belong together",
    )
    async def add(record_id: UUID, given: AssociationGiven, call: Call = WRITES) -> Response:  # pyright: ignore[reportUnusedFunction]
        """The one that belongs to the other leaves what it belonged to. Done again, nothing changes."""
        await associations.add_association(
            call.hub, call.caller, name, record_id, given.record_type, given.id
        )
        return answer(await _list(call, name, record_id))

    @router.delete(
        f"{base}/associations/{{other_type}}/{{other_id}}",
        tags=[plural],
        response_model=AssociationsOut,
        name=f"remove_{name}_association",
        summary=f"Part a {name} from another record",
    )
    async def remove(record_id: UUID, other_type: str, other_id: UUID, call: Call = WRITES) -> Response:  # pyright: ignore[reportUnusedFunction]
        await associations.remove_association(call.hub, call.caller, name, record_id, other_type, other_id)
        return answer(await _list(call, name, record_id))


async def _list(call: Call, name: str, record_id: UUID) -> Associations:
    return await associations.list_associations(call.hub, call.caller, name, record_id)


def _add_undoing(fields: RecordFields) -> None:
    plural, name = fields.plural, fields.name

    @router.post(
        f"/{plural}/{{record_id}}/changes/{{change_id}}/undo",
        tags=[plural],
        response_model=RECORD_MODELS[name],
        name=f"undo_{name}_change",
        summary=f"Take one change of a {name} back",
    )
    async def undo(record_id: UUID, change_id: UUID, call: Call = WRITES) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Writes what stood before, where nobody has changed it since; it goes to the CRMs as any edit."""
        return answer_record(await timeline.undo_change(call.hub, call.caller, name, record_id, change_id))


for _each in RECORD_FIELDS.values():
    _add_looking(_each)
    if _each.writable:
        _add_associating(_each)
        _add_undoing(_each)
