"""The first chart, at the end of connecting: what the CRM has just brought, month by month."""

from __future__ import annotations

from datetime import timedelta

from syncline.actions.metrics import Asked, Filters, Metric, read_metric
from syncline.clock import now
from syncline.domain.periods import today_in
from syncline.web import charts
from syncline.web.charts import Frame
from syncline.web.dashboard_show import tell_span
from syncline.web.dashboard_tables import Section
from syncline.web.page import Page

_DAYS = 365
#: What is looked for, the first of which there is anything.
_CANDIDATES = ("new_contacts", "deals_won", "total_calls")


async def make_first_chart(page: Page, connection: str) -> tuple[Metric, Section] | None:
    """Return a metric of the last year with its chart; None where the CRM brought nothing of the kind."""
    today = today_in(page.place.zone.key, now())
    asked = Asked(from_on=today - timedelta(days=_DAYS - 1), to_on=today + timedelta(days=1))
    for name in _CANDIDATES:
        reading = await read_metric(page.hub, page.caller, name, asked, Filters(connection=connection))
        if not reading.value:
            continue
        span = tell_span(reading.period.from_on, reading.period.to_on, page.place)
        frame = Frame(page.hub.tenant.label, span, page.place, reading.currency, today)
        chart = charts.series_chart(reading, frame, f"{name.replace('_', '-')}-of-{connection}")
        said = charts.describe_series(reading, page.place)
        return reading.metric, Section(None, chart, said, title=chart["title"])
    return None
