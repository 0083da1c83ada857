"""The refresh: link, claim, build, reconcile, publish, record. Order, retry and report; no business logic."""
