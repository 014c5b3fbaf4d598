"""When memory runs out: MemoryError or success, and nothing is lost either way."""

import sys
import sysconfig

import pytest

pytest.importorskip("_testcapi", reason="this Python cannot fail an allocation")

PROGRAM = """
import _testcapi, ctypes, gc, logging, sys
import stealpool

logging.disable()  # a callback may fail for want of memory, too
sys.unraisablehook = lambda _: None
cos = stealpool.kernel(ctypes.CDLL("libm.so.6").cos)
length = stealpool.kernel(ctypes.CDLL(None).strlen, "size_t (const void *)")
executor, array = stealpool.Executor(1), bytearray(8)
numbers = [1.0] * 5
two = lambda: [executor.submit(cos, 1.0), executor.submit(abs, 1.0)]


def action():
    {action}


action()  # what is made at the first call is there now
outcomes = set()
for n in range(60):
    gc.collect()
    _testcapi.set_nomemory(n, n + 1)
    try:
        action()
        _testcapi.remove_mem_hooks()
        outcomes.add("success")
    except MemoryError:
        _testcapi.remove_mem_hooks()
        outcomes.add("MemoryError")
    assert executor.submit(cos, 0.0).result(60) == 1.0
    assert executor.submit(abs, -1).result(60) == 1
assert outcomes == {{"success", "MemoryError"}}, outcomes
executor.shutdown(timeout=60)
assert executor.stats()["unfinished"] == 0
stealpool.Executor(1).shutdown()
if {action!r}.count("length"):
    futures = None
    array.append(1)  # a BufferError, if it were still pinned
"""

ACTIONS = {
    "submit": "executor.submit(cos, 1.0)",
    "result": "executor.submit(cos, 1.0).result()",
    "callable": "executor.submit(abs, -1)",
    "callable's result": "executor.submit(abs, -1).result(60)",
    "buffers": "executor.submit(length, array).result()",
    "submit_many": "executor.submit_many(cos, numbers)",
    "many results": "[f.result() for f in executor.submit_many(cos, numbers)]",
    "callback": "executor.submit(cos, 1.0).add_done_callback(id)",
    "cancel": "executor.submit(cos, 1.0).cancel()",
    "wait": "stealpool.wait(two(), 60)",
}

# With generators, where CPython 3.12 and 3.13 crash on their own.
WITH_GENERATORS = {
    "wait for the first": "stealpool.wait(two(), 60, 'FIRST_COMPLETED')",
    "as_completed": "list(stealpool.as_completed(two(), 60))",
    "map": "list(executor.map(cos, [1.0, 2.0]))",
}


@pytest.mark.parametrize("name", [*ACTIONS, *WITH_GENERATORS])
def test_each_allocation_may_fail(run_python, name):
    if name in WITH_GENERATORS and sys.version_info >= (3, 12):
        pytest.skip("CPython itself crashes in a generator without memory")
    makes_lists = "many" in name or name == "wait"
    if sysconfig.get_config_var("Py_GIL_DISABLED") and makes_lists:
        pytest.skip("free-threaded CPython 3.13 crashes in PyList_New() without memory")
    action = {**ACTIONS, **WITH_GENERATORS}[name]
    run_python(PROGRAM.format(action=action), options=("-X", "faulthandler"))
