"""Programs of the system that some tests need."""

import os
import shutil

import pytest


def find_program(name: str, *, package: str) -> str:
    """Where it is. Without it a test is skipped; under CI it fails, because `.ci/run` installs what the tests need."""
    where = shutil.which(name)
    if where is None:
        missing = f"This test needs {name}: apt-get install {package}"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return where
