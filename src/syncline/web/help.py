"""The documentation as pages: what the links called Help lead to, at hand where there is no network."""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.responses import Response
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from syncline.errors import NotFound
from syncline.web.page import Visit, visits_anybody

router = APIRouter(include_in_schema=False)

_NAME = re.compile(r"[a-z0-9-]+(/[a-z0-9-]+)?")
#: In a wheel beside this file; in a checkout where people write them.
_FOLDERS = (Path(__file__).parent / "docs", Path(__file__).parents[3] / "docs")
_START = "index"


@router.get("/help")
async def begin(visit: Visit = visits_anybody()) -> Response:
    return await show(_START, visit)


@router.get("/help/{name:path}")
async def show(name: str, visit: Visit = visits_anybody()) -> Response:
    """Show one page of the documentation, or a picture in it."""
    if name.endswith(".svg"):
        return Response(_read(name), media_type="image/svg+xml")
    title, text = _render(name.removesuffix(".md"))
    return visit.render("help.html", title=title, text=text, name=name)


def _folder() -> Path:
    return next((each for each in _FOLDERS if each.is_dir()), _FOLDERS[0])


def _read(name: str) -> bytes:
    stem, _, ending = name.rpartition(".")
    path = _folder() / name
    if not _NAME.fullmatch(stem) or ending not in {"md", "svg"} or not path.is_file():
        raise NotFound("There is no such page of the documentation.")
    return path.read_bytes()


@lru_cache(maxsize=64)
def _render(name: str) -> tuple[str, Markup]:
    markdown = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    tokens = markdown.parse(_read(f"{name}.md").decode())
    title = name
    for at, token in enumerate(tokens):
        if token.type == "heading_open":
            words = tokens[at + 1].content.replace("`", "")
            title = words if token.tag == "h1" else title
            token.attrSet("id", _anchor(words))
        elif token.type == "table_open":
            token.attrSet("class", "table")
        for child in token.children or []:
            _lead(child, name)
    return title, Markup(markdown.renderer.render(tokens, markdown.options, {}))  # noqa: S704 - HTML in the source is off


def _lead(token: Token, name: str) -> None:
    """Let a link to another page of the documentation lead to it here."""
    for attribute in ("href", "src"):
        target = token.attrGet(attribute)
        if not isinstance(target, str) or "://" in target or target.startswith("#"):
            continue
        folder = Path(name).parent
        path, _, anchor = target.partition("#")
        where = posixpath.normpath(posixpath.join(folder.as_posix(), path))
        if where.startswith(".."):  # a file of the repository, which is not here
            where = ""
        where = quote(where.removesuffix(".md"))
        token.attrSet(attribute, f"/help/{where}" + (f"#{anchor}" if anchor else ""))


def _anchor(words: str) -> str:
    return re.sub(r"[^\w\- ]", "", words.lower()).strip().replace(" ", "-")
