"""The protocols' models: the full one holds, and each ingredient is needed."""

import runpy
from pathlib import Path

import pytest

MODEL = runpy.run_path(str(Path(__file__).parents[1] / "models" / "idle.py"))


@pytest.mark.parametrize("case", MODEL["CASES"], ids=str)
def test_no_wake_up_is_lost(case):
    states, path = MODEL["check"]("full protocol", case)
    assert path is None
    assert states > 1000


@pytest.mark.parametrize("variant", MODEL["VARIANTS"])
def test_without_this_ingredient_it_fails(variant):
    _states, path = MODEL["check"](variant, MODEL["VARIANTS"][variant])
    assert path is not None
