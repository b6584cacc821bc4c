"""The files of the repository name no registry and no place on anybody's machine, and the pins hold."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from sources import ROOT, name_of, pyproject, repository_files, repository_texts

LOCKS = ("runtime.txt", "build.txt", "dev.txt")
#: Written in pieces, or this file would name them.
REGISTRIES = re.compile(
    "|".join(
        re.escape(".".join(parts))
        for parts in (
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("registry", "npmjs"),
            ("npmjs", "org"),
            ("deb", "debian"),
            ("security", "debian"),
            ("archive", "ubuntu"),
            ("proxy", "golang"),
        )
    )
    + "|index"
    + "-url|find"
    + "-links",
    re.IGNORECASE,
)
#: Folders that exist on a developer's machine only.
PRIVATE_PLACE = re.compile(r"(?<![\w.$}-])/(?:root|work|Users|mnt|home/(?!syncline\b)\w+)/[\w.-]+")
SECRET = re.compile(r"\bpat-(na|eu)\d-(?!0{8})[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")


def _found(pattern: re.Pattern[str], *, but: tuple[str, ...] = ()) -> list[str]:
    return [
        f"{name_of(path)}:{number} {match[0]}"
        for path, text in repository_texts()
        if name_of(path) not in but
        for number, line in enumerate(text.splitlines(), 1)
        if (match := pattern.search(line))
    ]


def test_no_file_names_a_package_registry() -> None:
    # The Makefile tells the resolver to leave them out.
    assert _found(REGISTRIES, but=("Makefile",)) == []


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    assert _found(PRIVATE_PLACE) == []


def test_no_file_holds_a_token_that_could_be_real() -> None:
    assert _found(SECRET) == []


def _requirements(lock: str) -> dict[str, str]:
    """Return name → the whole requirement, of one lock file."""
    text = (ROOT / "requirements" / lock).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return {_normal(re.split(r"[=;\[ ]", line, maxsplit=1)[0]): line for line in lines}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_is_exact_and_carries_hashes(lock: str) -> None:
    pins = _requirements(lock)
    assert pins
    loose = [
        name for name, line in pins.items() if not re.search(r"==[\w.]+.*--hash=sha256:[0-9a-f]{64}", line)
    ]
    assert loose == []


def _direct(requirements: list[str | dict[str, str]]) -> set[str]:
    return {_normal(re.split(r"[\[<>=!~; ]", each)[0]) for each in requirements if isinstance(each, str)}


def test_everything_that_is_asked_for_is_pinned() -> None:
    project, groups = pyproject()["project"], pyproject()["dependency-groups"]
    runtime = _direct(project["dependencies"])
    assert runtime <= set(_requirements("runtime.txt"))
    assert _direct(groups["build"]) <= set(_requirements("build.txt"))
    assert runtime | _direct(groups["build"]) | _direct(groups["dev"]) <= set(_requirements("dev.txt"))


@pytest.mark.parametrize("lock", ["runtime.txt", "build.txt"])
def test_the_tests_run_on_the_versions_that_users_run(lock: str) -> None:
    tested = _requirements("dev.txt")
    different = [
        name for name, line in _requirements(lock).items() if _version(tested.get(name)) != _version(line)
    ]
    assert different == []


def _version(line: str | None) -> str | None:
    match = re.search(r"==([\w.]+)", line or "")
    return match[1] if match else None


def test_what_is_meant_to_be_run_can_be() -> None:
    scripts = [path for path in repository_files() if path.read_bytes().startswith(b"#!")]
    assert ROOT / ".ci" / "run" in scripts
    assert [name_of(path) for path in scripts if not _is_executable(path)] == []


def _is_executable(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_IXUSR)
