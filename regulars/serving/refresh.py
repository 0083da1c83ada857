"""The part that refreshes."""

import logging
import sys

from flows.scheduling.warm_process import WarmProcess
from ingest.storage.settings import Settings
from regulars.web.logs import log_as_json

log = logging.getLogger("regulars.serve.refresh")


def main() -> None:
    """Runs until SIGTERM."""
    log_as_json()
    # It would log each look for requested runs.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        WarmProcess(Settings.from_environment()).run()
    except Exception:
        # By type and place, because its text may hold personal data.
        log.exception("The refresh part failed.")
        sys.exit(1)


if __name__ == "__main__":
    main()
