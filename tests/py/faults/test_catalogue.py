"""Each scenario of the catalogue holds. The standard library's executor fails many of
them: see docs/scoreboard.md, which scoreboard.py makes of the same programs."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location(
    "catalogue", Path(__file__).with_name("catalogue.py")
)
catalogue = importlib.util.module_from_spec(_spec)
sys.modules["catalogue"] = catalogue
_spec.loader.exec_module(catalogue)

SCENARIOS = list(catalogue.scenarios())
NEEDS_TESTCAPI = {
    "an_allocation_fails_in_submit",
    "allocations_fail_for_good",
    "an_allocation_fails_in_shutdown",
}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_holds(scenario):
    if scenario.name in NEEDS_TESTCAPI:
        pytest.importorskip("_testcapi", reason="this Python fails no allocation")
    try:
        assert scenario.run("stealpool") is None
    except catalogue.NotPermittedError as error:
        pytest.skip(str(error))


def test_a_scenario_that_does_not_hold_is_noticed():
    """Of the watcher itself: three kinds of failure, of the standard library's."""
    chosen = {scenario.name: scenario for scenario in SCENARIOS}
    library = "concurrent.futures"
    assert "AssertionError" in chosen["a_chain_of_100_000_callbacks"].run(library)
    assert chosen["a_nested_wait_with_one_worker"].run(library, timeout=2) == "hangs"
    unheard = catalogue.Scenario("ends", "exit_with_queued_calls", "", prints="never")
    assert "instead of 'never'" in unheard.run(library)


def test_a_scenario_that_is_not_possible_here_says_why(tmp_path, monkeypatch):
    (tmp_path / "impossible.py").write_text(
        "from program import NotPermittedError\n"
        "def no_luck(lib):\n"
        "    raise NotPermittedError('it is forbidden')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    impossible = catalogue.Scenario("impossible", "no_luck", "")
    with pytest.raises(catalogue.NotPermittedError, match="^it is forbidden$"):
        impossible.run("concurrent.futures")


def test_scenarios_have_names_and_claims_of_their_own():
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)
    assert len({scenario.claim for scenario in SCENARIOS}) == len(SCENARIOS)
