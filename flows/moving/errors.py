"""What stops a move."""

from ingest.storage.errors import RegularsError


class MoveRefused(RegularsError):
    """The source or the target is not as it must be; nothing was copied."""


class MoveFailed(RegularsError):
    """A move broke off."""
