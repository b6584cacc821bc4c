"""The demo: begins, goes on, lives, and leaves nothing running."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from programs import Program

#: How many simulated contacts; the rest of the account keeps its size.
FEW = ("--contacts", "40")
#: An edit of a colleague has arrived. Whose record it is, is chance.
SHOWN = re.compile(r"\d\d:\d\d:\d\d  (company|contact|deal|activity|task) (created|updated|archived)")


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def simulators_of(home: Path) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "simulate" in words and any(str(home) in word for word in words):
            found.append(process)
    return found


@pytest.mark.first
def test_the_demo_begins_lives_survives_a_kill_goes_on_and_ends(bare: Program, home: Path):
    """One test for all of it, since each start costs seconds."""
    own = {"SYNCLINE_HOME": str(home / "demo")}
    living = bare.start("demo", *FEW, "--edits-per-minute", "600")
    try:
        first = read_to(living, SHOWN)
        assert "The demo begins" in first
        assert first.count("equal") == 9
        assert "DIFFERS" not in first
        assert f"SYNCLINE_HOME={home / 'demo'}" in first.replace("'", "")
        assert not (home / "postgres").exists(), "the real home is not touched"
        second = bare("demo", "--once", *FEW)
        assert second.returncode == 6
        assert "running already" in second.stderr
        assert "workers: 1 alive" in bare("status", **own).stdout
    finally:
        living.send_signal(signal.SIGKILL)
        living.communicate()
    wait_until(lambda: simulators_of(home) == [])

    again = bare.start("demo", *FEW, "--edits-per-minute", "600")
    try:
        first = read_to(again, re.compile("Simulated colleagues now"))
        assert "The demo goes on" in first
        assert first.count("equal") == 9
        again.send_signal(signal.SIGINT)
        rest, _ = again.communicate(timeout=60)
    finally:
        again.kill()
    assert again.returncode == 0
    assert "The demo has ended" in rest
    assert simulators_of(home) == []
    assert bare("db", "stop", "--force", **own).returncode == 0


def read_to(process: subprocess.Popen[str], line: re.Pattern[str]) -> str:
    """Read what a process prints until such a line."""
    assert process.stdout is not None
    lines: list[str] = []
    for each in process.stdout:
        lines.append(each)
        if line.match(each):
            return "".join(lines)
    raise AssertionError("".join(lines))
