"""What can be set on a simulated account, also while it runs. Knows nothing else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Settings:
    """What can be set, also while running. Times are as their names say."""

    #: Requests with one API token in any 2 s; 0 is without limit.
    rate: int = 0
    #: The same for an OAuth token; None is four times `rate`, as on every plan.
    oauth_rate: int | None = None
    #: Searches with one token in any 2 s; None follows `rate` (10, or none when that is 0).
    search_rate: int | None = None
    #: Tokens that the company may spend in a day of UTC; 0 is without limit.
    daily_limit: int = 0
    #: Tells of the day's tokens in headers, which nothing documents and some accounts do not.
    daily_headers: bool = True
    #: So many refusals for lack of quota in 10 s, and the company's API tokens meet a wall; 0 is never.
    wall_after: int = 50
    wall_seconds: float = 60.0
    latency_ms: float = 0
    #: How long search does not see a change, in seconds.
    index_lag: float = 0
    #: Share of requests that go wrong, optionally with the kinds: "0.1" or "0.1:429,reset".
    faults: str = "0"
    slow_seconds: float = 2.0
    edits_per_minute: float = 0
    #: What GET of a deleted record answers: "flag" (with `is_deleted`), or the status "404" or "410".
    get_deleted: str = "flag"
    #: Takes a token from the query (`?api_token=`), which the documentation does not name any more.
    query_tokens: bool = True
    #: Cuts white space around names and addresses, and doubled inside names.
    trims: bool = True
    #: Takes out of notes what a page must not run, and writes the rest as HTML is written.
    sanitizes: bool = True
    #: Keeps due times and durations of activities to the minute.
    cuts_seconds: bool = False
    lowercases_emails: bool = False
    #: Keeps only digits and a leading plus of phone numbers.
    strips_phones: bool = False
    #: The status of an answer to a create; 200 is documented, 201 has been seen.
    created_status: int = 200
    #: Webhooks are refused whose address nobody listens on.
    check_webhook_urls: bool = False
    #: Shows the fields that come with Contact Sync; without it they are refused.
    contact_sync: bool = False
    #: Records that pointed to one that was merged away are changed, not only re-pointed.
    merge_touches_children: bool = True
    #: Leaves out of the answer what custom fields have no value.
    omits_empty_custom_fields: bool = False
    #: The answer to a list that ends names no cursor at all, where it otherwise is null.
    omits_last_cursor: bool = False
