"""Failures come as the errors that say what to do, and none repeats a token or a value."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imitated import Crm, Failure, Imitation
from imitations import IMITATIONS

from syncline.connectors.base import Connector
from syncline.connectors.reads import SERIAL
from syncline.errors import (
    CallerMistake,
    RateLimited,
    ScopeMissing,
    SynclineError,
    TokenRejected,
    Unavailable,
)

pytestmark = pytest.mark.anyio

_MEANS: dict[Failure, type[SynclineError]] = {
    "unavailable": Unavailable,
    "garbled": Unavailable,
    "truncated": Unavailable,
    "limited": RateLimited,
    "token": TokenRejected,
    "forbidden": ScopeMissing,
}
_MET = [(name, failure) for name, each in IMITATIONS.items() for failure in each.crm.failures]
_HTTP = [name for name, each in IMITATIONS.items() if each.crm.platform.open is None]


def calls_of(crm: Crm, connector: Connector, remote_id: str) -> list[Callable[[], Awaitable[object]]]:
    """Return reading in all its ways."""
    name = crm.crowded

    async def follow() -> None:
        async for _ in connector.changed_pages(name, [], 0, None):
            pass

    return [
        lambda: connector.walk_page(name, [], SERIAL, "", ""),
        lambda: connector.list_ids(name, "", "", SERIAL),
        lambda: connector.read_many(name, [remote_id], []),
        lambda: connector.plan_walk(name),
        lambda: connector.describe(name),
        follow,
    ]


@pytest.mark.parametrize(("name", "failure"), _MET)
async def test_a_failure_says_what_is_to_be_done(name: str, failure: Failure, server: object) -> None:
    async with IMITATIONS[name].opened(server) as crm:
        await assert_failure_is_told(crm, failure)


async def assert_failure_is_told(crm: Crm, failure: Failure) -> None:
    remote_id = min(await crm.living(crm.crowded))
    word = "Zx12" * 10
    async with crm.meeting(failure, word) as connector:
        for number, call in enumerate(calls_of(crm, connector, remote_id)):
            before = len(crm.requests)
            try:
                await call()
            except SynclineError as refusal:
                error = refusal
            else:
                assert len(crm.requests) == before, "a failure was taken for an answer"
                continue  # without a call nothing can fail
            assert isinstance(error, _MEANS[failure]), number
            assert word not in f"{error} {error!r} {error.__cause__!r}", number
            assert len(str(error)) > 10
            if isinstance(error, RateLimited):
                assert error.after_seconds is not None
                assert 0 <= error.after_seconds < 3600
    # And all is well again.
    assert (await crm.connector.read_many(crm.crowded, [remote_id], [])).records


async def test_check_rejects_any_token_that_is_none_without_showing_it(crm: Crm) -> None:
    for number in range(3):
        word = f"pat-{number:036x}"
        async with crm.meeting("token", word) as connector:
            with pytest.raises(TokenRejected) as refusal:
                await connector.check()
        assert word not in f"{refusal.value} {refusal.value!r}"


@pytest.mark.parametrize("name", _HTTP)
def test_statuses_mean_what_they_do_everywhere(name: str) -> None:
    explain = IMITATIONS[name].crm.platform.explain_failure
    for status in (500, 502, 503, 504, 520):
        for body in (b"", b"{}", b"<html>Bad gateway</html>", b"\xff\xfe"):
            assert isinstance(explain(status, {}, body), Unavailable), (status, body)
    for status, kind in ((401, TokenRejected), (403, ScopeMissing), (429, RateLimited)):
        error = explain(status, {"retry-after": "7"}, b'{"error": "no", "message": "no"}')
        assert isinstance(error, kind)
        if isinstance(error, RateLimited):
            assert error.after_seconds == 7
    for status in (400, 404, 409, 410, 415, 418, 422):
        assert isinstance(explain(status, {}, b"{}"), CallerMistake)


@pytest.mark.parametrize("name", _HTTP)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    status=st.sampled_from((400, 401, 403, 404, 409, 422, 429, 500, 503)),
    word=st.one_of(
        st.from_regex(r"\A[a-z]{3,8}\.[a-z]{3,8}@[a-z]{3,8}\.example\Z"),
        st.from_regex(r"\A\+1 ?[0-9]{3} ?[0-9]{7}\Z"),
        st.from_regex(r"\A[A-Z][a-z]{4,9} [A-Z][a-z]{5,9}\Z"),
        st.from_regex(r"\A[0-9a-f]{40}\Z"),
    ),
)
def test_no_message_repeats_what_a_refusal_quotes(name: str, status: int, word: str) -> None:
    imitation: Imitation = IMITATIONS[name]
    crm = imitation.crm.__new__(imitation.crm)
    refusal = crm.refusal(status, word)
    assert refusal is not None
    headers, body = refusal
    assert word in body.decode()
    error = imitation.crm.platform.explain_failure(status, headers, body)
    assert word not in f"{error} {error!r}"


@pytest.mark.parametrize("name", _HTTP)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(status=st.integers(300, 599), body=st.binary(max_size=40), header=st.text(max_size=10))
def test_whatever_is_answered_is_explained(name: str, status: int, body: bytes, header: str) -> None:
    platform = IMITATIONS[name].crm.platform
    assert isinstance(platform.explain_failure(status, {"retry-after": header}, body), SynclineError)
    platform.read_quota({"retry-after": header, "x-ratelimit-remaining": header, "x-ratelimit-limit": header})
