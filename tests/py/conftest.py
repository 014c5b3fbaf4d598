"""What all Python tests share. They run on the installed package, never on the tree."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("searching", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def pytest_report_header():
    try:
        import stealpool
    except ImportError as error:
        return f"stealpool: not installed ({error})"
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else "?"
    return f"stealpool: {stealpool.__version__} in {stealpool.__path__[0]}, {cpus} CPUs"


@pytest.fixture(scope="session")
def tree():
    """The root of the source tree."""
    return Path(__file__).parents[2]
