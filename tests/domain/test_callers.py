"""What each role and each key may."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from syncline.domain.callers import LEAST_ROLE, PERMISSIONS, ROLES, Caller, Role
from syncline.errors import Forbidden

EVERYBODY = {"records:read", "records:write", "syncs:read"}
MANAGERS = {
    "records:bulk",
    "syncs:run",
    "conflicts:resolve",
    "runs:undo",
    "queue:manage",
    "audit:read",
    "connections:read",
}
ADMINS = {"connections:write", "people:manage", "settings:write", "erase"}


def caller(role: Role, scopes: frozenset[str] | None = None) -> Caller:
    return Caller(uuid4(), role, "somebody", "api", scopes=scopes)


@pytest.mark.parametrize(
    ("role", "allowed"),
    [("rep", EVERYBODY), ("manager", EVERYBODY | MANAGERS), ("admin", EVERYBODY | MANAGERS | ADMINS)],
)
def test_each_role_may_what_the_table_says_and_nothing_else(role: Role, allowed: set[str]):
    assert {each for each in PERMISSIONS if caller(role).may(each)} == allowed


def test_every_permission_has_a_least_role():
    assert set(LEAST_ROLE) == set(PERMISSIONS)
    assert set(LEAST_ROLE.values()) <= set(ROLES)


def test_scopes_take_away_and_never_add():
    key = caller("rep", frozenset({"records:read", "erase"}))
    assert {each for each in PERMISSIONS if key.may(each)} == {"records:read"}


def test_a_refusal_says_what_would_be_enough():
    with pytest.raises(Forbidden, match="needs the role admin or more; yours is manager"):
        caller("manager").require("people:manage")
    with pytest.raises(Forbidden, match="lacks the scope records:write"):
        caller("admin", frozenset({"records:read"})).require("records:write")


def test_a_rep_does_not_see_all_and_the_others_do():
    assert [caller(role).sees_all for role in ROLES] == [False, True, True]


def test_two_see_the_same_with_the_same_tenant_role_and_owners_only():
    one, two = uuid4(), uuid4()
    rep = Caller(one, "rep", "rep@example.com", "web", owner_ids=frozenset([one, two]))
    assert rep.sees_as(replace(rep, owner_ids=frozenset([two, one]), name="key:rep", source="api"))
    for other in (
        replace(rep, owner_ids=frozenset([one])),
        replace(rep, owner_ids=frozenset()),
        replace(rep, role="manager"),
        replace(rep, tenant_id=two),
    ):
        assert not rep.sees_as(other)
