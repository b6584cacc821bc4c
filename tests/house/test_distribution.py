"""What keeps one schema fit for one Postgres and for many: rules over the text of all SQL.

One Postgres alone shows no breach of these. What its catalogue can show is in tests/store/test_guards.py.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from functools import cache

import pytest
from psycopg import sql
from sources import PACKAGE

MIGRATIONS = sorted((PACKAGE / "store" / "migrations" / "versions").glob("*.sql"))
STORE = sorted((PACKAGE / "store").glob("*.py"))
#: Tables on one node only, for which it does not matter: PgQueuer's, quotas, workers, requests
#: of this minute; users, who may be in several tenants, with what belongs to them; and staging.
LOCAL = re.compile(
    r"\b(jobs\.|app\.request_counts|app\.users\b|app\.(sessions|attempts|password_links)\b|"
    r"sync\.quota|sync\.workers|sync\.refused_webhooks|pull_\w+|removal_\w+)",
    re.IGNORECASE,
)
VOLATILE = re.compile(
    r"\b(now|clock_timestamp|statement_timestamp|random|gen_random_uuid|nextval|timeofday)\s*\("
    r"|\bcurrent_(timestamp|date|time)\b",
    re.IGNORECASE,
)
#: In an UPDATE what is stable will do.
STABLE = re.compile(r"\bnow\s*\(|\bcurrent_(timestamp|date|time)\b", re.IGNORECASE)


def without_comments(text: str) -> str:
    return re.sub(r"--[^\n]*", "", text)


@cache
def migrations() -> tuple[tuple[str, str], ...]:
    """Each migration's text, without PgQueuer's own DDL, which is frozen as PgQueuer gives it."""
    found: list[tuple[str, str]] = []
    for path in MIGRATIONS:
        text = path.read_text(encoding="utf-8")
        if "CREATE TYPE jobs." in text:
            before, _, rest = text.partition("CREATE TYPE jobs.")
            _, _, after = rest.partition("FUNCTION jobs.fn_pgqueuer_changed();")
            text = before + after
        found.append((path.name, without_comments(text)))
    return tuple(found)


@cache
def statements() -> tuple[tuple[str, str], ...]:
    """Every constant of the store that is SQL."""
    found: list[tuple[str, str]] = []
    for path in STORE:
        module = importlib.import_module(f"syncline.store.{path.stem}")
        for name, value in vars(module).items():
            text = value.as_string(None) if isinstance(value, sql.Composable) else value
            if name.lstrip("_").isupper() and isinstance(text, str) and re.match(r"\s*\w+\s", text):
                found.append((f"{path.stem}.{name}", without_comments(text)))
    return tuple(found)


def everything() -> Iterator[tuple[str, str]]:
    yield from migrations()
    yield from statements()


@pytest.mark.parametrize(
    ("rule", "pattern"),
    [
        ("a foreign key cascades or does nothing", r"on\s+(delete|update)\s+set\s+(null|default)"),
        ("keys do not change", r"on\s+update\s+cascade"),
        ("row-level security is enabled, not forced", r"force\s+row\s+level\s+security"),
        ("a tenant is set for a transaction", r"\bset_config\s*\(|\bset\s+(session\s+)?app\.\w+"),
        ("roles and extensions are an administrator's", r"\b(create|alter|drop)\s+(role|user|extension)\b"),
        ("no trigger reads transition tables", r"\breferencing\s+(old|new)\s+table\b"),
        ("partitions are detached plainly", r"\bdetach\s+partition\s+\S+\s+concurrently"),
        ("upserts, not merges", r"\bmerge\s+into\b"),
        ("no statement goes over tenants in sets", r"\bgrouping\s+sets\b"),
        ("no materialized view", r"\bcreate\s+materialized\s+view\b"),
        ("nobody commits in two phases", r"\bprepare\s+transaction\b"),
        (
            "tables of tenants have no sequences",
            r"\b(big)?serial\b|generated\s+\w+(\s+default)?\s+as\s+identity",
        ),
        ("a tenant's row stays with its tenant", r"\bset\s+tenant_id\s*="),
        ("constraints are added one at a time", r"add\s+constraint[^;]*,\s*add\s+constraint"),
    ],
)
def test_no_sql_breaks_the_rule_that(rule: str, pattern: str) -> None:
    found = [
        f"{name}: {match[0]}"
        for name, text in everything()
        for match in re.finditer(pattern, text, re.IGNORECASE)
        if name.partition(".")[0] not in {"roles", "migrate"}
    ]
    assert found == [], rule


def test_every_constraint_has_a_name() -> None:
    word = re.compile(
        r"\b(primary\s+key|foreign\s+key\s*\(|unique\s*\(|check\s*\(|references\s)", re.IGNORECASE
    )
    named = re.compile(
        r"(constraint\s+(\w+|%\d\$I)\s+|\bwith\s+|constraint\s+\w+\s+foreign\s+key\s*\([^)]*\)\s+"
        r"|constraint\s+%\d\$I\s+foreign\s+key\s*\([^)]*\)\s+)$",
        re.IGNORECASE,
    )
    found = [
        f"{name}: {text[match.start() - 40 : match.end()]!r}"
        for name, text in migrations()
        for match in word.finditer(text)
        if not named.search(text[max(0, match.start() - 200) : match.start()])
    ]
    assert found == []


def test_every_table_of_tenants_is_distributed_and_protected_where_it_is_made() -> None:
    made: dict[str, str] = {}
    for name, text in migrations():
        for table, rest in re.findall(r"create table ((?:app|crm|sync|raw)\.\w+)\s*(\(|partition of)", text):
            if rest == "(":
                made[table] = text
        assert "create temp" not in text, name
    for table, text in made.items():
        if LOCAL.search(table):
            continue
        body = text.partition(f"create table {table}")[2]
        assert f"app.distribute('{table}'" in body, table
        assert f"app.protect('{table}'" in body or f"alter table {table} enable row level security" in body


def test_an_upsert_sets_what_was_excluded_and_nothing_that_moves() -> None:
    found = [
        f"{name}: {' '.join(clause[1].split())[:80]}"
        for name, table, body in _inserts()
        for clause in re.finditer(
            r"do\s+update\s+set(.*?)(?:\bwhere\b|\breturning\b|\Z)", body, re.IGNORECASE | re.DOTALL
        )
        if not LOCAL.match(table) and VOLATILE.search(clause[1])
    ]
    assert found == []


def test_an_update_sets_nothing_volatile() -> None:
    found = [
        f"{name}: {' '.join(match[2].split())[:80]}"
        for name, text in everything()
        for match in re.finditer(
            r"\bupdate\s+([\w.{}]+)[^;]*?\bset\b(.*?)(?:\bwhere\b|\bfrom\b|;|\Z)",
            text,
            re.IGNORECASE | re.DOTALL,
        )
        if not LOCAL.match(match[1]) and VOLATILE.search(STABLE.sub("", match[2]))
    ]
    assert found == []


def test_an_insert_of_what_was_selected_says_what_to_do_about_conflicts() -> None:
    selected = [
        (f"{name}: {table}", body)
        for name, table, body in _inserts()
        if not LOCAL.match(table)
        and re.match(r"(\s+as\s+\w+)?\s*(\([^)]*\))?\s*(select|with)\b", body, re.IGNORECASE)
    ]
    assert len(selected) > 5
    assert [each for each, body in selected if not re.search(r"\bon\s+conflict\b|\breturning\b", body)] == []


def _inserts() -> Iterator[tuple[str, str, str]]:
    """Every INSERT: where it stands, its table, and its text from there to the next statement."""
    for name, text in everything():
        for match in re.finditer(r"\binsert\s+into\s+([\w.{}]+)", text, re.IGNORECASE):
            rest = text[match.end() :]
            end = re.search(r";|\binsert\s+into\b", rest, re.IGNORECASE)
            yield name, match[1], rest[: end.start() if end else None]


def test_locked_rows_are_passed_over_within_a_tenant_only() -> None:
    skipping = [(n, t) for n, t in everything() if re.search(r"\bskip\s+locked\b", t, re.IGNORECASE)]
    assert skipping
    assert [name for name, text in skipping if "tenant_id = %(tenant_id)s" not in text] == []


def test_only_staging_tables_are_copied_into() -> None:
    copies = [
        (name, match[1])
        for name, text in statements()
        for match in re.finditer(r"\bcopy\s+([\w.]+)\s+from\b", text, re.IGNORECASE)
    ]
    assert copies
    assert [each for each in copies if not LOCAL.match(each[1])] == []


def test_only_the_queue_of_jobs_notifies() -> None:
    found = [
        name
        for name, text in everything()
        if re.search(r"\bpg_notify\s*\(|^\s*notify\s", text, re.IGNORECASE | re.MULTILINE)
    ]
    assert found == []
