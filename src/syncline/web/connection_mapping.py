"""The mapping editor: which property is which field, checked, previewed, and let hold."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from syncline.actions.mapping import (
    MappingDifference,
    apply_mapping,
    check_mapping_of,
    compare_mapping,
    show_mapping,
)
from syncline.errors import Invalid, SynclineError
from syncline.web.connections import address
from syncline.web.page import Page, visits

router = APIRouter(include_in_schema=False)

_LINE = re.compile(r"\bLine (\d+)\b")
#: What an error is about, as its words begin: objects.contacts.fields.phone
_PATH = re.compile(r"^(?P<path>(?:objects|policy|records|version)(?:\.[^\s.:]+)*)")


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about the text, with the line it stands in; None where it is about the whole."""

    line: int | None
    text: str
    #: bad, warn or note
    tone: str
    advice: str = ""


@router.get("/connections/{name}/mapping")
async def show_page(name: str, page: Page = visits("connections:read")) -> Response:
    return await _page(page, name, None, [])


async def _page(
    page: Page,
    name: str,
    text: str | None,
    remarks: list[Remark],
    *,
    difference: MappingDifference | None = None,
    checked: bool = False,
    status: int = 200,
) -> Response:
    shown = await show_mapping(page.hub, name)
    by_object: dict[str, list[Any]] = {}
    for each in shown.fields:
        by_object.setdefault(each.object, []).append(each)
    return page.render(
        "connection_mapping.html",
        status=status,
        name=name,
        shown=shown,
        by_object=by_object,
        text=shown.text if text is None else text,
        remarks=remarks,
        difference=difference,
        checked=checked,
        help="mapping",
    )


@router.post("/connections/{name}/mapping")
async def edit(name: str, page: Page = visits("connections:write")) -> Response:
    """Check, preview or apply the text, as the button says."""
    text = page.form.secret("text").replace("\r\n", "\n").strip() + "\n"
    does = page.form.choice("do", ("check", "preview", "apply", "default"), "check")
    if does == "default":
        await apply_mapping(page.hub, name, None, by=page.by)
        await page.audit("mapping.applied", name, default=True)
        return page.go(address(name, "mapping"), "The default mapping holds again.")
    try:
        found = await check_mapping_of(page.hub, name, text.encode())
        remarks = [
            Remark(
                find_line(text, ["objects", each.object, "fields", each.field]),
                f"{each.object}.{each.field} ({each.property}): {each.problem}",
                "bad" if each.level == "error" else "warn",
                each.advice,
            )
            for each in found
        ]
        barred = any(each.tone == "bad" for each in remarks)
        if does == "apply" and not barred:
            await apply_mapping(page.hub, name, text.encode(), by=page.by)
            await page.audit("mapping.applied", name)
            return page.go(
                address(name, "mapping"), "The mapping holds, and was applied to the records here."
            )
        difference = (
            await compare_mapping(page.hub, name, text.encode()) if does == "preview" and not barred else None
        )
    except SynclineError as error:
        return await _page(page, name, text, [remark_on(text, error)], checked=True, status=422)
    return await _page(
        page, name, text, remarks, difference=difference, checked=True, status=422 if barred else 200
    )


def remark_on(text: str, error: SynclineError) -> Remark:
    """Return an error as a remark on the line it is about, as far as its words tell."""
    words = str(error)
    named = _LINE.search(words)
    if named is not None:
        return Remark(int(named[1]), words, "bad")
    path = _PATH.match(words) if isinstance(error, Invalid) else None
    return Remark(find_line(text, path["path"].split(".")) if path else None, words, "bad")


def find_line(text: str, path: list[str]) -> int | None:
    """Return the line (from 1) of the innermost name of a path that stands in a document; None for none."""
    found, at, indent = None, 0, -1
    lines = text.split("\n")
    for part in path:
        for number in range(at, len(lines)):
            line = lines[number]
            depth = len(line) - len(line.lstrip())
            if line.strip() and not line.lstrip().startswith("#") and depth <= indent and number > at:
                return found
            if re.match(rf"""\s*['"]?{re.escape(part)}['"]?\s*:""", line) and depth > indent:
                found, at, indent = number + 1, number + 1, depth
                break
        else:
            return found
    return found
