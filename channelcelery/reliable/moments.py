"""Points in time as the tables keep them."""

from datetime import UTC, datetime

from django.conf import settings
from django.utils.timezone import make_naive

__all__ = ["moment"]


def moment(seconds: float) -> datetime:
    """Return what a column of a table holds for a time.

    Args:
        seconds: since the epoch.
    """
    found = datetime.fromtimestamp(seconds, UTC)
    return found if settings.USE_TZ else make_naive(found)
