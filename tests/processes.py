"""Processes that a test started, or that started others."""

import psutil


def is_gone(process: psutil.Process) -> bool:
    """A process that nobody has buried yet is gone, too: the parent of an orphan may be one that buries none."""
    try:
        return not process.is_running() or bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
