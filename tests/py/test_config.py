"""What the build says of itself, and where it keeps its headers."""

import os
import re
from pathlib import Path

import pytest
import stealpool
from stealpool import _core

KEYS = [
    "version",
    "python",
    "implementation",
    "free_threaded",
    "compiler",
    "build_type",
    "isa",
    "affinity_cpus",
    "cpu_quota",
    "usable_cpus",
]


def test_build_config_has_what_a_bug_report_needs():
    assert list(_core.build_config()) == KEYS


def test_show_config_prints_one_line_for_each_fact(capsys):
    stealpool.show_config()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == KEYS


def test_show_config_lines_its_values_up(capsys):
    stealpool.show_config()
    starts = {
        re.match(r"\w+ +", line).end() for line in capsys.readouterr().out.splitlines()
    }
    assert len(starts) == 1


def test_build_config_is_a_copy():
    _core.build_config()["version"] = "changed"
    assert _core.build_config()["version"] == stealpool.__version__


def test_instruction_set_is_one_that_the_header_names(tree):
    header = (tree / "csrc/include/stealpool_kernels.h").read_text()
    names = re.search(
        r"The instruction set that the kernels use:(.*?)\*/", header, re.S
    )
    assert f'"{_core.build_config()["isa"]}"' in names[1]


def test_environment_lowers_the_instruction_set(run_python):
    program = "from stealpool import _core; print(_core.build_config()['isa'])"
    lowered = run_python(program, env={"STEALPOOL_CPU": "baseline"}).stdout.strip()
    assert lowered in ("x86-64", "aarch64", "generic")


@pytest.mark.parametrize("name", ["stealpool.h", "stealpool_kernels.h"])
def test_get_include_is_the_folder_of_the_headers(name, tree):
    installed = Path(stealpool.get_include()) / name
    assert installed.read_text() == (tree / "csrc/include" / name).read_text()


def test_headers_compile_from_the_folder_that_get_include_names(compile_c):
    include = stealpool.get_include()
    library = compile_c(
        f'#include "{include}/stealpool_kernels.h"\n'
        "int major_version(void) { return SP_VERSION_MAJOR; }\n"
    )
    assert library.major_version() == int(stealpool.__version__.split(".")[0])


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs affinity masks")
def test_usable_cpus_are_at_most_those_of_the_affinity_mask(run_python):
    program = """
        import os
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
        import stealpool
        config = stealpool._core.build_config()
        print(config["affinity_cpus"], config["usable_cpus"])
        print(stealpool.default_executor().stats()["workers"])
    """
    assert run_python(program).stdout.split() == ["1", "1", "1"]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs affinity masks")
def test_affinity_is_that_of_the_process():
    cpus = len(os.sched_getaffinity(0))
    assert _core.build_config()["affinity_cpus"] == cpus
    assert 1 <= _core.build_config()["usable_cpus"] <= cpus
