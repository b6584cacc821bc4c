"""The repository as the house tests see it: its files, its modules and the words in them."""

from __future__ import annotations

import ast
import gc
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "syncline"
DOCS = ROOT / "docs"


@cache
def modules() -> tuple[Path, ...]:
    return tuple(sorted(PACKAGE.rglob("*.py")))


@cache
def tree_of(path: Path) -> ast.Module:
    # What earlier tests left behind may be collected meanwhile and log a traceback, which is parsed, too:
    # Python before 3.11.8 counts the depth of both together and gives up (python/cpython#106905).
    gc.disable()
    try:
        return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    finally:
        gc.enable()


def name_of(path: Path) -> str:
    """A path as people write it: from the package for modules, from the root for all else."""
    return path.relative_to(PACKAGE if path.is_relative_to(PACKAGE) else ROOT).as_posix()


def docstrings(tree: ast.Module) -> set[int]:
    """The ids of the nodes that are docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """Every string a module's code holds, with its line; docstrings and comments are not code."""
    tree = tree_of(path)
    skipped = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.lineno, node.value


@cache
def repository_files() -> tuple[Path, ...]:
    """Every file that is, or is about to be, part of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    paths = (ROOT / name for name in listed.stdout.decode().split("\0") if name)
    return tuple(sorted(path for path in paths if path.is_file()))


def repository_texts() -> Iterator[tuple[Path, str]]:
    """The repository's files that hold text."""
    for path in repository_files():
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


@cache
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str | None:
    """The text under a Markdown heading, up to the next of the same or a higher level."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        level = len(line) - len(line.lstrip("#"))
        if not level or line[level:].strip() != heading:
            continue
        rest = lines[number + 1 :]
        ends = [at for at, below in enumerate(rest) if _level(below) and _level(below) <= level]
        return "\n".join(rest[: ends[0] if ends else None])
    return None


def _level(line: str) -> int:
    marks = line.partition(" ")[0]
    return len(marks) if marks and set(marks) == {"#"} else 0
