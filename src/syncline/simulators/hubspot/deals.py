"""Fills an account with deals, their histories, contacts and companies. Knows no HTTP."""

from __future__ import annotations

from syncline.simulators import pools
from syncline.simulators.growth import Era, moments, record_ids
from syncline.simulators.hubspot.objects import COMPANY, CONTACT, DEAL
from syncline.simulators.hubspot.pipelines import Pipeline, stage_facts
from syncline.simulators.hubspot.population import Draft
from syncline.simulators.hubspot.store import Entry, Properties, Record
from syncline.simulators.hubspot.values import DAY_MS, iso
from syncline.simulators.phones import format_phone

_SOURCE = ("CRM_UI", "userId:47812075")


def load_deals(draft: Draft, count: int) -> None:
    """Make deals; each has a contact where there are any, and mostly that contact's company."""
    rng, account = draft.rng, draft.account
    ids = record_ids(rng, count, (Era(51, 900_000, 0.1), Era(41_000_000_000, 5_000_000, 0.9)))
    for record_id, (created_ms, updated_ms) in zip(ids, moments(rng, count, account.anchor_ms), strict=True):
        contact = rng.choice(draft.contacts) if draft.contacts else None
        record = _deal(draft, record_id, created_ms, updated_ms, contact)
        draft.deals.append(record)
    account.stores[DEAL.type_id].load(draft.deals)
    for record in draft.deals:
        _associate(draft, record)


def _deal(draft: Draft, record_id: int, created_ms: int, updated_ms: int, contact: Record | None) -> Record:
    rng, pipelines = draft.rng, draft.account.pipelines[DEAL.type_id]
    pipeline = rng.choices(pipelines, (4, 1))[0]
    past = _past(draft, pipeline, created_ms, updated_ms)
    stage = past[0][0]
    phone = draft.phones.get(contact.id) if contact else None
    if contact:
        draft.deal_contacts[record_id] = contact.id
    buyer = contact.own.get("company") or contact.own["lastname"] if contact else "Deal"
    own = _terms(draft, created_ms, updated_ms) | {
        "dealname": f"{buyer} - {rng.choice(pools.CAMPAIGNS)}",
        "pipeline": pipeline.pipeline_id,
        "dealstage": stage,
        "hubspot_owner_id": rng.choice(draft.owners) if draft.owners and rng.random() < 0.95 else None,
        "phone_number": format_phone(rng, phone) if phone else "+17375550100",
        **(stage_facts(pipelines, pipeline.pipeline_id, stage) or {}),
    }
    amount = own["amount"]
    history: dict[str, tuple[Entry, ...]] = {"dealstage": past}
    if rng.random() < 0.3:
        history["amount"] = (
            (amount, past[0][1], *_SOURCE), (str(rng.randrange(500, 9000)), created_ms, *_SOURCE),
        )  # fmt: skip
    return Record(
        record_id, {k: v for k, v in own.items() if v is not None}, created_ms, updated_ms, history=history
    )


def _past(draft: Draft, pipeline: Pipeline, created_ms: int, updated_ms: int) -> tuple[Entry, ...]:
    """Walk a deal through its pipeline: the stages it was in, newest first."""
    rng = draft.rng
    open_stages = [stage.stage_id for stage in pipeline.stages[:-2]]
    walked = open_stages[: rng.randrange(1, len(open_stages) + 1)]
    end = rng.random()
    if end < 0.3:
        walked.append(pipeline.stages[-2].stage_id)
    elif end < 0.5:
        walked.append(pipeline.stages[-1].stage_id)
    step = max(1, (updated_ms - created_ms) // len(walked))
    return tuple((stage, created_ms + step * n, *_SOURCE) for n, stage in reversed(list(enumerate(walked))))


def _terms(draft: Draft, created_ms: int, updated_ms: int) -> Properties:
    rng = draft.rng
    amount = rng.choice(("1500", "2400.50", "4999", "9800", "12500.75", "48000", "150000", "0", None))
    closes = updated_ms + rng.randrange(0, 60 * DAY_MS)
    return {
        "amount": amount,
        "amount_in_home_currency": amount,
        "deal_currency_code": rng.choice(("USD", "USD", "USD", "EUR", "GBP")),
        "closedate": iso(closes) if rng.random() < 0.95 else None,
        "createdate": iso(created_ms),
        "dealtype": rng.choice(("newbusiness", "existingbusiness")),
        "hs_priority": rng.choice(("low", "medium", "high", None)),
        "qualified_status": rng.choice(("yes", "no", "pending")),
        "trial_status": rng.choice(("not_started", "active", "converted", "expired", None)),
        "payment_status": rng.choice(("paid", "partial", "pending", "overdue")),
        "payment_method": rng.choice(("credit_card", "bank_transfer", "invoice", None)),
        "number_of_installments__months": rng.choice(("1", "3", "6", "12", None)),
        "days_to_close": str((closes - created_ms) // DAY_MS),
        "description": rng.choice((None, "Scope agreed by phone.\nWaiting for signature.")),
        "hs_next_step": rng.choice((None, "Send contract", "Call the buyer")),
        "num_associated_contacts": "1",
        "num_notes": str(rng.randrange(0, 12)),
        "hs_object_source": rng.choice(("CRM_UI", "INTEGRATION")),
        "hs_object_source_label": "CRM_UI",
    }


def _associate(draft: Draft, deal: Record) -> None:
    graph, rng = draft.account.graph, draft.rng
    first = draft.deal_contacts.get(deal.id)
    if first is None:
        return
    graph.link(DEAL.type_id, deal.id, CONTACT.type_id, first, ())
    if rng.random() < 0.15:
        graph.link(DEAL.type_id, deal.id, CONTACT.type_id, rng.choice(draft.contacts).id, ())
    for company_id in graph.targets(CONTACT.type_id, first, COMPANY.type_id):
        graph.link(DEAL.type_id, deal.id, COMPANY.type_id, company_id, ())
