"""The pages name every setting, command, error, state and dependency, and nothing that is not there."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any, get_args

import click
import psycopg
import pytest
import typer
from sources import (
    DOCS,
    ROOT,
    modules,
    name_of,
    page,
    pyproject,
    repository_texts,
    section,
    strings,
    tree_of,
)

from syncline import errors
from syncline.actions.status import State
from syncline.cli.entry import build_app
from syncline.cli.exit_codes import EXIT_CODES
from syncline.config import PREFIX, Settings, known_variables
from syncline.store.urls import DatabaseUrls

CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def _markdown() -> list[tuple[Path, str]]:
    return [(path, text) for path, text in repository_texts() if path.suffix == ".md"]


def test_every_setting_is_documented_and_no_other() -> None:
    documented = set(re.findall(rf"^\| `({PREFIX}[A-Z_]+)`", page("configuration.md"), re.MULTILINE))
    assert documented == set(known_variables())


def test_every_settings_default_is_documented() -> None:
    missing: list[str] = []
    for name, field in Settings.model_fields.items():
        default = field.default
        if field.is_required() or default is None or field.default_factory is not None:
            continue
        row = next(
            line for line in page("configuration.md").splitlines() if f"| `{PREFIX}{name.upper()}`" in line
        )
        if f"`{default}`" not in row:
            missing.append(f"{PREFIX}{name.upper()} = {default}")
    assert missing == []


def test_every_setting_is_used() -> None:
    read = {
        node.attr
        for path in modules()
        if name_of(path) != "config.py"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and "settings" in ast.unparse(node.value)
    }
    words = {word for path in modules() if name_of(path) != "config.py" for _, word in strings(path)}
    assert set(Settings.model_fields) - read - words == set()


def test_nothing_names_a_setting_that_does_not_exist() -> None:
    known = {*known_variables(), "SYNCLINE_TEST_POSTGRES"}
    found = [
        f"{name_of(path)}: {name}"
        for path, text in repository_texts()
        if path.suffix in {".md", ".yaml", ".example", ".service", ""}
        for name in re.findall(rf"\b{PREFIX}[A-Z_]+[A-Z]\b", text)
        if name not in known
    ]
    assert found == []


def _commands() -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}

    def visit(command: click.Command, name: str) -> None:
        found[name] = command
        for child, sub in getattr(command, "commands", {}).items():
            if not sub.hidden:
                visit(sub, f"{name} {child}")

    visit(typer.main.get_command(build_app(None, whole=True)), "syncline")
    return found


def test_every_command_and_option_is_documented() -> None:
    text = page("cli.md")
    missing: list[str] = []
    for name, command in _commands().items():
        about = section(text, name)
        if about is None:
            missing.append(name)
            continue
        missing += [f"{name} {option}" for option in _options(command) if f"`{option}" not in about]
    assert missing == []


def _options(command: click.Command) -> list[str]:
    return [
        option
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.hidden
        for option in parameter.opts
        if option.startswith("--") and option not in {"--help", "--install-completion", "--show-completion"}
    ]


def test_no_page_names_a_command_that_does_not_exist() -> None:
    commands = set(_commands())
    found: list[str] = []
    for path, text in _markdown():
        for words in re.findall(r"(?:`|^ {4}|^\$ )syncline ((?:[a-z-]+ ?)+)", text, re.MULTILINE):
            name = f"syncline {words.split()[0]}"
            if name not in commands:
                found.append(f"{name_of(path)}: {name}")
    assert found == []


def test_every_error_is_documented_with_its_exit_code() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d+) \| .+\|$", page("errors.md"), re.MULTILINE))
    classes = {
        name: value
        for name, value in inspect.getmembers(errors, inspect.isclass)
        if issubclass(value, errors.SynclineError)
    }
    assert rows == {name: str(EXIT_CODES[value]) for name, value in classes.items()}


def test_every_dependency_has_a_reason() -> None:
    rows = {
        match[1].lower(): match[2].strip()
        for match in re.finditer(
            r"^\| `([\w.-]+)(?:\[[\w,]+\])?` \|(.+)\|$", page("dependencies.md"), re.MULTILINE
        )
    }
    groups = pyproject()["dependency-groups"]
    asked: list[str | dict[str, str]] = [
        *pyproject()["project"]["dependencies"],
        *(each for extra in pyproject()["project"]["optional-dependencies"].values() for each in extra),
        *groups["build"],
        *groups["dev"],
    ]
    names = {re.split(r"[\[<>=!~; ]", each)[0].lower() for each in asked if isinstance(each, str)}
    assert {name for name in names if len(rows.get(name, "")) < 10} == set()
    assert set(rows) - names == set()


@pytest.mark.anyio
async def test_every_state_is_documented(database_urls: DatabaseUrls) -> None:
    text = page("concepts.md")
    rows = {match[1]: match[2] for match in re.finditer(r"^\| `([\w.]+)` \|(.+)\|$", text, re.MULTILINE)}
    async with await psycopg.AsyncConnection.connect(database_urls.superuser) as conn:
        cursor = await conn.execute(
            "select n.nspname || '.' || t.relname, pg_get_constraintdef(c.oid) from pg_constraint c "
            "join pg_class t on t.oid = c.conrelid join pg_namespace n on n.oid = t.relnamespace "
            "where c.contype = 'c' and n.nspname in ('app', 'crm', 'sync') and not t.relispartition"
        )
        constraints: list[tuple[Any, ...]] = await cursor.fetchall()
    missing: list[str] = []
    for table, definition in constraints:
        listed = re.fullmatch(r"CHECK \(\((\w+) = ANY \(ARRAY\[(.+)\]\)\)\)", definition)
        if not listed:
            continue
        row = rows.get(f"{table}.{listed[1]}", "")
        missing += [
            f"{table}.{listed[1]}: {state}"
            for state in re.findall(r"'([^']+)'::text", listed[2])
            if f"`{state}`" not in row
        ]
    assert missing == []


def test_every_state_of_the_status_page_is_documented() -> None:
    text = page("concepts.md")
    assert [state for state in get_args(State) if f"| `{state}` |" not in text] == []


def test_every_link_between_pages_leads_somewhere() -> None:
    found: list[str] = []
    for path, text in _markdown():
        for target in LINK.findall(text):
            place = target.partition("#")[0]
            if place and "://" not in target and not (path.parent / place).exists():
                found.append(f"{name_of(path)}: {target}")
    assert found == []


def test_every_page_is_reached_from_the_index() -> None:
    linked = {
        (path.parent / target.partition("#")[0]).resolve()
        for path, text in _markdown()
        if path.is_relative_to(DOCS) and path.name == "index.md"
        for target in LINK.findall(text)
        if "://" not in target
    }
    pages = {path for path, _ in _markdown() if path.is_relative_to(DOCS) and path.name != "index.md"}
    assert sorted(name_of(path) for path in pages - linked) == []


def test_every_make_command_in_the_documentation_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        f"{name_of(path)}: make {name}"
        for path, text in _markdown()
        for name in re.findall(r"(?:`|^ {4})make ([a-z-]+)", text, re.MULTILINE)
        if name not in targets
    }
    assert named == set()
