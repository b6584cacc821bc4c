"""Who signs in to the demo: an admin with a password of their own at every start."""

from __future__ import annotations

import secrets

from syncline.actions.first_admin import make_first_admin
from syncline.actions.hub import Hub
from syncline.cli.person import operator

#: Nobody's address, by RFC 2606.
ADMIN = "admin@example.com"


async def let_admin_in(hub: Hub) -> str:
    """See that the demo's admin can sign in, and return their password, which is made anew."""
    password = secrets.token_urlsafe(12)
    await make_first_admin(hub, operator(hub), ADMIN, "Demo Admin", password=password)
    return password
