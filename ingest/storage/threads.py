"""Background threads: daemons, so that none of them keeps a process from ending."""

import threading
from collections.abc import Callable


def start_thread(work: Callable[[], None], *, name: str) -> threading.Thread | None:
    """The running thread; None if the interpreter is shutting down and starts no more threads."""
    thread = threading.Thread(target=work, name=f"regulars-{name}", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return None
    return thread
