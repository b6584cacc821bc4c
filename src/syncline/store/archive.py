"""Files made by pg_dump: written, counted and replayed through the programs of Postgres.

Knows processes and the text they print; nothing of what Syncline keeps. Passwords go by environment, never by
command line. Of what a program complains only the first line is passed on: the rest may quote records.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, cast

from psycopg.conninfo import make_conninfo

from syncline.errors import DatabaseUnsuitable, Invalid
from syncline.store.binaries import Programs, list_clients
from syncline.store.urls import parse

#: Rows of each table, by its name with the schema, quoted as SQL needs it.
Counts = Mapping[str, int]


def require_clients(major: int, postgres_bin: Path | None) -> list[Programs]:
    """Return programs that fit a server of version `major`: its own if there are such, then newer ones.

    Raises `DatabaseUnsuitable` when there are none.
    """
    found = list_clients(named=postgres_bin, server_major=major)
    if not found:
        raise DatabaseUnsuitable(
            f"The server is PostgreSQL {major}, and no pg_dump of version {major} or newer was found. "
            "Install the client programs of that version and set SYNCLINE_POSTGRES_BIN to their folder."
        )
    return found


def choose_reader(candidates: list[Programs], file: Path) -> Programs:
    """Return the first programs that understand the format of `file`, which newer ones may have written."""
    complaint = b""
    for programs in candidates:
        answer = subprocess.run(  # noqa: S603 - programs we chose
            [programs.path("pg_restore"), "--list", str(file)],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if answer.returncode == 0:
            return programs
        complaint = answer.stderr
    raise Invalid(f"{file} is not a backup that can be read: {_first_complaint(complaint)}.")


async def dump(
    programs: Programs, file: Path, url: str, *, snapshot: str, role: str, schemas: list[str]
) -> None:
    """Write `schemas`, as `snapshot` shows them to `role`, over `file`. Raises `Invalid` when that fails."""
    command = [programs.path("pg_dump"), "--format=custom", f"--snapshot={snapshot}", f"--role={role}"]
    command += [f"--schema={name}" for name in schemas]
    process = await asyncio.create_subprocess_exec(
        *command,
        f"--file={file}",
        *_target(url),
        env=_environment(url),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, complaints = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        raise Invalid(f"pg_dump failed: {_first_complaint(complaints)}.")


def count_archived(programs: Programs, file: Path) -> Counts:
    """Count the rows of each table in `file` by reading all of it."""
    with _archived(programs, file, "--data-only") as lines:
        counts: dict[str, int] = {}
        for _ in _counted(lines, counts):
            pass
    return counts


def replay(programs: Programs, file: Path, url: str, *, role: str) -> Counts:
    """Run the SQL of `file` as `role` in one transaction and return how many rows of each table it held.

    psql runs it, and not pg_restore, whose newer versions send a server of an older one a setting that it
    does not know. Only we send the COMMIT, after the whole file was read without a complaint.
    """
    counts: dict[str, int] = {}
    command = [programs.path("psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", *_target(url)]
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(  # noqa: S603 - programs we chose
            command,
            env=_environment(url),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
        ) as psql,
    ):
        sink = cast("IO[bytes]", psql.stdin)
        try:
            with _archived(programs, file, "--no-owner", f"--role={role}") as lines:
                sink.write(b"begin;\n")
                sink.writelines(line for line in _counted(lines, counts) if line != _UNKNOWN_BEFORE_17)
            sink.write(b"commit;\n")
        except BrokenPipeError:  # psql gave up; what it says comes below
            pass
        except BaseException:
            psql.kill()
            raise
        finally:
            with suppress(BrokenPipeError):
                sink.close()
        if psql.wait() != 0:
            complaints.seek(0)
            raise Invalid(f"{file} could not be restored: {_first_complaint(complaints.read())}.")
    return counts


@contextmanager
def _archived(programs: Programs, file: Path, *options: str) -> Generator[IO[bytes]]:
    """Yield `file` as lines of SQL. Raises `Invalid` at the end when it could not be read to its end."""
    command = [programs.path("pg_restore"), "--file=-", *options, str(file)]
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(  # noqa: S603 - programs we chose
            command, env=_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints
        ) as process,
    ):
        try:
            yield cast("IO[bytes]", process.stdout)
        except BaseException:
            process.kill()
            raise
        if process.wait() != 0:
            complaints.seek(0)
            raise Invalid(f"{file} is not a backup that can be read: {_first_complaint(complaints.read())}.")


_COPY = re.compile(rb"COPY (.+?) \(.*\) FROM stdin;\n")
_UNKNOWN_BEFORE_17 = b"SET transaction_timeout = 0;\n"


def _counted(lines: Iterable[bytes], counts: dict[str, int]) -> Iterator[bytes]:
    """Pass `lines` on and count the rows of each COPY among them into `counts`."""
    table = ""
    for line in lines:
        yield line
        if not table:
            match = _COPY.match(line) if line.startswith(b"COPY ") else None
            if match:
                table = match.group(1).decode()
                counts[table] = 0
        elif line == b"\\.\n":
            table = ""
        else:
            counts[table] += 1


def _first_complaint(output: bytes) -> str:
    # The lines after the first may quote records.
    lines = output.decode(errors="replace").splitlines()
    found = [line for line in lines if "error:" in line] or lines or ["it gave no reason"]
    return found[0].partition("error:")[2].strip()[:300] or found[0][:300]


def _target(url: str) -> list[str]:
    """Return the arguments that name the database of `url`, without the password."""
    named = {k: v for k, v in parse(url).items() if k != "password"}
    return [f"--dbname={make_conninfo(**named)}", "--no-password"]


def _environment(url: str | None = None) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "SYNCLINE_"))}
    password = parse(url).get("password") if url else None
    return kept | {"LC_ALL": "C"} | ({"PGPASSWORD": password} if password else {})
