"""The many properties of a contact that say little about it, made once and shared by many contacts.

Sharing keeps 290,000 contacts of 60 properties in memory: a record holds only what is its own.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from syncline.simulators import pools
from syncline.simulators.hubspot.catalogue import SOURCES
from syncline.simulators.hubspot.store import Properties
from syncline.simulators.hubspot.values import DAY_MS, iso

#: As `random.Random.getstate` gives it.
_State = tuple[Any, ...]
_ENGINES = ("google", "meta", "bing", "direct")


def contact_profiles(rng: random.Random, anchor_ms: int, count: int) -> Sequence[Properties]:
    """Return `count` sets of about forty properties. Not to be changed: accounts share them."""
    profiles, after = _made(rng.getstate(), anchor_ms, count)
    rng.setstate(after)
    return profiles


@lru_cache(maxsize=8)
def _made(state: _State, anchor_ms: int, count: int) -> tuple[tuple[Properties, ...], _State]:
    """Make profiles from a state of the generator on; returns the state it is in afterwards, too.

    Most small accounts are made of the same seed, and would spend more on this than on all their records.
    """
    rng = random.Random()
    rng.setstate(state)
    return tuple(_profile(rng, anchor_ms) for _ in range(count)), rng.getstate()


def _profile(rng: random.Random, anchor_ms: int) -> Properties:
    found = {**_analytics(rng, anchor_ms), **_mail(rng, anchor_ms), **_rest(rng)}
    return {name: value for name, value in found.items() if value is not None}


def _analytics(rng: random.Random, anchor_ms: int) -> Properties:
    views, visits = rng.randrange(1, 90), rng.randrange(1, 20)
    source = rng.choice(SOURCES)
    visited_ms = anchor_ms - rng.randrange(5 * DAY_MS, 900 * DAY_MS)
    page = f"https://www.syncline.example/{rng.choice(('pricing', 'vsl', 'webinar', 'blog/bids', ''))}"
    return {
        "hs_analytics_source": source,
        "hs_analytics_source_data_1": rng.choice(pools.CAMPAIGNS),
        "hs_analytics_source_data_2": f"{rng.choice(_ENGINES)} / {rng.choice(('cpc', 'none'))}",
        "hs_latest_source": rng.choice((source, "DIRECT_TRAFFIC")),
        "hs_latest_source_data_1": rng.choice(pools.CAMPAIGNS),
        "hs_analytics_num_page_views": str(views),
        "hs_analytics_num_visits": str(visits),
        "hs_analytics_average_page_views": str(max(1, views // visits)),
        "hs_analytics_num_event_completions": str(rng.randrange(0, 9)),
        "hs_analytics_revenue": rng.choice(("0.0", "0.0", "0.0", "1250.5", "4999")),
        "hs_analytics_first_url": page,
        "hs_analytics_first_referrer": rng.choice(("https://search.example/", None)),
        "hs_analytics_first_visit_timestamp": iso(visited_ms),
        "hs_analytics_last_visit_timestamp": iso(visited_ms + rng.randrange(1, 4 * DAY_MS)),
        "first_conversion_event_name": rng.choice(pools.EVENTS),
        "recent_conversion_event_name": rng.choice(pools.EVENTS),
        "num_conversion_events": str(rng.randrange(1, 6)),
        "num_unique_conversion_events": "1",
    }


def _mail(rng: random.Random, anchor_ms: int) -> Properties:
    sent = rng.randrange(0, 40)
    opened = rng.randrange(0, sent + 1)
    last_ms = anchor_ms - rng.randrange(DAY_MS, 300 * DAY_MS)
    return {
        "hs_email_optout": rng.choice(("false", "false", "false", "true", None)),
        "hs_email_delivered": str(sent),
        "hs_email_open": str(opened),
        "hs_email_click": str(opened // 4),
        "hs_email_bounce": rng.choice((None, None, None, "1")),
        "hs_email_sends_since_last_engagement": str(sent - opened),
        "hs_email_last_send_date": iso(last_ms) if sent else None,
        "hs_email_last_open_date": iso(last_ms + 3_600_500) if opened else None,
        "hs_email_last_email_name": f"Newsletter {rng.randrange(1, 60)}" if sent else None,
    }


def _rest(rng: random.Random) -> Properties:
    notes = rng.randrange(0, 15)
    return {
        "hs_object_source": rng.choice(("IMPORT", "FORM", "CRM_UI", "INTEGRATION")),
        "hs_object_source_id": f"userId:{rng.randrange(10**7, 10**8)}",
        "hs_object_source_label": rng.choice(("IMPORT", "FORM", "CRM_UI")),
        "hs_marketable_status": rng.choice(("true", "false")),
        "hs_marketable_until_renewal": "false",
        "hs_language": rng.choice(("en", "en-us", "de", None)),
        "hs_legal_basis": rng.choice(
            (
                "Legitimate interest \u2013 prospect/lead",
                "Legitimate interest \u2013 prospect/lead;Performance of a contract",
            )
        ),
        "hs_pipeline": "contacts-lifecycle-pipeline",
        "hs_is_contact": "true",
        "hs_is_unworked": rng.choice(("true", "false")),
        "hs_count_is_worked": str(rng.randrange(0, 2)),
        "hs_count_is_unworked": str(rng.randrange(0, 2)),
        "hs_predictivecontactscore_v2": f"{rng.random() * 100:.2f}",
        "hubspotscore": str(rng.randrange(0, 100)),
        "hs_sequences_enrolled_count": str(rng.randrange(0, 4)),
        "hs_time_in_lead": str(rng.randrange(10**6, 10**11)),
        "hs_persona": rng.choice(("persona_1", "persona_2", None)),
        "hs_timezone": rng.choice(("america_slash_new_york", "europe_slash_berlin", None)),
        "num_notes": str(notes),
        "num_contacted_notes": str(notes // 2),
        "num_associated_deals": rng.choice((None, None, "1", "2")),
        "salutation": rng.choice(("Mr", "Ms", None)),
        "industry": rng.choice(("Construction", "Software", "Health care", "Logistics", None)),
        "seniority": rng.choice(("manager", "director", "owner", "senior")),
        "job_function": rng.choice(("operations", "procurement", "engineering", "sales")),
        "numemployees": rng.choice(("1-5", "5-25", "25-50", "50-100", "100-500")),
        "annualrevenue": rng.choice(("250000", "1500000", "8000000.50", None)),
        "message": rng.choice((*pools.MESSAGES, None)),
        "budget_range": rng.choice(("< 5k", "5k-20k", "20k-100k", None)),
        "preferred_contact_time": rng.choice(("morning", "afternoon", None)),
        "hs_emailconfirmationstatus": rng.choice((None, "Confirmed")),
    }
