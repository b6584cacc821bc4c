"""The program's manners: quick help, one sentence for every error, no traceback unless asked."""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
from programs import Program

from syncline.cli.commands import COMMANDS
from syncline.cli.entry import build_app
from syncline.store.db import list_revisions


def one_sentence(text: str) -> str:
    [line] = text.strip().splitlines()
    assert line.startswith("syncline: ")
    assert "Traceback" not in line
    return line


def test_help_names_every_command_and_promises_no_telemetry(bare: Program):
    done = bare("--help")
    assert done.returncode == 0
    for command in COMMANDS:
        assert command.name in done.stdout
    assert "no telemetry" in " ".join(done.stdout.split())


def test_help_imports_no_command():
    """What takes time to import is what is not needed: the CPU time is bounded by the modules."""
    script = (
        "import sys\n"
        "from syncline.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "slow = ('psycopg', 'fastapi', 'uvicorn', 'pgqueuer', 'alembic', 'pydantic', 'structlog')\n"
        "print([name for name in slow if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("command", [each.name for each in COMMANDS])
def test_every_command_is_there_and_explains_itself(command: str):
    [found] = [each for each in COMMANDS if each.name == command]
    module = importlib.import_module(f"syncline.cli.{found.module}")
    assert module.__doc__
    if not found.is_group:
        assert inspect.getdoc(module.command)
    assert build_app(command) is not None


def test_an_unknown_command_is_a_callers_mistake(bare: Program):
    done = bare("nonsense")
    assert done.returncode == 2
    assert "nonsense" in done.stderr


def test_an_unknown_setting_is_named_with_the_one_that_was_meant(bare: Program):
    done = bare("status", SYNCLINE_DATABSE_URL="postgresql://x")
    assert done.returncode == 3
    assert "SYNCLINE_DATABASE_URL" in one_sentence(done.stderr)


def test_a_database_that_cannot_be_reached_is_one_sentence_without_the_password(bare: Program):
    done = bare("status", SYNCLINE_DATABASE_URL="postgresql://someone:hidden-word@127.0.0.1:1/db")
    assert done.returncode == 3
    assert "127.0.0.1:1/db" in one_sentence(done.stderr)
    assert "hidden-word" not in done.stderr


def test_a_home_that_cannot_be_written_is_one_sentence(bare: Program, tmp_path: Path):
    (tmp_path / "file").write_text("")
    done = bare("status", SYNCLINE_HOME=str(tmp_path / "file" / "home"))
    assert done.returncode == 3
    assert "SYNCLINE_HOME" in one_sentence(done.stderr)


def test_a_role_that_owns_everything_is_one_sentence(program: Program):
    admin = program.environment["SYNCLINE_ADMIN_DATABASE_URL"]
    done = program("status", SYNCLINE_DATABASE_URL=admin)
    assert done.returncode == 3
    assert "row-level security" in one_sentence(done.stderr)


def test_an_older_schema_is_refused_and_says_how_to_migrate(program: Program):
    assert program("migrate", "--down", list_revisions()[-2], "--yes").returncode == 0
    for words in (("status",), ("sync",), ("worker",), ("serve", "--port", "0")):
        done = program(*words)
        assert done.returncode == 3, words
        assert "syncline migrate" in one_sentence(done.stderr)
    assert program("migrate").returncode == 0
    assert program("status").returncode == 0


def test_a_missing_token_says_where_it_is_looked_for(program: Program):
    done = program("connect", "hubspot", "--name", "acme")
    assert done.returncode == 3
    assert "HUBSPOT_API_KEY" in one_sentence(done.stderr)


def test_a_missing_key_says_how_to_make_one(program: Program):
    without = Program({k: v for k, v in program.environment.items() if k != "SYNCLINE_SECRET_KEY"})
    done = without("connect", "hubspot", "--name", "acme", HUBSPOT_API_KEY="pat-na1-made-up")
    assert done.returncode == 3
    assert "syncline init" in one_sentence(done.stderr)


def test_debug_shows_where_and_hides_the_token(program: Program):
    token = "pat-na1-0f0f0f0f-1212"
    words = ("connect", "hubspot", "--name", "acme", "--base-url", "http://127.0.0.1:1")
    quiet = program(*words, HUBSPOT_API_KEY=token)
    loud = program(*words, "--debug", HUBSPOT_API_KEY=token)
    assert quiet.returncode == loud.returncode == 6
    assert "Traceback" in loud.stderr
    assert "Traceback" not in quiet.stderr
    assert token not in quiet.stderr + loud.stderr + loud.stdout


def test_json_stands_alone_on_standard_output(program: Program):
    assert json.loads(program("status", "--json").stdout)["connections"] == []
    assert isinstance(json.loads(program("doctor", "--offline", "--json").stdout), list)


def test_an_unknown_tenant_is_named_beside_those_there_are(program: Program):
    done = program("status", "--tenant", "nobody")
    assert done.returncode == 2
    assert "default" in one_sentence(done.stderr)


def test_output_that_nobody_reads_to_the_end_is_no_error(program: Program):
    command = [*Program.command(["doctor", "--offline"])]
    process = subprocess.Popen(
        command, env=dict(program.environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=30)
    assert "Traceback" not in errors
