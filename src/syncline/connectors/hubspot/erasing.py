"""Contacts erased for privacy: HubSpot's GDPR deletion, one call each.

Facts (endpoint's reference, read 2026-08): by id it answers 204, and 404 for a contact that is not there; the
contact's addresses are block-listed, and what it held is purged within 30 days.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from syncline.connectors.hubspot.api import Api
from syncline.connectors.hubspot.failures import CallRefused, RouteUnknown
from syncline.connectors.singly import Step, write_singly
from syncline.connectors.writes import WriteOutcome
from syncline.errors import NotFound, RecordRejected


async def erase_many(api: Api, object_path: str, remote_ids: Sequence[str]) -> list[WriteOutcome]:
    """Erase contacts one after another. See `base.Connector.erase_many`."""

    async def erase(remote_id: str) -> WriteOutcome:
        try:
            await api.call("POST", "gdpr_delete", object_name=object_path, json={"objectId": remote_id})
        except RouteUnknown as error:
            raise RecordRejected("HubSpot does not know the call that erases.") from error
        except NotFound:
            pass  # gone, as wanted
        except CallRefused as error:
            raise RecordRejected(str(error), remote_id=remote_id) from error
        return WriteOutcome(remote_id, remote_id)

    unique = list(dict.fromkeys(remote_ids))
    outcomes = await write_singly([Step(each, each, partial(erase, each)) for each in unique])
    by_key = {each.key: each for each in outcomes}
    return [by_key[each] for each in remote_ids]
