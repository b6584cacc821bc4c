"""What the process's exit code says, by the class of the error. Scripts rely on it; so it is one table."""

from __future__ import annotations

from collections.abc import Sequence

from syncline import errors
from syncline.errors import SynclineError

SUCCESS = 0
#: Something failed that has no code of its own; `doctor` found a fault; several objects failed differently.
FAILURE = 1
CALLER = 2
OPERATOR = 3
CONNECTION = 4
PARKED = 5
LATER = 6
#: 128 and the number of SIGINT, as shells have it.
INTERRUPTED = 130

EXIT_CODES: dict[type[SynclineError], int] = {
    errors.SynclineError: FAILURE,
    errors.RetryLater: LATER,
    errors.Unavailable: LATER,
    errors.RateLimited: LATER,
    errors.LeaseLost: LATER,
    errors.PauseConnection: CONNECTION,
    errors.TokenRejected: CONNECTION,
    errors.ScopeMissing: CONNECTION,
    errors.ParkRecord: PARKED,
    errors.RecordUnreadable: PARKED,
    errors.RecordRejected: PARKED,
    errors.StopForOperator: OPERATOR,
    errors.SettingInvalid: OPERATOR,
    errors.DatabaseUnreachable: OPERATOR,
    errors.DatabaseUnsuitable: OPERATOR,
    errors.SchemaOutdated: OPERATOR,
    errors.RoleUnsuitable: OPERATOR,
    errors.HomeUnusable: OPERATOR,
    errors.CallerMistake: CALLER,
    errors.NotFound: CALLER,
    errors.AlreadyExists: CALLER,
    errors.Invalid: CALLER,
    errors.Forged: CALLER,
    errors.SignInNeeded: CALLER,
    errors.Forbidden: CALLER,
    errors.Stale: CALLER,
    errors.LimitReached: LATER,
    errors.Busy: LATER,
    errors.RunCancelled: LATER,
}

EXPLANATION = (
    "Exit codes: 0 done; 1 failed; 2 not possible as asked; 3 a setting, the database or the home must be "
    "changed first; 4 a connection needs a person (token, permission); 5 done, but records were parked; "
    "6 try again later; 130 interrupted."
)


def code_of(error: SynclineError) -> int:
    """Return the exit code of an error; a connector's own subclass has that of its parent."""
    return next(EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES)


def code_of_all(found: Sequence[SynclineError]) -> int:
    """Return one code for several errors: theirs where they agree."""
    codes = {code_of(error) for error in found}
    if not codes:
        return SUCCESS
    return codes.pop() if len(codes) == 1 else FAILURE
