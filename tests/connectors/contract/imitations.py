"""All imitated CRMs, by the platform's name. A new connector adds its line here."""

from __future__ import annotations

import imitated_hubspot
import imitated_pipedrive
import imitated_postgres
import imitated_tallybook
from imitated import Imitation

IMITATIONS: dict[str, Imitation] = {
    each.crm.platform.capabilities.platform: each
    for each in (
        imitated_hubspot.IMITATION,
        imitated_pipedrive.IMITATION,
        imitated_postgres.IMITATION,
        imitated_tallybook.IMITATION,
    )
}
