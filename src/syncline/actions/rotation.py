"""Changing the installation's key: the small keys that seal secrets are sealed anew, the secrets stay.

May be broken off and begun again at any moment: while it goes on both keys open everything. Who changes which
keys there are holds a lock: of two who rotate at once, the second goes on with the first one's key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from syncline.actions.audit import note
from syncline.actions.hub import Hub
from syncline.actions.secret_key import find_keys, key_file, replace_key_file
from syncline.domain.callers import Caller
from syncline.domain.sealing import Vault, new_key
from syncline.errors import Invalid, SettingInvalid
from syncline.store import sealed, tenants
from syncline.store.db import Database
from syncline.store.sealed import SEALED, SealedColumn


@dataclass(slots=True)
class Sealing:
    """How the stored secrets of an installation are sealed, by column."""

    #: With the first key.
    current: dict[str, int] = field(default_factory=dict[str, int])
    #: With another of the keys that are given.
    old: dict[str, int] = field(default_factory=dict[str, int])
    #: With a key that is not given: they cannot be opened.
    lost: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def is_settled(self) -> bool:
        return not self.old and not self.lost


@dataclass(frozen=True, slots=True)
class Rotated:
    #: Column → values sealed anew.
    resealed: Mapping[str, int]
    standing: Sealing
    #: Where the keys are, if that is a file of ours.
    key_file: str | None


async def inspect_sealing(db: Database, vault: Vault) -> Sealing:
    """Look at every stored secret of all tenants, opening none."""
    standing = Sealing()
    for tenant_id in await _list_tenants(db):
        for column in SEALED:
            async with db.transaction(tenant_id=tenant_id) as conn:
                values = await sealed.list_values(conn, column, tenant_id=tenant_id)
            for _, value in values:
                try:
                    group = standing.current if vault.is_current(value) else standing.old
                except SettingInvalid:
                    group = standing.lost
                group[column.name] = group.get(column.name, 0) + 1
    return standing


async def rotate(hub: Hub, caller: Caller) -> Rotated:
    """Seal everything with the first key; in the embedded set-up with a new one, made here.

    Programs that run meanwhile go on: those on this machine read the key file again, others have to be given
    both keys beforehand. Raises `Forbidden`, and `Invalid` where only one key is given.
    """
    caller.require("settings:write")
    in_file = hub.settings.secret_key is None and hub.is_embedded
    keys = await _make_key(hub) if in_file else find_keys(hub.settings)
    if len(keys) < 2:
        raise Invalid(
            "Only one secret key is given. Make another with `syncline secret new`, set "
            "SYNCLINE_SECRET_KEY=NEW,OLD on every machine and restart what runs there; then rotate."
        )
    vault = hub.vault()
    resealed: dict[str, int] = {}
    for tenant_id in await _list_tenants(hub.db):
        for column in SEALED:
            count = await _reseal(hub.db, vault, column, tenant_id)
            if count:
                resealed[column.name] = resealed.get(column.name, 0) + count
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await note(conn, caller, "secrets.rotated", None, {"values": sum(resealed.values())})
    standing = await inspect_sealing(hub.db, vault)
    return Rotated(resealed, standing, str(key_file(hub.settings.home)) if in_file else None)


async def forget_old(hub: Hub, caller: Caller) -> int:
    """Take old keys out of the key file; returns how many. Raises `Invalid` while something needs them."""
    caller.require("settings:write")
    if hub.settings.secret_key is not None or not hub.is_embedded:
        raise Invalid("The keys are in your settings: take the old one out of SYNCLINE_SECRET_KEY there.")
    async with hub.db.transaction(tenant_id=None) as conn:
        await sealed.lock_keys(conn)
        keys = find_keys(hub.settings)
        standing = await inspect_sealing(hub.db, hub.vault())
        if standing.old:
            raise Invalid(
                "Some secrets are still sealed with an old key. Run `syncline secret rotate` first."
            )
        replace_key_file(hub.settings.home, keys[:1])
    return len(keys) - 1


async def _make_key(hub: Hub) -> list[str]:
    """Put a new key before the one in the key file; where another has just done so, go on with that."""
    async with hub.db.transaction(tenant_id=None) as conn:
        await sealed.lock_keys(conn)
        keys = find_keys(hub.settings)
        if len(keys) == 1:
            keys = [new_key(), *keys]
            replace_key_file(hub.settings.home, keys)
    return keys


async def _reseal(db: Database, vault: Vault, column: SealedColumn, tenant_id: UUID) -> int:
    """Seal a tenant's values anew, each in its own transaction; one that was written meanwhile is left."""
    async with db.transaction(tenant_id=tenant_id) as conn:
        values = await sealed.list_values(conn, column, tenant_id=tenant_id)
    count = 0
    for row, value in values:
        try:
            if vault.is_current(value):
                continue
            new = vault.reseal(value)
        except SettingInvalid:
            continue  # told of by whoever looks at the standing
        async with db.transaction(tenant_id=tenant_id) as conn:
            count += await sealed.replace(conn, column, row, value, new, tenant_id=tenant_id)
    return count


async def _list_tenants(db: Database) -> list[UUID]:
    async with db.statement() as conn:
        return [each.tenant_id for each in await tenants.list_tenants(conn)]
