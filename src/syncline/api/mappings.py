"""A connection's mapping over HTTP: read, checked, compared with what is stored, and let hold."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request
from pydantic import Field

from syncline.actions import mapping
from syncline.actions.editing import Editor
from syncline.api.audited import audit
from syncline.api.calls import Call, needs
from syncline.api.connections import ConnectionName
from syncline.api.shapes import Given, Shape, Words, example, show, while_connected

router = APIRouter(prefix="/api/v1/connections/{name}/mapping", tags=["mapping"])


class MappedFieldShape(Shape):
    """How one field of ours is mapped."""

    object: str
    record: str
    field: str
    property: str | None
    direction: str | None
    convert: str | None
    choices: dict[str, str | None]
    policy: str
    is_default: bool


class MappingShape(Shape):
    """The mapping that holds."""

    connection: str
    version: int
    text: str = Field(description="As YAML, to be edited and sent back.")
    document: dict[str, Any] | None = Field(description="Null where the platform's default holds.")
    fields: list[MappedFieldShape]
    policy: dict[str, Any]
    pending: list[str] = Field(description="Objects to which the last change is still to be applied.")
    fault: str | None


_MAPPING: dict[str, Any] = {
    "connection": "main",
    "version": 2,
    "text": "version: 1\nobjects:\n  contacts:\n    fields:\n      job_title: jobtitle\n",
    "document": None,
    "fields": [
        {
            "object": "contacts",
            "record": "contact",
            "field": "job_title",
            "property": "jobtitle",
            "direction": "both",
            "convert": "text",
            "choices": {},
            "policy": "newest",
            "is_default": True,
        }
    ],
    "policy": {},
    "pending": [],
    "fault": None,
}


@router.get("", summary="Show the mapping", responses=example(_MAPPING))
async def get(name: ConnectionName, call: Annotated[Call, needs("connections:read")]) -> MappingShape:
    return show(MappingShape, await mapping.show_mapping(call.hub, name))


class MappingGiven(Given):
    """A mapping, as YAML or as a document; null goes back to the platform's default."""

    text: str | None = Field(default=None, max_length=1_000_000)
    document: dict[str, Any] | None = None

    def encoded(self) -> bytes | None:
        # A document is YAML as well: JSON is a part of it.
        if self.document is not None:
            return msgspec.json.encode(self.document)
        return None if self.text is None else self.text.encode()


_EXAMPLE = "version: 1\nobjects:\n  contacts:\n    fields:\n      job_title: jobtitle\n"
_GIVEN: dict[str, Any] = {"requestBody": {"content": {"application/json": {"example": {"text": _EXAMPLE}}}}}


class FindingShape(Shape):
    """Something that does not fit the CRM, and what to do about it."""

    object: str
    field: str
    property: str
    level: str
    problem: str
    advice: str


class FieldDifferenceShape(Shape):
    object: str
    field: str
    old: str
    new: str


class EffectShape(Shape):
    """What a mapping does to the records of one object."""

    records: int
    changed: int
    later: int
    conflicts: int


class PreviewShape(Shape):
    """What would change if another mapping held."""

    connection: str
    findings: list[FindingShape]
    fields: list[FieldDifferenceShape]
    effects: dict[str, EffectShape]
    is_nothing: bool


_PREVIEW: dict[str, Any] = {
    "connection": "main",
    "findings": [],
    "fields": [{"object": "contacts", "field": "job_title", "old": "not mapped", "new": "jobtitle"}],
    "effects": {"contacts": {"records": 29000, "changed": 812, "later": 0, "conflicts": 0}},
    "is_nothing": False,
}


@router.post(
    "/preview", summary="See what a mapping would change", responses=example(_PREVIEW), openapi_extra=_GIVEN
)
async def preview(
    name: ConnectionName,
    given: MappingGiven,
    request: Request,
    call: Annotated[Call, needs("connections:write")],
) -> PreviewShape:
    """Map what is stored by another mapping, and compare. Writes nothing, and calls no CRM."""
    text = given.encoded()
    findings = await mapping.check_mapping_of(call.hub, name, text if text is not None else b"{}")
    difference = await while_connected(request, mapping.compare_mapping(call.hub, name, text))
    return PreviewShape(
        connection=name,
        findings=[show(FindingShape, each) for each in findings],
        fields=[show(FieldDifferenceShape, each) for each in difference.fields],
        effects={each: show(EffectShape, found) for each, found in difference.effects.items()},
        is_nothing=difference.is_nothing,
    )


class AppliedShape(Shape):
    """What became of one object."""

    object: str
    outcome: str
    error: Words


class ApplyShape(Shape):
    mapping: MappingShape
    applied: list[AppliedShape]


@router.put(
    "",
    summary="Let a mapping hold",
    responses=example(
        {"mapping": _MAPPING, "applied": [{"object": "contacts", "outcome": "success", "error": None}]}
    ),
    openapi_extra=_GIVEN,
)
async def put(
    name: ConnectionName, given: MappingGiven, call: Annotated[Call, needs("connections:write")]
) -> ApplyShape:
    """Let a mapping hold, and apply it to the records that are here. No CRM is called.

    What an earlier one was cut off in is finished first. Sent again it does only that.
    """
    by = Editor(call.caller.name, call.caller.source)
    applied = await mapping.apply_mapping(call.hub, name, given.encoded(), by=by)
    await audit(call, "mapping.applied", name)
    return ApplyShape(
        mapping=show(MappingShape, await mapping.show_mapping(call.hub, name)),
        applied=[show(AppliedShape, each) for each in applied],
    )
