"""What can be wrong with the database: its role, its schema and the guards that keep tenants apart."""

from __future__ import annotations

from datetime import date

from syncline.actions.checks.findings import Finding, Thresholds, fail, ok, warn
from syncline.clock import now
from syncline.domain.records import RECORD_TYPES
from syncline.store import health, partitions
from syncline.store.db import Conn, find_revision, list_revisions
from syncline.store.health import LongTransaction, Role, Uncaptured, Unprotected
from syncline.store.roles import APP, OWNER

REACHABLE = "database-reachable"
CLOCK = "database-clock"
ROLE = "database-role"
LETTERS = "database-letters"
SCHEMA = "schema"
SECURITY = "row-level-security"
POLICY = "tenant-policy"
CAPTURE = "change-capture"
PARTITIONS = "change-log-partitions"
TRANSACTIONS = "long-transactions"

_LETTERS = "ÄÉŻЖΩ"
_POLICY = (
    "using (tenant_id = nullif(current_setting('app.current_tenant_id', true), '')::uuid) "
    "with check (tenant_id = nullif(current_setting('app.current_tenant_id', true), '')::uuid)"
)


async def check_server(conn: Conn, thresholds: Thresholds) -> list[Finding]:
    """Look at what holds for any database: clock, role and letters."""
    return [
        await _check_clock(conn, thresholds),
        _judge_role(await health.read_role(conn)),
        await _check_letters(conn),
    ]


async def check_schema(conn: Conn) -> Finding:
    """Compare the schema's revision with the one this program was written for."""
    found, known = await find_revision(conn), list_revisions()
    if found == known[-1]:
        return ok(SCHEMA, f"The schema is at {found}, as this program needs it.")
    if found is None:
        return fail(SCHEMA, "The database has no Syncline schema yet.", "syncline migrate")
    if found in known:
        return fail(SCHEMA, f"The schema is at {found}, this program needs {known[-1]}.", "syncline migrate")
    return fail(
        SCHEMA,
        f"The schema is at {found}, newer than this program, which knows {known[-1]}.",
        "pip install --upgrade syncline",
    )


async def check_guards(conn: Conn) -> list[Finding]:
    """Look whether what the schema itself guarantees is still in force. The schema must be current."""
    unprotected = await health.list_unprotected(conn)
    tables = [f"crm.{kind.table}" for kind in RECORD_TYPES.values()]
    uncaptured = await health.list_uncaptured(conn, tables)
    return [
        *(_unprotected(each) for each in unprotected),
        *([] if unprotected else [ok(SECURITY, "Row-level security holds on every table of a tenant.")]),
        *(_uncaptured(each) for each in uncaptured),
        *([] if uncaptured else [ok(CAPTURE, "Changes of every record are captured.")]),
        await _check_partitions(conn),
    ]


async def check_transactions(conn: Conn, thresholds: Thresholds) -> list[Finding]:
    """Look for transactions that hold up vacuum and migrations. Sees what the role of `conn` may see."""
    long = await health.list_long_transactions(conn, seconds=thresholds.long_transaction_seconds)
    return [_long(each) for each in long] or [ok(TRANSACTIONS, "No transaction is open for long.")]


async def _check_clock(conn: Conn, thresholds: Thresholds) -> Finding:
    before = now()
    theirs = await health.read_clock(conn)
    after = now()
    skew = (theirs - (before + (after - before) / 2)).total_seconds()
    if abs(skew) - (after - before).total_seconds() / 2 > thresholds.database_skew_seconds:
        way = "ahead of" if skew > 0 else "behind"
        return fail(
            CLOCK,
            f"The database's clock is {abs(skew):.1f} s {way} this machine's.",
            "sudo timedatectl set-ntp true (on both machines)",
        )
    return ok(CLOCK, f"The database's clock agrees with this machine's ({skew:+.2f} s).")


async def _check_letters(conn: Conn) -> Finding:
    if await health.fold(conn, _LETTERS) == _LETTERS.lower():
        return ok(LETTERS, "The database knows which letters are the same, in every alphabet.")
    return fail(
        LETTERS,
        "For this database a capital letter outside English is another letter than the small one (its locale "
        "is C): one person written in two ways is two people, and an erasure misses texts with the other.",
        "syncline backup FILE; make a database with a locale that knows them (createdb -T template0 "
        "--locale-provider=builtin --builtin-locale=C.UTF-8 NAME; before Postgres 17: --lc-ctype=C.UTF-8); "
        "syncline restore FILE into that",
    )


def _judge_role(role: Role) -> Finding:
    if role.is_superuser:
        return _unsuitable(role, "is a superuser", f"alter role {role.name} nosuperuser")
    if role.bypasses_rls:
        return _unsuitable(role, "has BYPASSRLS", f"alter role {role.name} nobypassrls")
    if role.is_owner:
        return _unsuitable(role, "owns Syncline's tables", f"revoke {OWNER} from {role.name}")
    return ok(ROLE, f"{role.name} owns nothing and is held by row-level security.")


def _unsuitable(role: Role, reason: str, statement: str) -> Finding:
    message = f"The application's role {role.name} {reason}, so row-level security does not hold it."
    if role.name == APP:
        return fail(ROLE, message, f'psql "$SYNCLINE_ADMIN_DATABASE_URL" -c "{statement}"')
    return fail(ROLE, message, f"export SYNCLINE_DATABASE_URL=postgresql://{APP}:PASSWORD@HOST:5432/DATABASE")


def _unprotected(table: Unprotected) -> Finding:
    if table.is_off:
        return fail(
            SECURITY,
            f"Row-level security is off on {table.name}: every tenant sees its rows.",
            _as_owner(f"alter table {table.name} enable row level security"),
        )
    return fail(
        POLICY,
        f"{table.name} lacks its policy, so that nobody sees its rows, or everybody does.",
        _as_owner(f"create policy tenant_isolation on {table.name} {_POLICY}"),
    )


def _uncaptured(table: Uncaptured) -> Finding:
    kinds = {f"crm.{kind.table}": kind.name for kind in RECORD_TYPES.values()}
    if not table.is_missing:
        return fail(
            CAPTURE,
            f"The trigger capture_change of {table.name} is disabled: its changes are not written down.",
            _as_owner(f"alter table {table.name} enable trigger capture_change"),
        )
    return fail(
        CAPTURE,
        f"{table.name} has lost its trigger capture_change: its changes are not written down.",
        _as_owner(
            f"create trigger capture_change after insert or update or delete on {table.name} for each row "
            f"when (not app.in_bulk()) execute function crm.capture_change('{kinds[table.name]}')"
        ),
    )


async def _check_partitions(conn: Conn) -> Finding:
    this = now().date().replace(day=1)
    following = date(this.year + this.month // 12, this.month % 12 + 1, 1)
    missing = await partitions.list_missing(conn, [this, following])
    if missing:
        return warn(
            PARTITIONS,
            f"The change log has no partition for {', '.join(missing)}; a worker makes them ahead of time.",
            _as_owner(f"select crm.ensure_change_log_partitions('{this}', 3)"),
        )
    return ok(PARTITIONS, "The change log has partitions for this month and the next.")


def _long(transaction: LongTransaction) -> Finding:
    who = f"{transaction.role}, {transaction.application or 'no name'}, pid {transaction.pid}"
    return warn(
        TRANSACTIONS,
        f"A transaction has been open for {transaction.seconds:.0f} s ({who}): it keeps dead rows and locks.",
        _as_owner(f"select pg_terminate_backend({transaction.pid})"),
    )


def _as_owner(statement: str) -> str:
    return f'syncline psql --admin -- -c "{statement}"'
