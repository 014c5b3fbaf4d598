"""One command per intent. `spin` lists them, `spin <command> --help` explains one."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
from spin.cmds import meson

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable

# Builds of the C library and its tests, each in a folder `build-<name>`.
C_BUILDS = {
    "c": [],
    "release": ["-Dbuildtype=release"],
    "tsan": ["-Db_sanitize=thread", "-Db_lundef=false"],
    "asan": ["-Db_sanitize=address,undefined", "-Db_lundef=false"],
    "posix": ["-Dos=posix"],
    "edges": ["-Ddeque_capacity=4", "-Dchaos=true", "-Dlate_counters=true"],
    # Not optimised: a branch of the program is one of the sources.
    "coverage": [
        *("-Dbuildtype=debug", "-Db_coverage=true"),
        *("-Ddeque_capacity=4", "-Dchaos=true"),
    ],
    "peers": ["-Dbuildtype=release", "-Dpeers=true"],
}


def call(*command, check=True):
    """Show and run one command in the root of the tree; True when it succeeded."""
    words = [str(word) for word in command]
    click.secho("$ " + shlex.join(words), fg="bright_blue", bold=True)
    code = subprocess.run(words, cwd=ROOT).returncode
    if code and check:
        sys.exit(code)
    return code == 0


def tree(*patterns):
    """All files of ours that match, as paths from the root."""
    files = (path for pattern in patterns for path in ROOT.glob(pattern))
    return sorted(path.relative_to(ROOT) for path in files)


def c_build(name):
    """Configure the C build `name` unless that was done, and return its folder."""
    folder = f"build-{name}"
    if not (ROOT / folder / "build.ninja").exists():
        options = ["-Dpython=disabled", "-Dwerror=true", *C_BUILDS[name]]
        call("meson", "setup", folder, *options)
    return folder


def c_tests(name, tests):
    suites = [] if tests else ["--suite", "unit", "--suite", "stress"]
    call("meson", "test", "-C", c_build(name), "--print-errorlogs", *suites, *tests)


build = meson.build


def use_build(ctx):
    """Build the package and let the Python programs that follow import it."""
    ctx.invoke(build, build_dir="build", quiet=True)
    meson._set_pythonpath("build", quiet=True)


@click.command()
@click.argument("pytest_args", nargs=-1)
@click.pass_context
def test(ctx, pytest_args):
    """Build the package, then run pytest on tests/py, or on what is named.

    \b
    spin test
    spin test tests/py/test_future.py
    spin test -- -k cancel -x
    """
    use_build(ctx)
    call(PYTHON, "-P", "-m", "pytest", *pytest_args)


@click.command()
@click.option(
    "--build", "name", type=click.Choice(list(C_BUILDS)), default="c", show_default=True
)
@click.option("--twins", is_flag=True, help="Only see that stress tests find errors.")
@click.argument("tests", nargs=-1)
def test_c(name, twins, tests):
    """Run the C tests, all or those that are named.

    \b
    spin test-c
    spin test-c deque steal
    STRESS=100 spin test-c --build posix steal
    spin test-c --build edges --twins
    """
    if twins:
        folder = c_build(name)
        listing = subprocess.check_output(
            ["ninja", "-C", folder, "-t", "targets", "all"], cwd=ROOT, text=True
        )
        stress = re.findall(r"^(tests/c/(?:stress_\w+|test_faults)): ", listing, re.M)
        call("ninja", "-C", folder, *stress)
        call(PYTHON, "tests/c/planted.py", folder)
        return
    c_tests(name, tests)


@click.command()
@click.option("--fork", "forks", is_flag=True, help="Only that test, by clang.")
@click.argument("tests", nargs=-1)
def tsan(forks, tests):
    """Run the C tests under ThreadSanitizer.

    GCC's runtime ends a child of fork() that starts threads, so that test is run by
    clang's, where there is one.
    """
    if not forks:
        c_tests("tsan", tests)
        return
    names = [f"clang-{version}" for version in range(40, 17, -1)]
    clang = next(filter(shutil.which, names), None)
    if not clang:
        print("fork() under TSan: not run, for there is no clang, 18 or later")
        return
    folder = "build-tsan-clang"
    if not (ROOT / folder / "build.ninja").exists():
        os.environ["CC"] = clang
        call("meson", "setup", folder, "-Dpython=disabled", *C_BUILDS["tsan"])
    call("meson", "test", "-C", folder, "-t", 5, "--print-errorlogs", "fork")


@click.command()
@click.argument("tests", nargs=-1)
def asan(tests):
    """Run the C tests under AddressSanitizer and UndefinedBehaviorSanitizer."""
    c_tests("asan", tests)


# What an extension does that sees freed memory; ASan must say so.
PLANTED = """
import ctypes, numpy, stealpool
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
address = libc.malloc(8000)
freed = numpy.ctypeslib.as_array((ctypes.c_uint8 * 7500).from_address(address))
libc.free(address)
from stealpool import image
image.rgb_to_gray(freed.reshape(50, 50, 3))
"""

# Deques are small, and counters wrap, as in the build `edges` of the C tests.
ASAN_PY_BUILD = [
    *("tests=disabled", "b_lundef=false", "b_sanitize=address,undefined"),
    *("deque_capacity=4", "late_counters=true"),
]

# Without leaks: the interpreter does not free all that it has.
ASAN_PY_OPTIONS = "detect_leaks=0:detect_stack_use_after_return=1"

ASAN_PY_TESTS = [
    "tests/py/test_lifetimes.py",
    "tests/py/test_kernel.py",
    "tests/py/test_sources.py",
    "tests/py/test_abis.py",
    "tests/py/test_ranges.py",
    "tests/py/test_buffers.py",
    "tests/py/test_ufunc.py",
    "tests/py/test_ufunc_numpy.py",
    "tests/py/test_integrate.py",
    "tests/py/test_image.py",
    "tests/py/test_mapping.py",
    "tests/py/test_future.py",
    "tests/py/test_observers.py",
    "tests/py/test_executor.py",
    "tests/py/test_start.py",
    "tests/py/test_batch.py",
    "tests/py/test_lane.py",
    "tests/py/test_view.py",
    "tests/py/test_token.py",
    "tests/py/test_admission.py",
    "tests/py/test_room.py",
    "tests/py/test_inbox.py",
    "tests/py/test_aio.py",
    "tests/py/test_drainer.py",
    "tests/py/faults/test_catalogue.py::test_holds[children_of_children_submit]",
]


@click.command()
@click.argument("pytest_args", nargs=-1)
@click.pass_context
def asan_py(ctx, pytest_args):
    """Run Python tests on extensions that ASan and UBSan watch; those of kernels.

    \b
    spin asan-py
    spin asan-py tests/py/test_lifetimes.py
    """
    folder = ROOT / "build-asan-py"
    options = [f"-D{option}" for option in ASAN_PY_BUILD]
    ctx.invoke(build, build_dir=folder.name, quiet=True, meson_args=options)
    meson._set_pythonpath(folder.name, quiet=True)
    for old in folder.glob("report*"):
        old.unlink()
    # The interpreter knows no ASan, so its library comes first; and that of C++, whose
    # exceptions it catches on their way.
    libraries = [
        subprocess.check_output(["gcc", f"-print-file-name={name}"], text=True).strip()
        for name in ("libasan.so", "libstdc++.so")
    ]
    reports = f":log_path={folder / 'report'}"
    watched = [
        "env",
        "LD_PRELOAD=" + " ".join(libraries),
        "PYTHONMALLOC=malloc",
        "ASAN_OPTIONS=" + ASAN_PY_OPTIONS + reports,
        "UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1" + reports,
        PYTHON,
        "-P",
    ]
    found = not call(*watched, "-c", PLANTED, check=False) and list(folder.glob("rep*"))
    if not found or "heap-use-after-free" not in found[0].read_text():
        sys.exit("ASan does not see a planted error, so it watches nothing")
    found[0].unlink()
    is_good = call(
        *watched, "-m", "pytest", *(pytest_args or ASAN_PY_TESTS), check=False
    )
    found = list(folder.glob("report*"))
    for report in found:  # also of programs that a test has run
        click.echo(report.read_text())
    sys.exit(not is_good or bool(found))


# What TSan is to see: threads that share our objects. Not what forks, which it cannot
# follow, nor what limits the memory, of which it needs much.
TSAN_PY_TESTS = [
    *("-k", "not fork"),
    "tests/py/test_stress.py",
    "tests/py/test_future.py",
    "tests/py/test_observers.py",
    "tests/py/test_lane.py",
    "tests/py/test_deadlock.py",
    "tests/py/test_executor.py",
    "tests/py/test_start.py",
    "tests/py/test_aio.py",
    "tests/py/test_token.py",
    "tests/py/test_admission.py",
    "tests/py/test_view.py",
    "tests/py/test_batch.py",
    "tests/py/test_room.py",
    "tests/py/test_waiting.py",
    "tests/py/test_drainer.py",
    "tests/py/test_inbox.py",
]
# Compiled sooner than with -O3; and reports have lines.
TSAN_PY_BUILD = ["b_sanitize=thread", "b_lundef=false", "optimization=1", "debug=true"]
TSAN_PY_OPTIONS = [
    f"suppressions={ROOT}/tests/py/cpython.supp",
    "report_thread_leaks=0",  # CPython detaches its threads when it collects them
    "die_after_fork=0",
    "exitcode=66",
]


@click.command()
@click.option("--tsan", "is_watched", is_flag=True, help="Under ThreadSanitizer.")
@click.argument("pytest_args", nargs=-1)
def free_threaded(is_watched, pytest_args):
    """Run the Python tests without a GIL, on a CPython that is built for it.

    \b
    spin free-threaded
    spin free-threaded --tsan tests/py/test_stress.py
    """
    build = [".ci/free-threaded", *(["--tsan"] if is_watched else [])]
    interpreter = subprocess.run(build, cwd=ROOT, text=True, stdout=subprocess.PIPE)
    if interpreter.returncode:
        sys.exit("no free-threaded Python could be built")
    folder = ROOT / ("build-tsan-py" if is_watched else "build-free-threaded")
    options = ["--no-build-isolation", f"-Cbuild-dir={folder}/build"]
    runner, has_pip = [], []
    if is_watched:
        options += [f"-Csetup-args=-D{option}" for option in TSAN_PY_BUILD]
        runner = ["setarch", "-R"]  # TSan cannot bear randomised addresses
        has_pip = ["--without-pip"]  # of its own, which it takes minutes to compile
        pytest_args = pytest_args or TSAN_PY_TESTS
    os.environ["TSAN_OPTIONS"] = "report_bugs=0"  # of pip
    made = interpreter.stdout.split()[-1]
    call(*runner, made, "-m", "venv", *has_pip, folder / "venv")
    python = [*runner, folder / "venv/bin/python"]
    pip = [*runner, PYTHON, "-m", "pip", "--python", python[-1], "install"]
    pip += ["--prefer-binary", "--no-compile"]
    # Meson and Cython of this interpreter, which is the faster one, if it has them.
    paths = [Path(PYTHON).parent, os.environ["PATH"], folder / "venv/bin"]
    os.environ["PATH"] = os.pathsep.join(map(str, paths))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    call(*pip, *project["build-system"]["requires"], "ninja")
    call(*pip, ".[test-alone]", *options)
    os.environ["TSAN_OPTIONS"] = " ".join(TSAN_PY_OPTIONS)
    call(*python, "-P", "-m", "pytest", "-q", *pytest_args)


@click.command()
@click.option("--schedules", type=float, default=1e6, show_default=True)
@click.option("--base", type=int, default=1, help="The first seed.")
@click.option("--twins", is_flag=True, help="Only see that planted errors are found.")
@click.option("--mutants", is_flag=True, help="Only weaken each order by one step.")
@click.argument("scenarios", nargs=-1)
def sim(schedules, base, twins, mutants, scenarios):
    """Run the scheduler's sources under the simulator, tests/sim.

    \b
    spin sim
    spin sim --schedules 1e7 --base 1000000 no_wake_up_is_lost
    """
    folder = c_build("c")
    program = f"{folder}/tests/sim/sim"
    call("ninja", "-C", folder, "tests/sim/sim")
    if twins:
        call(PYTHON, "tests/sim/twins.py", folder)
    if mutants:
        call(PYTHON, "tests/sim/mutants.py", program)
    if twins or mutants:
        return
    call(program, "--litmus", "--schedules", 1000000)
    for seed, scenario in sim_seeds():
        call(program, "--seed", seed, scenario)
    search = ["--search", 1, "--schedules", int(schedules / 5)]
    call(program, *search, *scenarios)
    call(program, "--base", base, "--schedules", int(schedules), *scenarios)


@click.command()
@click.option("--mcdc", is_flag=True, help="Conditions instead, where clang is there.")
def coverage(mcdc):
    """Count the lines and branches of csrc that the C tests and the simulator reach."""
    if mcdc:
        call(PYTHON, "tests/mcdc.py", "build-mcdc")
        return
    folder = c_build("coverage")
    suites = ["--suite", "unit", "--suite", "stress"]
    call("meson", "test", "-C", folder, "--print-errorlogs", *suites)
    call(f"{folder}/tests/sim/sim", "--schedules", 300000)
    call(PYTHON, "tests/coverage.py", folder)


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def prove(arguments):
    """The long tier, some hours; writes docs/proof.md. See tests/prove.py."""
    for name in ("c", "tsan", "posix", "coverage"):
        folder = c_build(name)
        call("ninja", "-C", folder, "tests/c/stress_soak")
        if name in ("c", "coverage"):
            call("ninja", "-C", folder, "tests/sim/sim")
    call(PYTHON, "tests/prove.py", *arguments)


def sim_seeds():
    """The seeds that once failed: pairs of seed and scenario."""
    for line in (ROOT / "tests/sim/seeds.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            yield line.split()[:2]


@click.command()
@click.option("--fix", is_flag=True, help="Format the files instead of complaining.")
@click.pass_context
def lint(ctx, fix):
    """Formatters, linters, types, and the architecture tests; all of them."""
    c_files = tree(*(f"{top}/**/*.[ch]" for top in ("csrc", "pyx", "tests", "bench")))
    cython_files = tree(
        "pyx/*.px[dix]", "pyx/*.pyx", "python/**/*.pxd", "tests/examples/**/*.pyx"
    )
    meson_files = tree("meson.build", "meson.options", "*/**/meson.build")
    commands = [
        ["clang-format", *(["-i"] if fix else ["--dry-run", "-Werror"]), *c_files],
        ["ruff", "format", *([] if fix else ["--check"]), "."],
        ["ruff", "check", *(["--fix"] if fix else []), "."],
        ["meson", "format", "-e", "-i" if fix else "-d", *meson_files],
        ["cython-lint", *cython_files],
        [PYTHON, "-m", "pytest", "-q", "tests/py/test_structure.py"],
    ]
    results = [call(*command, check=False) for command in commands]
    stubtest_args = ["--allowlist", ".spin/stubtest.txt", "--ignore-unused-allowlist"]
    stubtest_args += ["stealpool._core", "stealpool._numpy", "stealpool._peers"]
    use_build(ctx)
    results += [
        call(PYTHON, "-P", "-m", "mypy", "-p", "stealpool", check=False),
        call(PYTHON, "-P", "-m", "mypy.stubtest", *stubtest_args, check=False),
    ]
    sys.exit(not all(results))


@click.command()
@click.argument("scripts", nargs=-1)
@click.pass_context
def bench(ctx, scripts):
    """Run the C benchmarks, or the Python scripts that are named.

    \b
    spin bench
    spin bench bench/py/bench_submit.py
    """
    if not scripts:
        call("meson", "test", "-C", c_build("release"), "--benchmark", "--verbose")
        return
    ctx.invoke(build, build_dir="build-bench", meson_args=("-Dbuildtype=release",))
    meson._set_pythonpath("build-bench", quiet=True)
    for script in scripts:
        call(PYTHON, "-P", script)


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def peers(arguments):
    """Run the same programs on us, oneTBB and OpenMP, in turn, and print a table.

    \b
    spin peers
    spin peers fib skynet --threads 2 --rounds 5
    """
    folder = c_build("peers")
    call("meson", "compile", "-C", folder)
    call(PYTHON, "bench/peers/run.py", "--build", folder, *arguments)


@click.command()
@click.pass_context
def docs(ctx):
    """Build docs/ into docs/_build; every warning is an error."""
    use_build(ctx)
    shutil.rmtree(ROOT / "docs/_build", ignore_errors=True)
    call(
        PYTHON,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-b",
        "html",
        "docs",
        "docs/_build",
    )


@click.command()
def check():
    """Everything that CI runs, in the same order."""
    os.execv(ROOT / ".ci/run", [".ci/run"])
