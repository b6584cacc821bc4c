"""A real pgbouncer before a test's server, as an ordinary user on a free port, ended by its pid."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import psycopg

from syncline.store.accounts import choose_account, run_as
from syncline.store.urls import make_url

#: Debian puts it where the PATH of an ordinary user does not lead.
PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
WHY_NOT = "pgbouncer is not installed (apt-get install pgbouncer)"

_CONFIGURATION = """\
[databases]
* = host=127.0.0.1 port={server_port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = 200
; The next transaction gets another server connection, so that nothing can rely on meeting the last one.
server_round_robin = 1
logfile = {folder}/log
pidfile =
ignore_startup_parameters = extra_float_digits
"""


@contextmanager
def pgbouncer(
    server_port: int,
    passwords: Mapping[str, str],
    *,
    mode: Literal["transaction", "session"] = "transaction",
    size: int = 6,
) -> Generator[int]:
    """Run a pgbouncer that lets the roles in `passwords` through for the length of the block; yield its port.

    `size` is how many server connections it keeps for each role and database.
    """
    assert PROGRAM is not None, WHY_NOT
    folder = Path(tempfile.mkdtemp(prefix="syncline-pgbouncer-"))
    account = choose_account(folder / "none")
    port = _free_port()
    (folder / "pgbouncer.ini").write_text(
        _CONFIGURATION.format(folder=folder, port=port, server_port=server_port, mode=mode, size=size)
    )
    (folder / "users").write_text("".join(f'"{name}" "{word}"\n' for name, word in passwords.items()))
    if account is not None:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, account.uid, account.gid)
    process = subprocess.Popen(
        [PROGRAM, "--quiet", str(folder / "pgbouncer.ini")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        **run_as(account),
    )
    try:
        _wait(process, port, folder / "log", passwords)
        yield port
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], port: int, log: Path, passwords: Mapping[str, str]) -> None:
    """Wait until it listens; to log in would hold a server connection of a database that a test may drop."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    said = log.read_text() if log.exists() else ""
    raise AssertionError(f"pgbouncer did not start: {said}")


def through(url: str, port: int) -> str:
    """Return `url` leading through the pgbouncer on `port`."""
    parts = psycopg.conninfo.conninfo_to_dict(url)
    return make_url(
        user=str(parts["user"]),
        password=str(parts["password"]),
        host="127.0.0.1",
        port=port,
        database=str(parts["dbname"]),
    )
