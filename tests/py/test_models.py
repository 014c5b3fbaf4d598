"""The protocols' models: the full one holds, and each ingredient is needed. And the
errors that are planted for the simulator have a place to be planted in.
"""

import runpy
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
MODEL = runpy.run_path(str(TESTS / "models" / "idle.py"))


@pytest.mark.parametrize("case", MODEL["CASES"], ids=str)
def test_no_wake_up_is_lost(case):
    states, path = MODEL["check"]("full protocol", case)
    assert path is None
    assert states > 1000


@pytest.mark.parametrize("variant", MODEL["VARIANTS"])
def test_without_this_ingredient_it_fails(variant):
    _states, path = MODEL["check"](variant, MODEL["VARIANTS"][variant])
    assert path is not None


def test_each_planted_error_has_one_place(monkeypatch):
    monkeypatch.syspath_prepend(str(TESTS / "sim"))
    twins = runpy.run_path(str(TESTS / "sim" / "twins.py"))
    planted = twins["TWINS"] + [
        twins["Twin"](*words) for words in sys.modules["twins_binding"].TWINS
    ]
    assert len(planted) > 50
    claims = {twin.claim for twin in planted}
    tests = runpy.run_path(str(TESTS / "c/planted.py"))["TESTS"]
    assert {error for _, error in tests if isinstance(error, str)} <= claims
    planted += [error for _, error in tests if not isinstance(error, str)]
    for twin in planted:
        assert twin.file.endswith(".c"), f"{twin.claim}: one source is compiled again"
        text = (TESTS.parent / twins["path_of"](twin.file)).read_text()
        assert text.count(twin.old) == 1, f"{twin.file}: {twin.claim}"


def test_each_stress_test_is_seen_to_fail(monkeypatch):
    monkeypatch.syspath_prepend(str(TESTS / "sim"))
    tests = runpy.run_path(str(TESTS / "c/planted.py"))["TESTS"]
    stress = {path.stem for path in (TESTS / "c").glob("stress_*.c")}
    assert {f"stress_{name}" for name, _ in tests} >= stress
