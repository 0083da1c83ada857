"""`regulars prune`: fewer rows, the same numbers."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from flows.history import count_old, forget_old
from flows.steps import run_refresh
from ingest import Visit, link
from ingest.bulk.folding import Folded, find_old_visits, fold_old_visits
from ingest.spool.file import Spool
from ingest.storage.connections import Connection
from tests.conftest import Database
from tests.integration.test_command import regulars
from tests.person import a_past, erased, traces
from tests.snapshot import Snapshot, snapshot
from tests.storefront import add_order, add_shop, fetch

_BEFORE = date(2025, 3, 1)
