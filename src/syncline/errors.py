"""Every error Syncline raises on purpose, grouped by what the catcher must do.

    SynclineError
    ├── RetryLater            try again, after `after_seconds` when the other side said when
    │   ├── Unavailable           network failure, 5xx, locked, an answer that is no JSON
    │   ├── RateLimited           a quota is used up (429)
    │   └── LeaseLost             another worker took over this run
    ├── PauseConnection       stop using the connection until a person acts
    │   ├── TokenRejected         401 that a refresh did not cure, or a revoked grant
    │   └── ScopeMissing          403
    ├── ParkRecord            set one record aside with the reason, go on with the others
    │   ├── RecordUnreadable      a payload that cannot be stored as it came
    │   └── RecordRejected        the CRM refused what we sent
    ├── StopForOperator       a setting must be changed first
    │   ├── SettingInvalid        a setting is missing, malformed or contradicts another
    │   ├── DatabaseUnreachable   no connection to Postgres
    │   ├── DatabaseUnsuitable    too old a server, or not set up
    │   ├── SchemaOutdated        migrations are pending (or newer than this program)
    │   ├── RoleUnsuitable        the application's role would pass by row-level security
    │   └── HomeUnusable          SYNCLINE_HOME cannot be written or belongs to another version
    └── CallerMistake         what was asked for cannot be done as asked
        ├── NotFound              no such connection, object, run or record
        ├── AlreadyExists         a name that is taken
        ├── Invalid               an argument that makes no sense
        ├── Forged                a delivery that is not proven to come from the CRM
        ├── SignInNeeded          nobody we know, or no longer
        ├── Forbidden             somebody we know, who may not do this
        ├── Stale                 it was changed since it was read
        ├── LimitReached          a tenant's or a key's limit
        ├── Busy                  another run holds what is asked for
        └── RunCancelled          somebody asked for the run to end

An error's text is a sentence for the person who reads it: what is wrong, then what to do.
The doors hold one table each from these classes to exit codes and HTTP statuses.
Messages never contain tokens, passwords or values of records.
"""

from __future__ import annotations

from collections.abc import Mapping


class SynclineError(Exception):
    """Something went wrong that Syncline knows by name."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class RetryLater(SynclineError):
    """The other side cannot answer now; try again later."""

    def __init__(self, message: str | None = None, *, after_seconds: float | None = None) -> None:
        super().__init__(message)
        #: Seconds to wait as the other side asked; None when it did not say.
        self.after_seconds = after_seconds


class Unavailable(RetryLater):
    """The service did not answer properly; it will be asked again."""

    def __init__(
        self, message: str | None = None, *, after_seconds: float | None = None, unsent: bool = False
    ) -> None:
        super().__init__(message, after_seconds=after_seconds)
        #: True when the request never left us, so that repeating it cannot do it twice.
        self.unsent = unsent


class RateLimited(RetryLater):
    """The account's quota is used up for now."""

    def __init__(
        self,
        message: str | None = None,
        *,
        after_seconds: float | None = None,
        daily: bool = False,
        limit: str | None = None,
    ) -> None:
        super().__init__(message, after_seconds=after_seconds)
        #: True when the day's budget is gone, not only the burst.
        self.daily = daily
        #: The limit of ours that it was, by its name in the API; None for a quota of the CRM's.
        self.limit = limit


class LeaseLost(RetryLater):
    """Another worker has taken over this run; this one stops without writing."""


class PauseConnection(SynclineError):
    """The connection cannot be used until a person has acted."""


class TokenRejected(PauseConnection):
    """The CRM does not accept the token. Connect again with a valid one."""

    def __init__(self, message: str | None = None, *, expired: bool = False) -> None:
        super().__init__(message)
        #: True when the token is only too old, so that a refresh may cure it.
        self.expired = expired


class ScopeMissing(PauseConnection):
    """The token lacks a permission that this call needs."""

    def __init__(self, message: str | None = None, *, scopes: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.scopes = scopes


class ParkRecord(SynclineError):
    """One record cannot be handled; the others can."""

    def __init__(self, message: str | None = None, *, remote_id: str | None = None) -> None:
        super().__init__(message)
        self.remote_id = remote_id


class RecordUnreadable(ParkRecord):
    """The CRM's answer for this record cannot be stored as it came."""


class RecordRejected(ParkRecord):
    """The CRM refused what was sent for this record."""


class StopForOperator(SynclineError):
    """A setting has to be changed before this can work."""


class SettingInvalid(StopForOperator):
    """A setting is missing or makes no sense."""


class DatabaseUnreachable(StopForOperator):
    """Postgres cannot be reached. Check SYNCLINE_DATABASE_URL and that the server runs."""


class DatabaseUnsuitable(StopForOperator):
    """This Postgres cannot be used."""


class SchemaOutdated(StopForOperator):
    """The database's schema does not match this version. Run `syncline migrate`."""


class RoleUnsuitable(StopForOperator):
    """The application's database role would pass by row-level security."""


class HomeUnusable(StopForOperator):
    """SYNCLINE_HOME cannot be used."""


class CallerMistake(SynclineError):
    """What was asked for cannot be done as asked."""


class NotFound(CallerMistake):
    """There is no such thing."""


class AlreadyExists(CallerMistake):
    """That name is taken."""


class Invalid(CallerMistake):
    """An argument makes no sense."""

    def __init__(self, message: str | None = None, *, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        #: Field of what was sent → what is wrong with it, for doors that point at fields.
        self.fields: Mapping[str, str] = dict(fields or {})


class Forged(CallerMistake):
    """The delivery is not proven to come from the CRM."""


class SignInNeeded(CallerMistake):
    """Sign in first, or send a valid API key."""


class Forbidden(CallerMistake):
    """Your role, or your API key, does not allow this."""


class Stale(CallerMistake):
    """It was changed by somebody else since you read it. Read it again, then repeat your change."""


class LimitReached(CallerMistake):
    """A limit of this tenant or of this API key is reached."""

    def __init__(self, message: str | None = None, *, limit: str, after_seconds: float | None = None) -> None:
        super().__init__(message)
        #: Which limit, by its name in the API: 'requests_per_minute', …
        self.limit = limit
        #: Seconds until it is worth trying again; None when waiting does not help.
        self.after_seconds = after_seconds


class Busy(CallerMistake):
    """Another run is already doing this."""


class RunCancelled(CallerMistake):
    """Somebody asked for this run to end. What it had committed stays; the next run goes on from there."""
