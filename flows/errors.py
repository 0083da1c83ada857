"""What stops a refresh."""

from ingest.storage.errors import RegularsError


class RefreshRunning(RegularsError):
    """Another refresh holds the lock."""


class Blocked(RegularsError):
    """Somebody holds a lock for longer than a refresh waits; it let go of its own."""


class BuildFailed(RegularsError):
    """A model or one of its tests failed; nothing was published."""


class NotReconciled(RegularsError):
    """A mart's sums differ from what it is made from; nothing was published."""


class NotPublished(RegularsError):
    """What was built can't take its place under what somebody else made; nothing was published."""
