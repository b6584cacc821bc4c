"""Erasing persons over HTTP: preview, order, receipts, letting in again; exporting what is known of one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse
from pydantic import ConfigDict, Field

from syncline.actions import receipts
from syncline.actions.erase import Wanted, erase_person, preview_erasure
from syncline.actions.export_person import Format, export_person
from syncline.actions.receipts import Receipt
from syncline.api.calls import Call, needs
from syncline.api.shapes import After, Given, Limit, Shape, show
from syncline.store.erasing import State
from syncline.store.remote_erasures import RemoteState

router = APIRouter(prefix="/api/v1", tags=["erasure"])
_ERASES: Call = needs("erase")

_ID = "01a1ff1c-9969-7718-b2f2-dafaf958e8de"
_TEXT = r"^[^\x00-\x1f\x7f]+$"
Who = Annotated[
    str,
    Field(
        min_length=1,
        max_length=320,
        pattern=_TEXT,
        description="An address, a contact's id, or `connection:object:id` of a CRM.",
        examples=["ada@example.com"],
    ),
]
Known = Annotated[
    str,
    Field(
        min_length=1,
        max_length=320,
        pattern=_TEXT,
        description="An address or a telephone number.",
        examples=["ada@example.com"],
    ),
]
Names = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=200, pattern=_TEXT)]], Field(max_length=100)
]
_MEDIA = {"json": "application/json", "html": "text/html; charset=utf-8", "zip": "application/zip"}


class PersonIn(Given):
    """Who is meant."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"who": "ada@example.com"}]})

    who: Who


class HereOut(Shape):
    table: str
    own: int = Field(description="Rows that go, or are blanked.")
    mentions: int | None = Field(
        description="Other rows whose texts lose an address or a number; null where nobody counted."
    )


class ThereOut(Shape):
    connection: str
    platform: str
    records: dict[str, int]
    can_erase: bool
    left_behind: str | None = Field(description="What the CRM keeps all the same.")


class PreviewOut(Shape):
    """What erasing somebody would do."""

    label: str
    confirm: str = Field(description="What has to be sent as `confirm`.")
    contact_ids: list[UUID]
    emails: list[str]
    phones: list[str]
    here: list[HereOut]
    there: list[ThereOut]
    remains: list[str] = Field(description="What stays, in sentences.")


class ErasureIn(Given):
    """An order to erase a person."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"who": "ada@example.com", "confirm": "ada@example.com"}]}
    )

    who: Who
    confirm: Annotated[str, Field(min_length=1, max_length=320, description="As the preview has it.")]
    only_here: bool = Field(default=False, description="Leaves the CRMs alone.")
    connections: Names | None = Field(
        default=None, description="Only these CRMs; else all that have the person."
    )


class CrmOut(Shape):
    connection: str
    platform: str
    object: str
    state: RemoteState
    reason: str | None
    left_behind: str | None
    answered_at: datetime | None


class ProofOut(Shape):
    algorithm: str
    identifiers: list[str]


class ReceiptOut(Shape):
    """A receipt. Nothing in it says who it was."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": _ID,
                    "state": "done",
                    "requested_at": "2026-11-21T09:00:00Z",
                    "requested_by": "anna@example.com",
                    "source": "api",
                    "removed_at": "2026-11-21T09:00:02Z",
                    "completed_at": "2026-11-21T09:00:03Z",
                    "lifted_at": None,
                    "lifted_by": None,
                    "kept_out_at": None,
                    "waits_for": None,
                    "removed": {"crm.contacts": 1, "crm.change_log": 12},
                    "crms": [],
                    "proof": {"algorithm": "HMAC-SHA256, with a key of the tenant", "identifiers": []},
                }
            ]
        }
    )

    id: UUID
    state: State
    requested_at: datetime
    requested_by: str
    source: str
    removed_at: datetime | None
    completed_at: datetime | None
    lifted_at: datetime | None
    lifted_by: str | None
    kept_out_at: datetime | None = Field(
        description="When something of the person last came and was kept out."
    )
    waits_for: str | None
    removed: dict[str, int]
    crms: list[CrmOut]
    proof: ProofOut

    @classmethod
    def of(cls, receipt: Receipt) -> ReceiptOut:
        return cls.model_validate(receipt.describe())


class ReceiptsOut(Shape):
    """Erasures, the latest first."""

    items: list[ReceiptOut]
    after: str | None = Field(description="Where the next page begins; null when this is the last.")


class CrmsIn(Given):
    """Which CRMs; all of them where none is named."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"connections": ["main"]}]})

    connections: Names | None = None


class KnownIn(Given):
    """Who is meant, by what a receipt can be found by."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"who": "ada@example.com"}]})

    who: Known


class LiftedOut(Shape):
    """The erasures that keep the person out no longer."""

    erasures: list[UUID]


class ExportIn(Given):
    """Whose data, and how."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"who": "ada@example.com", "format": "zip"}]})

    who: Who
    format: Literal["json", "html", "zip"] = "json"


@router.post("/erasures/preview")
async def preview(body: PersonIn, call: Call = _ERASES) -> PreviewOut:
    """Say what erasing a person would remove, where, and what cannot be removed. Changes nothing."""
    return show(PreviewOut, await preview_erasure(call.hub, body.who))


@router.post("/erasures", status_code=202)
async def order(body: ErasureIn, call: Call = _ERASES) -> ReceiptOut:
    """Erase a person for good: kept out at once, removed within seconds by a worker, then in the CRMs."""
    wanted = Wanted(body.who, body.confirm, body.only_here, body.connections)
    erasure_id = await erase_person(call.hub, call.caller, wanted)
    return ReceiptOut.of(await receipts.get_receipt(call.hub, erasure_id))


@router.get("/erasures")
async def list_erasures(limit: Limit = 50, after: After = None, call: Call = _ERASES) -> ReceiptsOut:
    """List the receipts."""
    page = await receipts.list_receipts(call.hub, limit=limit, after=after)
    return ReceiptsOut(items=[ReceiptOut.of(each) for each in page.receipts], after=page.next)


@router.post("/erasures/find")
async def find(body: KnownIn, call: Call = _ERASES) -> ReceiptsOut:
    """Find the receipts of a person by their address or number."""
    found = await receipts.find_receipts(call.hub, body.who)
    return ReceiptsOut(items=[ReceiptOut.of(each) for each in found], after=None)


@router.post("/erasures/allow")
async def allow(body: KnownIn, call: Call = _ERASES) -> LiftedOut:
    """Let a person in again whose consent has returned. Brings nothing back by itself."""
    return LiftedOut(erasures=await receipts.lift(call.hub, call.caller, body.who))


@router.get("/erasures/{erasure_id}")
async def read(erasure_id: UUID, call: Call = _ERASES) -> ReceiptOut:
    """Read a receipt."""
    return ReceiptOut.of(await receipts.get_receipt(call.hub, erasure_id))


@router.get(
    "/erasures/{erasure_id}/receipt",
    response_class=Response,
    responses={200: {"description": "The receipt, as a file.", "content": {"application/json": {}}}},
)
async def download(erasure_id: UUID, call: Call = _ERASES) -> Response:
    """Download a receipt."""
    receipt = await receipts.get_receipt(call.hub, erasure_id)
    return Response(receipt.document(), 200, _as_file(f"erasure-{erasure_id}.json"), "application/json")


@router.post("/erasures/{erasure_id}/retry")
async def retry(erasure_id: UUID, body: CrmsIn, call: Call = _ERASES) -> ReceiptOut:
    """Ask CRMs that wait for a person's word, or that refused."""
    return ReceiptOut.of(
        await receipts.decide(call.hub, call.caller, erasure_id, ask=True, connections=body.connections)
    )


@router.post("/erasures/{erasure_id}/leave")
async def leave(erasure_id: UUID, body: CrmsIn, call: Call = _ERASES) -> ReceiptOut:
    """Leave the person in CRMs that wait for a person's word, or that refused."""
    return ReceiptOut.of(
        await receipts.decide(call.hub, call.caller, erasure_id, ask=False, connections=body.connections)
    )


@router.post(
    "/exports/person",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Everything that is known of the person.",
            "content": {
                "application/json": {},
                "text/html": {"schema": {"type": "string"}},
                "application/zip": {"schema": {"type": "string", "format": "binary"}},
            },
        }
    },
)
async def export(body: ExportIn, call: Call = _ERASES) -> StreamingResponse:
    """Export everything that is known of a person, for that person: also what each CRM says."""
    kind: Format = body.format
    parts = export_person(call.hub, call.caller, body.who, kind=kind)
    first = await anext(parts)  # what is wrong is told before the answer begins
    headers = _as_file(f"person.{kind}")
    return StreamingResponse(_go_on(first, parts), 200, headers, _MEDIA[kind])


async def _go_on(first: bytes, parts: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    try:
        yield first
        async for part in parts:
            yield part
    finally:
        await parts.aclose()


def _as_file(name: str) -> dict[str, Any]:
    return {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
