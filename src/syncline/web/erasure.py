"""Erasing and exporting a person: looked at before, confirmed by typing, followed to its end; and receipts.

Whom it is about is sent in forms only, so that no address stands in an URL, a log or a history.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse

from syncline.actions import receipts
from syncline.actions.erase import Preview, Wanted, erase_person, preview_erasure
from syncline.actions.export_person import FORMATS, Format, export_person
from syncline.actions.receipts import Receipt
from syncline.engine.barring import following_of
from syncline.errors import CallerMistake, Invalid
from syncline.web.forms import Form
from syncline.web.page import Page, visits
from syncline.web.render import query

router = APIRouter(prefix="/settings/erasure", include_in_schema=False)

_PAGE = 50
_LONGEST = 320
_MEDIA: Mapping[Format, str] = {
    "json": "application/json",
    "html": "text/html; charset=utf-8",
    "zip": "application/zip",
}
_FORMATS: Mapping[Format, str] = {
    "zip": "ZIP with both",
    "html": "A page to read",
    "json": "JSON for programs",
}
#: What a connection does about persons erased elsewhere, by what it makes of them at first.
_FOLLOWING = {"wanted": "everywhere", "review": "review", "kept": "here"}
_FOLLOWINGS = (
    ("review", "ask somebody"),
    ("everywhere", "erase them there, too"),
    ("here", "leave them there"),
)


@router.get("")
async def show_all(page: Page = visits("erase")) -> Response:
    asked = page.request.query_params
    # By an id only: an address does not belong into an URL.
    who = asked.get("who", "")
    form = Form({"who": who}) if _is_id(who) else Form()
    return await _list_page(page, form)


def _is_id(text: str) -> bool:
    try:
        return bool(UUID(text))
    except ValueError:
        return False


async def _list_page(
    page: Page,
    form: Form,
    *,
    known: Form | None = None,
    found: Sequence[Receipt] | None = None,
    status: int = 200,
) -> Response:
    after = page.request.query_params.get("after") or None
    listed = await receipts.list_receipts(page.hub, limit=_PAGE, after=after)
    connections = await page.hub.list_connections()
    return page.render(
        "erasure.html",
        status=status,
        form=form,
        known=known or Form(),
        found=found,
        receipts=listed.receipts if found is None else found,
        next="/settings/erasure" + query(after=listed.next) if listed.next and found is None else None,
        first="/settings/erasure" if after else None,
        formats=list(_FORMATS.items()),
        following=[(each, _FOLLOWING[following_of(each)]) for each in connections],
        followings=_FOLLOWINGS,
        help="erasure",
    )


def _who(form: Form) -> str:
    """Return whom somebody named. Raises `Invalid`."""
    who = form.text("who")
    if not who:
        raise Invalid("Say who is meant.", fields={"who": "Give an address, or a contact's id."})
    if len(who) > _LONGEST or not who.isprintable():
        raise Invalid("Nobody is called that.", fields={"who": "is neither an address nor an id"})
    return who


def _blame(form: Form, error: CallerMistake) -> None:
    form.blame(error)
    if "" in form.errors:
        form.errors["who"] = form.errors.pop("")


@router.post("/look")
async def look(page: Page = visits("erase")) -> Response:
    """Show what erasing somebody would do. Changes nothing."""
    form = page.form
    try:
        preview = await preview_erasure(page.hub, _who(form))
    except CallerMistake as error:
        _blame(form, error)
        return await _list_page(page, form, status=422)
    return _look_page(page, preview, Form({"who": form.text("who")}))


def _look_page(page: Page, preview: Preview, form: Form, *, status: int = 200) -> Response:
    return page.render(
        "erasure_look.html",
        status=status,
        preview=preview,
        form=form,
        chosen=form.several("there") if form.has("confirm") else [each.connection for each in preview.there],
        help="erasure",
    )


@router.post("/order")
async def order(page: Page = visits("erase")) -> Response:
    """Order what was looked at, when the address was typed."""
    form = page.form
    try:
        wanted = read_choice(form, _who(form))
    except CallerMistake as error:
        _blame(form, error)
        return await _list_page(page, form, status=422)
    try:
        erasure_id = await erase_person(page.hub, page.caller, wanted)
    except CallerMistake as error:
        form.blame(error)
        preview = await preview_erasure(page.hub, wanted.who)
        return _look_page(page, preview, form, status=422)
    return page.go(f"/settings/erasure/{erasure_id}", "It is ordered, and being carried out.")


def read_choice(form: Form, who: str) -> Wanted:
    """Return what was chosen: every CRM, or those ticked; then of one that was not shown nothing was said."""
    offered, chosen = form.several("offered"), form.several("there")
    if set(offered) <= set(chosen):
        return Wanted(who, form.text("confirm"))
    return Wanted(who, form.text("confirm"), connections=chosen, offered=offered)


@router.post("/export")
async def export(page: Page = visits("erase")) -> Response:
    """Send everything that is known of a person as a file."""
    form = page.form
    try:
        kind = _format(form)
        parts = export_person(page.hub, page.caller, _who(form), kind=kind)
        first = await anext(parts)  # what is wrong is told before the answer begins
    except CallerMistake as error:
        _blame(form, error)
        return await _list_page(page, form, status=422)
    headers = {"content-disposition": f'attachment; filename="person.{kind}"', "cache-control": "no-store"}
    return StreamingResponse(_go_on(first, parts), 200, headers, _MEDIA[kind])


def _format(form: Form) -> Format:
    for each in FORMATS:
        if each == form.text("format", "zip"):
            return each
    raise Invalid("Choose one of the formats.", fields={"format": "is none of those named"})


async def _go_on(first: bytes, parts: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    try:
        yield first
        async for part in parts:
            yield part
    finally:
        await parts.aclose()


@router.post("/find")
async def find(page: Page = visits("erase")) -> Response:
    """Show whether and when somebody was erased."""
    form = page.form
    try:
        found = await receipts.find_receipts(page.hub, _who(form))
    except CallerMistake as error:
        _blame(form, error)
        return await _list_page(page, Form(), known=form, status=422)
    return await _list_page(page, Form(), known=form, found=found)


@router.post("/allow")
async def allow(page: Page = visits("erase")) -> Response:
    """Let a person in again whose consent has returned."""
    form = page.form
    try:
        await receipts.lift(page.hub, page.caller, _who(form))
    except CallerMistake as error:
        _blame(form, error)
        return await _list_page(page, Form(), known=form, status=422)
    return page.go(
        "/settings/erasure", "They are kept out no longer. What a CRM has comes with its next change."
    )


@router.post("/following")
async def follow(page: Page = visits("settings:write")) -> Response:
    """Set what a CRM is asked about persons who were erased in another one."""
    name = page.form.text("connection")
    await receipts.set_following(page.hub, page.caller, name, page.form.text("following"))
    return page.go("/settings/erasure", f"Saved for {name}.")


@router.get("/{erasure_id}")
async def show_one(erasure_id: UUID, page: Page = visits("erase")) -> Response:
    receipt = await receipts.get_receipt(page.hub, erasure_id)
    return page.render("erasure_one.html", **_about(receipt), help="erasure")


@router.get("/{erasure_id}/progress")
async def show_progress(erasure_id: UUID, page: Page = visits("erase")) -> Response:
    """Show how far it is, for a page that is open."""
    return page.render("erasure_part.html", **_about(await receipts.get_receipt(page.hub, erasure_id)))


def _about(receipt: Receipt) -> dict[str, Any]:
    waiting = [each for each in receipt.there if each.state in ("review", "refused")]
    return {
        "receipt": receipt,
        "erasure": receipt.erasure,
        "removed": sorted((name, count) for name, count in receipt.erasure.removed.items() if count),
        "undecided": list(dict.fromkeys(each.connection for each in waiting)),
        "is_open": receipt.erasure.state != "done",
    }


@router.get("/{erasure_id}/receipt")
async def download(erasure_id: UUID, page: Page = visits("erase")) -> Response:
    receipt = await receipts.get_receipt(page.hub, erasure_id)
    headers = {"content-disposition": f'attachment; filename="erasure-{erasure_id}.json"'}
    return Response(receipt.document(), 200, headers, "application/json")


@router.post("/{erasure_id}/ask")
async def ask(erasure_id: UUID, page: Page = visits("erase")) -> Response:
    """Ask CRMs that wait for a person's word, or that refused."""
    names = page.form.several("connection") or None
    await receipts.decide(page.hub, page.caller, erasure_id, ask=True, connections=names)
    return page.go(f"/settings/erasure/{erasure_id}", "It is asked to erase them.")


@router.post("/{erasure_id}/leave")
async def leave(erasure_id: UUID, page: Page = visits("erase")) -> Response:
    """Leave the person where a CRM waits for a person's word, or refused."""
    names = page.form.several("connection") or None
    await receipts.decide(page.hub, page.caller, erasure_id, ask=False, connections=names)
    return page.go(f"/settings/erasure/{erasure_id}", "They are left there.")
