"""The bundled scripts, styles and pictures: where a page finds them, and serving them for good.

Their names change with their content, so that a browser need never ask twice. Knows no page.
"""

from __future__ import annotations

import json
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import Response

from syncline.errors import NotFound

_FOLDER = Path(__file__).parent / "static"
_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_FOR_GOOD = "public, max-age=31536000, immutable"


class Assets:
    """What the bundler made; read again when it made it anew."""

    def __init__(self, folder: Path = _FOLDER) -> None:
        self._folder = folder
        self._made: float | None = None
        self._names: dict[str, str] = {}
        self._files: dict[str, bytes] = {}

    @property
    def are_there(self) -> bool:
        """False in a checkout where nothing was bundled."""
        self._refresh()
        return bool(self._names)

    def url(self, name: str) -> str:
        """Return where a file is, by its plain name; "" where nothing was bundled."""
        self._refresh()
        return f"/static/{self._names[name]}" if name in self._names else ""

    def read(self, name: str) -> bytes:
        """Return a file of the folder. Raises `NotFound`."""
        self._refresh()
        if name not in self._files:
            path = self._folder / name
            if path.parent != self._folder or path.suffix not in {*_KINDS, ".gz"} or not path.is_file():
                raise NotFound("There is no such file.")
            self._files[name] = path.read_bytes()
        return self._files[name]

    def _refresh(self) -> None:
        manifest = self._folder / "manifest.json"
        try:
            made = manifest.stat().st_mtime
            if made != self._made:
                self._names, self._files = json.loads(manifest.read_text()), {}
                self._made = made
        except (OSError, ValueError):
            self._names, self._files, self._made = {}, {}, None


def add_assets(app: FastAPI, assets: Assets) -> None:
    """Serve the files, packed where the browser can unpack them."""

    @app.get("/static/{name}", include_in_schema=False)
    async def serve(name: str, request: Request) -> Response:  # pyright: ignore[reportUnusedFunction] - registered by its decorator
        content = assets.read(name)
        headers = {"cache-control": _FOR_GOOD, "vary": "accept-encoding"}
        kind = _KINDS.get(Path(name).suffix, "application/octet-stream")
        if "gzip" in request.headers.get("accept-encoding", ""):
            try:
                content = assets.read(f"{name}.gz")
                headers["content-encoding"] = "gzip"
            except NotFound:
                pass
        return Response(content, media_type=kind, headers=headers)

    @app.get("/favicon.ico", include_in_schema=False)
    async def favicon(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction] - as above
        return await serve(Path(assets.url("favicon.svg")).name, request)
