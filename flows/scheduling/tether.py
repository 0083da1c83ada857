"""Runs a module as `python -m` does, in a process that ends when its parent does, even if the parent is killed.

    python -m flows.scheduling.tether PARENT SIGNAL MODULE [ARGUMENT …]

The parent must start it from its main thread: the kernel takes the end of the thread for the end of the parent.
"""

import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def tie_to(parent: int, sent: signal.Signals) -> None:
    """Makes the kernel send `sent` to this process when its parent ends. Exits if the parent has ended already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(sent), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        sys.exit("The process that started this one is gone.")


def main() -> None:
    parent, sent, module, *arguments = sys.argv[1:]
    tie_to(int(parent), signal.Signals[sent])
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
