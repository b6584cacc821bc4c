"""The connector that docs/connectors/writing-one.md builds, taken out of the page as a module."""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

from syncline.connectors.base import Platform

PAGE = Path(__file__).resolve().parents[3] / "docs" / "connectors" / "writing-one.md"
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME = "tallybook_of_the_page"


def read_code() -> str:
    """Return the page's code, each block on the lines it has in the page's order."""
    return "\n\n".join(_BLOCK.findall(PAGE.read_text(encoding="utf-8")))


@cache
def load_platform() -> Platform:
    """Run the page's code once and return the platform it ends with."""
    module = ModuleType(_NAME)
    sys.modules[_NAME] = module
    exec(compile(read_code(), f"<{PAGE.name}>", "exec"), module.__dict__)
    platform: Platform = module.__dict__["TALLYBOOK"]
    return platform
