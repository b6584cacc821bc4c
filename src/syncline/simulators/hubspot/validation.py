"""What the API accepts as properties of a record, and the words it refuses with. Changes nothing."""

from __future__ import annotations

import json
from typing import Any, cast

from syncline.simulators.hubspot.answers import ApiError, invalid
from syncline.simulators.hubspot.catalogue import LIFECYCLE
from syncline.simulators.hubspot.objects import CONTACT, DEAL
from syncline.simulators.hubspot.pipelines import find_stage
from syncline.simulators.hubspot.store import Properties, Record, Store
from syncline.simulators.hubspot.values import ValueProblem, normalise
from syncline.simulators.hubspot.world import World


def prepare(world: World, store: Store, given: Any, record: Record | None) -> Properties:
    """Return properties as they will be stored; `record` is the one to be changed, None for a new one.

    Raises `ApiError` 400 for values, 409 for an e-mail address that is taken.
    """
    if not isinstance(given, dict):
        raise invalid("Invalid input JSON: Some required fields were not set: [properties]")
    problems: list[tuple[str, ValueProblem]] = []
    found: Properties = {}
    for name, value in cast("dict[str, Any]", given).items():
        try:
            found[name] = _prepare_one(store, name, value, record)
        except ValueProblem as problem:
            problems.append((name, problem))
    problems += _cross_problems(world, store, found, record)
    if problems:
        raise not_valid(world, problems)
    if record is None:
        _check_required(store, found)
    _keep_forward(store, found, record)
    _check_email(world, store, found, record)
    return found


def _prepare_one(store: Store, name: str, value: Any, record: Record | None) -> str | None:
    definition = store.definitions.get(name)
    if definition is None or definition.archived:
        raise ValueProblem("PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist')
    if definition.read_only:
        raise ValueProblem("READ_ONLY_VALUE", f'"{name}" is a read only property; its value cannot be set.')
    appended = isinstance(value, str) and value.startswith(";") and definition.field_type == "checkbox"
    if appended:
        held = str(record.get(name) or "") if record else ""
        parts = [part for part in (*held.split(";"), *str(value).split(";")) if part]
        value = ";".join(dict.fromkeys(parts))
    return normalise(definition, value)


def _cross_problems(
    world: World, store: Store, found: Properties, record: Record | None
) -> list[tuple[str, ValueProblem]]:
    """Return problems that a single value does not show: stages, owners, values that must be unique."""
    problems: list[tuple[str, ValueProblem]] = []
    if store.kind is DEAL and ("dealstage" in found or "pipeline" in found):
        held = record.get("pipeline") if record else "default"
        pipeline = found.get("pipeline") or held
        stage = found.get("dealstage") or (record.get("dealstage") if record else None)
        if stage and find_stage(world.pipelines[DEAL.type_id], pipeline, stage) is None:
            words = f"{stage} was not one of the allowed options in pipeline {pipeline}"
            problems.append(("dealstage", ValueProblem("INVALID_OPTION", words)))
    owner = found.get("hubspot_owner_id")
    if owner and not any(str(known.owner_id) == owner for known in world.owners):
        problems.append(
            ("hubspot_owner_id", ValueProblem("INVALID_OWNER_ID", f"Owner {owner} does not exist"))
        )
    for name, value in found.items():
        if value and name != "email" and store.definitions[name].unique:
            holder = store.find_by_unique(name, value)
            if holder is not None and (record is None or holder != record.id):
                words = f"Cannot set PropertyValueCoordinates: {holder} already has that value."
                problems.append((name, ValueProblem("CONFLICTING_UNIQUE_VALUE", words)))
    return problems


def not_valid(world: World, problems: list[tuple[str, ValueProblem]]) -> ApiError:
    """Return the refusal of values, with every one that is wrong."""
    listed = [
        {
            "isValid": False, "message": problem.message, "error": problem.code, "name": name,
            "localizedErrorMessage": problem.message, "portalId": world.portal_id,
        }
        for name, problem in problems
    ]  # fmt: skip
    return invalid(
        f"Property values were not valid: {json.dumps(listed, separators=(',', ':'))}",
        errors=[
            {"message": problem.message, "code": problem.code, "context": {"propertyName": [name]}}
            for name, problem in problems
        ],
    )


def _check_required(store: Store, found: Properties) -> None:
    for group in store.kind.required:
        if not any(found.get(name) for name in group):
            words, name = " or ".join(group), store.kind.singular.upper()
            raise invalid(
                f"Error creating {name}. Some required properties were not set: {words}",
                errors=[
                    {"message": "A required property was not set", "code": "REQUIRED_FIELD",
                     "context": {"propertyName": list(group)}}
                ],
            )  # fmt: skip


def _keep_forward(store: Store, found: Properties, record: Record | None) -> None:
    """Leave out a lifecycle stage that would go back: it must be cleared first."""
    stage = found.get("lifecyclestage")
    held = record.get("lifecyclestage") if record else None
    known = stage in LIFECYCLE and held in LIFECYCLE
    if store.kind is CONTACT and known and LIFECYCLE.index(str(stage)) < LIFECYCLE.index(str(held)):
        del found["lifecyclestage"]


def _check_email(world: World, store: Store, found: Properties, record: Record | None) -> None:
    email = found.get("email")
    if store.kind is not CONTACT or not email:
        return
    if email in world.blocked_emails:
        raise invalid(
            "Contact was permanently deleted and cannot be created again with this e-mail address",
            errors=[{"message": "blocked", "code": "EMAIL_BLOCKED", "context": {"propertyName": ["email"]}}],
        )
    holder = store.find_by_unique("email", email)
    if holder is not None and (record is None or holder != record.id):
        raise taken(holder)


def taken(holder: int) -> ApiError:
    """Return the refusal of an address that another contact has."""
    return ApiError(409, f"Contact already exists. Existing ID: {holder}", "CONFLICT",
                    existing_id=str(holder))  # fmt: skip
