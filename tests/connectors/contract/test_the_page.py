"""The page that shows how a connector is written: its code is whole, as the house writes it, and short."""

from __future__ import annotations

import subprocess
import sys

from the_page import PAGE, load_platform, read_code

#: A connector for a small CRM in a day, the page says.
_LINES_MOST = 360
RUFF = (sys.executable, "-m", "ruff", "check")


def test_the_pages_code_is_a_platform() -> None:
    platform = load_platform()
    assert platform.capabilities.platform == "tallybook"
    assert set(platform.mapping) == {each.name for each in platform.capabilities.objects}


def test_the_pages_code_is_short() -> None:
    assert len([line for line in read_code().splitlines() if line.strip()]) <= _LINES_MOST


def test_the_pages_code_passes_the_linter() -> None:
    checked = subprocess.run(
        # Imports may stand closer together on a page.
        [*RUFF, "--ignore", "I001", "--stdin-filename", "src/syncline/connectors/page.py", "-"],
        input=read_code(),
        capture_output=True,
        text=True,
        cwd=PAGE.parents[2],
        check=False,
    )
    assert checked.stdout.strip() in ("", "All checks passed!"), checked.stdout
