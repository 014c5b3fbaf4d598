"""Interpreters beside the main one: a clear ImportError, and no harm to anybody."""

import sys

import pytest

PROGRAM = """
import {module} as interpreters
import ctypes, stealpool, sys

cos = stealpool.kernel(ctypes.CDLL("libm.so.6").cos)
executor = stealpool.Executor(1)
code = '''
try:
    import stealpool
except ImportError as error:
    words = str(error)
    assert "interpreter" in words, words
'''
for _ in range(3):
    {create_and_run}
    assert executor.submit(cos, 0.0).result(60) == 1.0
    assert executor.submit(abs, -1).result(60) == 1
print("over")
"""

CREATE_AND_RUN = {
    "_xxsubinterpreters": (
        "other = interpreters.create({isolated}); "
        "interpreters.run_string(other, code); interpreters.destroy(other)"
    ),
    "_interpreters": (
        "other = interpreters.create({isolated}); "
        "error = interpreters.exec(other, code); "
        "assert error is None, error.formatted; interpreters.destroy(other)"
    ),
}


@pytest.mark.parametrize("isolated", [True, False], ids=["own GIL", "shared GIL"])
def test_import_in_another_interpreter(run_python, isolated):
    module = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
    pytest.importorskip(module)
    options = {True: "", False: "'legacy'"}[isolated]
    if sys.version_info < (3, 13):
        options = f"isolated={isolated}"
    program = PROGRAM.format(
        module=module,
        create_and_run=CREATE_AND_RUN[module].format(isolated=options),
    )
    done = run_python(program, options=("-W", "ignore", "-X", "faulthandler"))
    assert done.stdout == "over\n"
