"""Functions and files stay small, are named for what they are about, and say what they know."""

from __future__ import annotations

import ast

from sources import modules, name_of, tree_of

LONGEST_FUNCTION = 60
LONGEST_FILE = 400
#: Files beyond the usual length, up to 600 lines, and why they stay whole.
LONGER_FILES: dict[str, str] = {}
NAMES_THAT_SAY_NOTHING = {
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "manager",
    "service",
    "services",
    "misc",
}


def test_no_function_is_longer_than_sixty_lines() -> None:
    found = [
        f"{name_of(path)}:{node.lineno} {node.name}: {length} lines"
        for path in modules()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
    ]
    assert found == []


def test_no_file_is_longer_than_four_hundred_lines_without_a_reason() -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in modules()}
    too_long = {
        name: length
        for name, length in lengths.items()
        if length > (600 if name in LONGER_FILES else LONGEST_FILE)
    }
    assert too_long == {}


def test_the_list_of_longer_files_names_only_files_that_are_longer() -> None:
    longer = {name_of(path) for path in modules() if len(path.read_text().splitlines()) > LONGEST_FILE}
    assert set(LONGER_FILES) <= longer


def test_every_module_is_named_for_what_it_is_about() -> None:
    found = [
        name_of(path)
        for path in modules()
        if NAMES_THAT_SAY_NOTHING & {part.removesuffix(".py").strip("_") for part in path.parts}
        or (path.stem == "base" and name_of(path) != "connectors/base.py")
    ]
    assert found == []


def test_every_module_says_what_it_knows() -> None:
    found = [
        name_of(path) for path in modules() if tree_of(path).body and ast.get_docstring(tree_of(path)) is None
    ]
    assert found == []
