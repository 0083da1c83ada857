"""What stops a refresh."""

from ingest.storage.errors import RegularsError


class RefreshRunning(RegularsError):
    """Another refresh holds the lock."""


class Blocked(RegularsError):
    """Somebody held a lock for longer than a refresh waits; the refresh released its own locks."""


class BuildFailed(RegularsError):
    """A model or one of its tests failed; nothing was published."""


class NotReconciled(RegularsError):
    """A mart's sums differ from those of its source; nothing was published."""


class NotPublished(RegularsError):
    """Somebody else's view or constraint is in the way of the new rows or columns; nothing was published."""


class ExtractFailed(RegularsError):
    """The raw rows could not be written for Spark; nothing was published."""


class LoadFailed(RegularsError):
    """What Spark computed could not be read back; nothing was published."""


class SparkMissing(RegularsError):
    """Spark can't run here: there is no Java for it, or its packages are not installed."""
