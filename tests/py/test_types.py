"""The types: those of the package, those of the extension, and what users get."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("mypy", reason="needs mypy")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def mypy(tmp_path_factory):
    """Runs a module of mypy's; returns its complaints, or nothing."""
    # Not in the tree: the types that count are those of the installed package.
    cache = tmp_path_factory.mktemp("mypy")

    def run(module, *args):
        command = [sys.executable, "-P", "-m", module, *args]
        environment = {**os.environ, "MYPY_CACHE_DIR": str(cache)}
        done = subprocess.run(
            command, cwd=cache, env=environment, capture_output=True, text=True
        )
        return "" if done.returncode == 0 else done.stdout + done.stderr

    return run


@pytest.fixture(scope="module")
def strict(tree):
    return ["--config-file", tree / "pyproject.toml", "--ignore-missing-imports"]


def test_package_is_strictly_typed(mypy, strict):
    assert mypy("mypy", *strict, "-p", "stealpool") == ""


def test_users_get_types(mypy, strict, tree):
    assert mypy("mypy", *strict, tree / "tests/examples/typed_user.py") == ""


@pytest.mark.parametrize("module", ["_core", "_peers"])
def test_stub_says_what_the_extension_has(mypy, tree, module):
    options = ["--allowlist", tree / ".spin/stubtest.txt", "--ignore-unused-allowlist"]
    assert mypy("mypy.stubtest", *options, f"stealpool.{module}") == ""


def test_allow_list_has_no_public_name(tree):
    lines = (tree / ".spin/stubtest.txt").read_text().splitlines()
    patterns = [line for line in lines if not line.startswith("#")]
    assert [each for each in patterns if not each.startswith(r".*\.__")] == []
