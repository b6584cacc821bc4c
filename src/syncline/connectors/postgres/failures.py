"""What Postgres's errors mean, as ours. Takes no value from a message: they quote those of the records.

Codes: PostgreSQL documentation, appendix A. Does no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import psycopg

from syncline.connectors.postgres.places import EXTERNAL_ID, Place
from syncline.connectors.transport import QuotaFacts
from syncline.errors import (
    AlreadyExists,
    Invalid,
    NotFound,
    RecordRejected,
    ScopeMissing,
    SettingInvalid,
    SynclineError,
    TokenRejected,
    Unavailable,
)

#: Quoted text, addresses and long numbers: what a message may repeat of a record's values.
_VALUES = re.compile(r":\s*[\"'].*$|\"[^\"]*\"|'[^']*'|\S+@\S+|\+?\d[\d .-]{4,}|https?://\S+")
_LONGEST_MESSAGE = 200
#: Classes that pass by themselves: connection, transaction rollback, resources, operator intervention.
_PASSING_CLASSES = ("08", "40", "53", "57", "58")
_LOCK_NOT_AVAILABLE = "55P03"
_READ_ONLY = "25006"
_IDLE_TIMEOUT = "25P03"
_UNIQUE = "23505"
_FORBIDDEN = "42501"
#: What a refused login says, by any server or pooler seen; libpq gives no code for it.
_REJECTED = re.compile(
    r"password|authentication|role \S+ does not exist|tenant or user not found|SASL|not permitted to log in",
    re.IGNORECASE,
)
_MISPLACED = re.compile(
    r"database \S+ does not exist|pg_hba|SSL|certificate|root\.crt|invalid (port|sslmode)|unsupported",
    re.IGNORECASE,
)
#: A table or a column is not as it was when its catalogue was read.
STALE = ("42703", "42P01", "42P10", "42804", "0A000", "3F000")


def is_about_a_record(error: psycopg.Error) -> bool:
    """Tell whether the content of what was written is at fault, so that other records may be written."""
    code = error.sqlstate or ""
    return code[:2] in {"22", "23", "44", "P0"} or code in {"42804", "428C9"}


def is_stale(error: psycopg.Error) -> bool:
    return error.sqlstate in STALE


def explain_error(error: psycopg.Error, label: str) -> SynclineError:
    """Turn an error that ended a whole operation into the one that says what to do about it."""
    code = error.sqlstate or ""
    if code == _FORBIDDEN:
        return _forbidden(error)
    if code == _READ_ONLY:
        return Unavailable(f"The database {label} takes no writes now: it is read-only.", after_seconds=60)
    passing = code[:2] in _PASSING_CLASSES or code in (_LOCK_NOT_AVAILABLE, _IDLE_TIMEOUT)
    if not code or passing:
        said = f" ({type(error).__name__})" if code else ": the connection was lost"
        return Unavailable(f"The database {label} cannot answer now{said}.")
    if code in {"42P01", "3F000"}:
        return NotFound("The CRM's database has no such table any more.")
    if code[:2] == "28":
        return _rejected()
    return Invalid(f"The CRM's database refused the call: {plain(error)} ({code}).")


def explain_connect(error: psycopg.Error, label: str) -> SynclineError:
    """Say why no connection came about. The driver's own words may repeat the user, never the password."""
    lines = str(error).strip().splitlines() or [""]
    words = lines[0].rpartition("failed: ")[2].removeprefix("FATAL:").strip()
    if (error.sqlstate or "")[:2] == "28" or _REJECTED.search(words):
        return _rejected()
    if _MISPLACED.search(words):
        reason = _VALUES.sub("…", words)[:_LONGEST_MESSAGE].rstrip(" .:")
        return SettingInvalid(f"The database {label} cannot be used: {reason}. Check the base URL.")
    return Unavailable(f"The database {label} cannot be reached.", unsent=True)


def explain_record(error: psycopg.Error, column: str | None = None) -> SynclineError:
    """Turn the refusal of one record into `AlreadyExists` or `ParkRecord`, in words without values."""
    diag = error.diag
    name = column or diag.column_name
    if error.sqlstate == _UNIQUE:
        return AlreadyExists(f"A value that must be unique is taken ({diag.constraint_name or 'unique'}).")
    if error.sqlstate == "23503":
        return RecordRejected(
            f"Refused by the reference {diag.constraint_name or ''} of {diag.table_name or 'the table'}: "
            "what it names does not exist, or still names it."
        )
    if error.sqlstate == "23502":
        return RecordRejected(f"The column {name} must not be empty.")
    if error.sqlstate == "23514":
        return RecordRejected(f"Refused by the check {diag.constraint_name or ''} of the CRM's table.")
    where = f"{name}: " if name else ""
    return RecordRejected(f"The CRM's database refused it: {where}{plain(error)} ({error.sqlstate}).")


def plain(error: psycopg.Error) -> str:
    """Return the server's first line without the values it quotes. Its detail, which holds more, stays."""
    line = " ".join((error.diag.message_primary or type(error).__name__).split())
    return _VALUES.sub(" …", line)[:_LONGEST_MESSAGE].rstrip(" .:")


def missing_external_id(place: Place) -> SettingInvalid:
    """Return the error of a table without a column for our own ids."""
    return SettingInvalid(
        f"The table {place.schema}.{place.table} has no unique column {EXTERNAL_ID}. Create it first."
    )


def _rejected() -> TokenRejected:
    return TokenRejected(
        "The CRM's database does not accept the user or the password. Connect again with a valid one."
    )


def _forbidden(error: psycopg.Error) -> ScopeMissing:
    message = error.diag.message_primary or ""
    if "row-level security" in message or "row security" in message:
        return ScopeMissing(
            "Row-level security would hide rows of the CRM's table from this role, and what is hidden would "
            "look deleted. Use a role that owns the tables or has BYPASSRLS."
        )
    # "permission denied for table contacts": names only, no values.
    return ScopeMissing(f"The CRM's database says: {message or 'permission denied'}. Grant it to the role.")


def explain_failure(status: int, headers: Mapping[str, str], body: bytes) -> SynclineError:
    """Never called: this platform's transport raises by itself. Part of the contract."""
    del headers, body
    return Unavailable(f"An unexpected answer ({status}).")


def read_quota(headers: Mapping[str, str]) -> QuotaFacts:
    del headers
    return QuotaFacts()
