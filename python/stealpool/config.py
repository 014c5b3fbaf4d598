"""What was built, and where its C header is."""

from __future__ import annotations

from importlib.resources import files

from . import _core

__all__ = ["get_include", "show_config"]


def show_config() -> None:
    """Print versions, CPUs, quota, instruction set and build options."""
    config = _core.build_config()
    width = max(map(len, config))
    for name, value in config.items():
        print(f"{name:<{width}}  {value}")


def get_include() -> str:
    """The folder of ``stealpool.h`` and ``stealpool_kernels.h``."""
    return str(files("stealpool") / "include")
