"""Syncline and its simulator as processes of their own, as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import prepared


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    out: str
    err: str


def syncline(environment: Mapping[str, str], *arguments: str, seconds: float = 90) -> Answer:
    """Run one command to its end."""
    done = prepared.run(arguments, _surroundings() | dict(environment), timeout=seconds)
    return Answer(done.returncode, done.stdout, done.stderr)


@contextmanager
def worker(environment: Mapping[str, str]) -> Generator[subprocess.Popen[bytes]]:
    """Run a worker for the length of the block; SIGTERM ends it well, unless it is gone by then."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "syncline", "worker"],
            env=_surroundings() | dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            yield process
            if process.poll() is None:
                process.terminate()
                code = process.wait(40)
                log.seek(0)
                assert code == 0, log.read().decode()[-4000:]
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(20)


class Crm:
    """A simulated CRM that runs beside us."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.token = token

    def tell(self, path: str, **given: Any) -> Any:
        """Use the simulator's control, which is not part of the real thing."""
        request = urllib.request.Request(
            f"{self.url}/_simulator/{path}",
            data=json.dumps(given).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def ask(self, path: str) -> Any:
        """Read from the simulator's control."""
        with urllib.request.urlopen(f"{self.url}/_simulator/{path}", timeout=30) as answer:
            return json.loads(answer.read())

    def records(self, name: str) -> dict[str, dict[str, str]]:
        """The living records as they really are: id → properties that have a value."""
        with urllib.request.urlopen(f"{self.url}/_simulator/dump/{name}?state=living", timeout=60) as answer:
            return {line["id"]: line["properties"] for line in map(json.loads, _lines(answer))}


@contextmanager
def simulator(*options: str) -> Generator[Crm]:
    """Run the simulator for the length of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "syncline.simulators.hubspot", "--port", "0", *options],
        env=_surroundings(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())
        yield Crm(address["url"], address["token"])
    finally:
        process.terminate()
        process.wait(20)
        if process.stdout is not None:
            process.stdout.close()


def _lines(answer: Any) -> Iterator[bytes]:
    return (line for line in answer.read().splitlines() if line)


def _surroundings() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(("SYNCLINE_", "PG", "HUBSPOT_"))}
