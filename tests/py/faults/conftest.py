"""Programs of their own: what goes wrong in them must not go wrong in pytest."""

import os
import textwrap

import pytest

PRELUDE = """
import concurrent.futures as cf
import atexit, ctypes, gc, math, os, signal, sys, threading, time
import stealpool

libc = ctypes.CDLL(None)

class Gate:
    def __init__(self):
        self.memory = ctypes.create_string_buffer(128)
        self.key = ctypes.addressof(self.memory)
        libc.sem_init(self.memory, 0, 0)

    def open(self):
        libc.sem_post(self.memory)

gate = Gate()
wait_at = stealpool.kernel(libc.sem_wait, "int (uintptr_t)")
cos = stealpool.kernel(ctypes.CDLL("libm.so.6").cos)
write = stealpool.kernel(libc.write, "intptr_t (int, const void *, size_t)")

def until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited for ever"
        time.sleep(0)

def interrupt_when_asleep():
    '''One Ctrl-C for the main thread, once it sleeps in a system call.'''
    asleep = 0
    while asleep < 20:
        with open(f"/proc/self/task/{os.getpid()}/stat") as file:
            asleep = asleep + 1 if ") S " in file.read() else 0
    os.kill(os.getpid(), signal.SIGINT)

def interrupt_at_exit():
    exits = threading.Event()

    def interrupt():
        exits.wait()
        interrupt_when_asleep()

    # Not at exit: Python 3.12 begins no thread then.
    threading.Thread(target=interrupt, daemon=True).start()
    threading._register_atexit(exits.set)  # the last one is called first
"""


@pytest.fixture
def program(run_python):
    """Runs a program: the prelude, then the given parts."""

    def run(*parts, **options):
        # Python 3.12 and newer warn of a fork in a process with threads.
        flags = ("-W", "ignore::DeprecationWarning", "-X", "faulthandler")
        text = "".join(map(textwrap.dedent, (PRELUDE, *parts)))
        return run_python(text, options=flags, **options)

    return run


@pytest.fixture(scope="session")
def runs():
    """How often a program is run that must end well every time."""
    return 2 * int(os.environ.get("STRESS", "1"))
