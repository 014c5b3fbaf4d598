"""stealpool: a work-stealing thread pool for native kernels.

>>> from stealpool import Executor, kernel
>>> from stealpool.kernels import integrate
"""

from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    CancelledError,
    InvalidStateError,
    TimeoutError,
)
from concurrent.futures.thread import BrokenThreadPool
from importlib import import_module as _import_module

from . import process
from ._core import (
    CancellationToken,
    Future,
    Handle,
    Kernel,
    KernelError,
    __version__,
    get_address,
)
from .aio import AsyncFuture
from .config import get_include, show_config
from .executor import Executor, ThreadPoolExecutor, default_executor
from .sources import kernel
from .waiting import as_completed, wait

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "AsyncFuture",
    "BrokenThreadPool",
    "CancellationToken",
    "CancelledError",
    "Executor",
    "Future",
    "Handle",
    "InvalidStateError",
    "Kernel",
    "KernelError",
    "ThreadPoolExecutor",
    "TimeoutError",
    "__version__",
    "as_completed",
    "default_executor",
    "get_address",
    "get_include",
    "kernel",
    "show_config",
    "wait",
]

process.install()


def __getattr__(name: str) -> object:
    """Import the modules of built-in kernels when they are first asked for."""
    if name in ("image", "kernels"):
        return _import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
