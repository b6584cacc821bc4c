"""What may be spoken of where: CRMs by name, SQL, outside hosts. Imports are held by import-linter."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

from sources import PACKAGE, modules, name_of, pyproject, repository_texts, strings, tree_of

from syncline.connectors.registry import PLATFORMS

#: A platform that is called like the database Syncline stands on: the word may be anywhere, as a platform's
#: name nowhere.
DATABASE = "postgres"
PLATFORM = re.compile("|".join(sorted(set(PLATFORMS) - {DATABASE})), re.IGNORECASE)
#: Where that word in quotes is the embedded server's program, folder or first database.
OF_THE_SERVER = {
    "actions/bundle.py",
    "actions/setup.py",
    "store/accounts.py",
    "store/backup.py",
    "store/binaries.py",
    "store/home.py",
    "store/launcher.py",
    "store/supervisor.py",
}
#: What only the platform is called by.
DATABASE_CRM = re.compile(rf"connectors[./]{DATABASE}|raw\.{DATABASE}|simulators[./]{DATABASE}")
#: Where nothing of a particular CRM may be known, not even in a comment.
NEUTRAL_FOLDERS = ("domain", "engine", "actions", "api", "cli")
#: A CRM kept in a database is spoken to in SQL, as others are by HTTP; its simulator makes the tables. None
#: of it is about tables of ours, which the store alone knows.
DATABASE_CRMS = ("connectors/postgres/", "simulators/postgres/")
#: The one route under the address that programs written for one CRM already call, and where it is listed.
COMPATIBILITY = {"api/fetch_hubspot_live.py", "api/operations.py"}
STATEMENT = re.compile(
    r"^\s*(select\s.+\sfrom\s|select\s+\w+\.\w+\(|insert\s+into\s|update\s+[\w.]+\s+set\s|delete\s+from\s"
    r"|with\s+\w+\s+as\s+(not\s+)?(materialized\s+)?\(|(create|alter|drop)\s+(table|schema|role|view|index|function|database)\s"
    r"|truncate\s+\w|(grant|revoke)\s.+\s(to|from)\s|set\s+(local|session|role)\s|copy\s+[\w.]+\s*\(|listen\s+\w+$|notify\s+\w+)",
    re.IGNORECASE | re.DOTALL,
)
HOST = re.compile(r"(?:[a-z0-9-]+\.)+(?:com|io|net|org|dev|ai|app|cloud|co|eu)\b", re.IGNORECASE)
#: Hosts that code may name, by the folder that may name them: the CRM's own, as it documents them.
DOCUMENTED_HOSTS = {
    "connectors/hubspot": {"api.hubapi.com", "app.hubspot.com", "mcp.hubspot.com"},
    "connectors/pipedrive": {
        "api.pipedrive.com",
        "developers.pipedrive.com",
        "oauth.pipedrive.com",
        "pipedrive.com",
    },
    # Its error answers point to the documentation, as the real ones do.
    "simulators/hubspot": {"api.hubapi.com", "app.hubspot.com", "developers.hubspot.com"},
    "simulators/pipedrive": {
        "api.pipedrive.com",
        "developers.pipedrive.com",
        "pipedrive.com",
    },
}
#: Reserved for examples by RFC 2606: nobody's host.
NOBODYS_HOST = re.compile(r"(^|\.)example\.(com|org|net)$", re.IGNORECASE)


def _neutral_files() -> list[Path]:
    files = [path for path in modules() if name_of(path).partition("/")[0] in NEUTRAL_FOLDERS]
    files += PACKAGE.glob("*.py")
    files += (PACKAGE / "store").glob("*.py")
    return files


def test_no_crm_is_named_outside_its_connector_and_simulator() -> None:
    found = [
        f"{name_of(path)}:{number} {line.strip()}"
        for path in _neutral_files()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if PLATFORM.search(line) and name_of(path) not in COMPATIBILITY
    ]
    assert found == []


def test_a_crm_in_a_database_is_not_named_either() -> None:
    found: list[str] = []
    for path in _neutral_files():
        name = name_of(path)
        found += [
            f"{name}:{number} {line.strip()}"
            for number, line in enumerate(path.read_text().splitlines(), 1)
            if DATABASE_CRM.search(line)
        ]
        if name not in OF_THE_SERVER:
            found += [f"{name}:{line}" for line, text in strings(path) if text.strip() == DATABASE]
    assert found == []


def test_the_words_of_our_own_server_are_no_platform() -> None:
    """Where the word may stand in quotes it is compared with nothing that a platform could be."""
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in _neutral_files()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Compare | ast.keyword | ast.Subscript | ast.Dict)
        and "platform" in ast.unparse(node).lower()
        and any(isinstance(each, ast.Constant) and each.value in PLATFORMS for each in ast.walk(node))
    ]
    assert found == []


def test_no_file_outside_its_folders_is_named_for_a_crm() -> None:
    found = {name_of(path) for path in _neutral_files() if PLATFORM.search(name_of(path))}
    assert found <= COMPATIBILITY


def test_statements_stand_in_the_store_only() -> None:
    # What doctor tells a person to run is not run by us.
    found = [
        f"{name_of(path)}:{line} {text.strip()[:60]!r}"
        for path in modules()
        if not name_of(path).startswith(("store/", "actions/checks/", *DATABASE_CRMS))
        for line, text in strings(path)
        if STATEMENT.search(text)
    ]
    assert found == []


def test_nothing_is_executed_outside_the_store() -> None:
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in modules()
        if not name_of(path).startswith(("store/", *DATABASE_CRMS))
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"execute", "executemany", "cursor", "copy_expert"}
    ]
    assert found == []


OUR_SCHEMAS = re.compile(r"\b(from|join|into|update|table)\s+(app|crm|sync|raw|compat|jobs)\.", re.IGNORECASE)
BUILT = re.compile(r"\s*(select|insert into|update|delete from|with|create|alter|drop)\b", re.IGNORECASE)


def test_a_crm_in_a_database_is_asked_for_no_table_of_ours_and_in_no_formatted_string() -> None:
    paths = [path for path in modules() if name_of(path).startswith(DATABASE_CRMS)]
    assert paths
    ours = [
        f"{name_of(path)}:{line}"
        for path in paths
        for line, text in strings(path)
        if OUR_SCHEMAS.search(text)
    ]
    formatted = [
        f"{name_of(path)}:{node.lineno}"
        for path in paths
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.JoinedStr)
        and isinstance(node.values[0], ast.Constant)
        and BUILT.match(str(node.values[0].value))
    ]
    assert (ours, formatted) == ([], [])


def test_the_code_names_no_host_but_the_crms_own() -> None:
    found: list[str] = []
    for path in modules():
        folder = "/".join(name_of(path).split("/")[:2])
        allowed = DOCUMENTED_HOSTS.get(folder, set())
        for line, text in strings(path):
            hosts = {
                host.lower() for host in HOST.findall(_without_mail(text)) if not NOBODYS_HOST.search(host)
            }
            found += [f"{name_of(path)}:{line} {host}" for host in sorted(hosts - allowed)]
    assert found == []


def _without_mail(text: str) -> str:
    # A made-up person's address is no host that anybody connects to.
    return re.sub(r"\S+@\S+", "", text)


def test_the_code_imports_only_what_pyproject_declares() -> None:
    project = pyproject()["project"]
    needed = [project["dependencies"], *project["optional-dependencies"].values()]
    declared = {name for part in needed for each in part for name in _distributions(each)}
    belongs = packages_distributions()
    found: set[str] = set()
    for path in modules():
        for module in _imported(tree_of(path)):
            if module in sys.stdlib_module_names or module == "syncline":
                continue
            if not declared & {_normal(name) for name in belongs.get(module, [])}:
                found.add(f"{name_of(path)} imports {module}")
    assert found == set()


def _distributions(requirement: str) -> set[str]:
    """The distributions a requirement brings by name: itself, and by custom NAME-EXTRA for an extra."""
    match = re.match(r"([\w.-]+)(?:\[([\w,-]+)\])?", requirement)
    assert match is not None
    extras = match[2].split(",") if match[2] else []
    return {_normal(match[1]), *(f"{_normal(match[1])}-{extra}" for extra in extras)}


def _imported(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_nothing_is_left_for_later() -> None:
    words = "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK"))
    # As a remark; a CRM may well use one of these words as a value.
    marks = re.compile(rf"(#|--|//|<!--|\"\"\")[^\"\n]*\b({words})\b|\b({words})(:|\()")
    found = [
        f"{name_of(path)}:{number}"
        for path, text in repository_texts()
        if path.name != "pyproject.toml"
        for number, line in enumerate(text.splitlines(), 1)
        if marks.search(line)
    ]
    assert found == []
