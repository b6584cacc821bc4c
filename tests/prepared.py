"""The program as processes of their own, each forked from an interpreter that has the libraries in memory.

To read them costs more than most commands do: half a second of a processor. What is ours is imported anew by
each process, so that what one command forgot to import is not there by another's kindness.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

#: What takes time among the libraries; one that is missing here is read by each process.
_LIBRARIES = (
    "croniter", "cryptography.fernet", "httpcore2", "msgspec.json", "msgspec.yaml", "phonenumbers", "psutil",
    "psycopg.types.json", "psycopg_pool", "pydantic_settings", "rich.console", "rich.live", "rich.progress",
    "rich.table", "structlog", "typer.main", "typer.rich_utils", "uvloop",
)  # fmt: skip
_LONGEST_REQUEST = 1_000_000
#: Of the test process; begun at the first command.
_prepared: socket.socket | None = None


def run(
    words: Sequence[str], environment: Mapping[str, str], *, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run a command of the program to its end, as `subprocess.run` does, with nothing on standard input.

    The end is, as there, when nobody holds its output any more.
    """
    nothing = os.open(os.devnull, os.O_RDONLY)
    (out, its_out), (err, its_err), (told, its_word) = (os.pipe() for _ in range(3))
    request = {"words": list(words), "environment": dict(environment), "folder": str(Path.cwd())}
    theirs = [its_word, nothing, its_out, its_err]
    try:
        socket.send_fds(_interpreter(), [json.dumps(request).encode()], theirs)
    finally:
        for fd in theirs:
            os.close(fd)
    read, ended = _read_all([told, out, err], timeout)
    pid, *codes = map(int, read[0].split())
    said = [each.decode() for each in read[1:]]
    if not ended:
        if not codes:
            os.kill(pid, signal.SIGKILL)
        raise subprocess.TimeoutExpired(list(words), timeout, *said)
    return subprocess.CompletedProcess(list(words), codes[0], *said)


def _read_all(fds: Sequence[int], timeout: float) -> tuple[list[bytes], bool]:
    """Read and close pipes; returns what was read, and whether all came to their end in time."""
    read = dict.fromkeys(fds, b"")
    deadline = time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        for fd in fds:
            selector.register(fd, selectors.EVENT_READ)
        while selector.get_map() and time.monotonic() < deadline:
            for key, _ in selector.select(max(0, deadline - time.monotonic())):
                more = os.read(key.fd, 65536)
                read[key.fd] += more
                if not more:
                    selector.unregister(key.fd)
        ended = not selector.get_map()
    for fd in fds:
        os.close(fd)
    return list(read.values()), ended


def _interpreter() -> socket.socket:
    """Return where requests are sent to; what is behind it ends with this process, however that ends."""
    global _prepared
    if _prepared is None:
        _prepared, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        with theirs:
            process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                env=kept,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        atexit.register(process.wait)
        atexit.register(_prepared.close)  # before it is waited for
    return _prepared


def _serve(requests: socket.socket) -> Sequence[str]:
    """Fork for each request. Returns in the process that is to carry one out, with the command's words."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for who waits for a command
    while True:
        given, fds, _, _ = socket.recv_fds(requests, _LONGEST_REQUEST, 4)
        if not given:
            sys.exit()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            pid = os.fork()
            if pid == 0:
                return _become(json.loads(given), fds)
            for fd in fds[1:]:
                os.close(fd)
            os.write(fds[0], b"%d " % pid)
            _, status = os.waitpid(pid, 0)
            os.write(fds[0], b"%d" % os.waitstatus_to_exitcode(status))
            os._exit(0)
        for fd in fds:
            os.close(fd)


def _become(request: Any, fds: Sequence[int]) -> Sequence[str]:
    """Be as a process is that was started with this request."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, fd in enumerate(fds[1:]):
        os.dup2(fd, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.path[0] = request["folder"]
    return request["words"]


if __name__ == "__main__":
    for _each in _LIBRARIES:
        importlib.import_module(_each)
    assert "syncline" not in sys.modules
    # Else each process would touch all that is in memory when it ends, and so copy it.
    gc.collect()
    gc.freeze()
    sys.argv[1:] = _serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module("syncline", run_name="__main__", alter_sys=True)
