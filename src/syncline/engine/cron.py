"""Cron expressions in a time zone: when a schedule is due next. Knows neither jobs nor tables."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from syncline.errors import SettingInvalid

_FIELDS = 5


def next_after(cron: str, after: datetime, time_zone: str) -> datetime:
    """Return the first moment after `after` that `cron` names in `time_zone`, in UTC.

    A time that a change of the clocks skips comes at the end of the gap; one that comes twice counts twice.
    Raises `SettingInvalid` for an expression or a zone that makes no sense, or a date that never comes.
    """
    from croniter import CroniterError, croniter  # slow to import, and needed only where a schedule is set

    if len(cron.split()) != _FIELDS:
        raise SettingInvalid(f"{cron!r} is no schedule: five fields are needed, such as '*/15 * * * *'.")
    try:
        local = after.astimezone(ZoneInfo(time_zone))
        found: datetime = croniter(cron, local).get_next(datetime)
    except (ZoneInfoNotFoundError, OSError) as error:  # a folder's name is no zone, and says so by OSError
        raise SettingInvalid(f"{time_zone!r} is not a time zone; write it like 'Europe/Berlin'.") from error
    except (CroniterError, ValueError) as error:
        raise SettingInvalid(f"{cron!r} is no schedule that can be kept: {error}.") from error
    return found.astimezone(UTC)
