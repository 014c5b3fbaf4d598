"""What a user gets from pip: the content of a wheel, and what its modules export."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile

import pytest

pytestmark = pytest.mark.slow

OTHER_PROJECT = """
# cython: language_level=3, freethreading_compatible=True
cimport stealpool


cdef int add_one(void *user) noexcept nogil:
    (<int *> user)[0] += 1
    return 0


def answer(executor):
    cdef stealpool.Handle handle = stealpool.handle(executor)
    cdef int number = 41
    with nogil:
        code = stealpool.join(stealpool.spawn(handle.pool, add_one, &number))
    return number, code
"""

# Symbols, beside PyInit_*, that other programs are meant to find in the modules.
EXPORTED_ON_PURPOSE = set()


def run(*command, **options):
    """The standard output of a command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tree, tmp_path_factory):
    """The path of a wheel that was built from a copy of this tree."""
    pytest.importorskip("mesonpy")
    folder = tmp_path_factory.mktemp("wheel")
    ignore = shutil.ignore_patterns(".*", "build", "build-*", "docs", "__pycache__")
    shutil.copytree(tree, folder / "tree", ignore=ignore)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    pip += ["--no-build-isolation", "--wheel-dir", folder, folder / "tree"]
    tools = os.path.dirname(
        sys.executable
    )  # meson, ninja and cython of this interpreter
    path = os.pathsep.join([tools, os.environ.get("PATH", "")])
    run(*pip, env={**os.environ, "PATH": path})
    (built,) = folder.glob("stealpool-*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel):
    """The files in the wheel, without those that describe the wheel itself."""
    names = zipfile.ZipFile(wheel).namelist()
    return {name for name in names if not name.split("/")[0].endswith(".dist-info")}


@pytest.fixture(scope="module")
def site(wheel):
    """A folder to import the wheel's stealpool from."""
    folder = wheel.parent / "site"
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def test_wheel_holds_the_package_and_nothing_else(names):
    assert {name for name in names if not name.startswith("stealpool/")} == set()
    assert {
        name for name in names if name.endswith((".c", ".pyx", ".pxi", ".a"))
    } == set()


def test_wheel_holds_all_of_the_package(names, tree):
    package = tree / "python"
    sources = {
        path.relative_to(package).as_posix()
        for path in package.glob("stealpool/**/*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert sources - names == set()


def test_wheel_serves_c_and_cython_users(names, tree):
    headers = {path.name for path in tree.glob("csrc/include/*.h")}
    assert {f"stealpool/include/{name}" for name in headers} <= names
    assert {"stealpool/__init__.pxd", "stealpool/_core.pxd"} <= names


def test_modules_export_only_their_init_function(site):
    if not shutil.which("nm"):
        pytest.skip("needs nm")
    for module in site.glob("stealpool/*.so"):
        lines = run("nm", "-D", "--defined-only", module).splitlines()
        exported = {line.split()[-1] for line in lines} - EXPORTED_ON_PURPOSE
        assert exported == {f"PyInit_{module.name.split('.')[0]}"}


def test_modules_need_only_the_c_library(site):
    if not shutil.which("readelf"):
        pytest.skip("needs readelf")
    for module in site.glob("stealpool/*.so"):
        needed = re.findall(r"NEEDED.*\[(.*?)\.so", run("readelf", "-d", module))
        assert set(needed) <= {"libc", "libm", "libpthread", "ld-linux-x86-64"}


def test_another_project_can_cimport_stealpool(site, tmp_path):
    pytest.importorskip("Cython")
    (tmp_path / "other.pyx").write_text(OTHER_PROJECT)
    run(sys.executable, "-m", "cython", "-I", site, "other.pyx", cwd=tmp_path)
    compiler = sysconfig.get_config_var("CC").split()
    flags = ["-shared", "-fPIC", f"-I{sysconfig.get_path('include')}"]
    module = "other" + sysconfig.get_config_var("EXT_SUFFIX")
    run(*compiler, *flags, "other.c", "-o", module, cwd=tmp_path)

    program = "import other, stealpool; print(other.answer(stealpool.Executor(2)))"
    path = os.pathsep.join([str(site), str(tmp_path)])
    options = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": path}}
    assert run(sys.executable, "-c", program, **options) == "(42, 0)\n"


def test_versions_are_the_one_in_meson_build(tree, wheel):
    import stealpool

    text = (tree / "meson.build").read_text()
    version = re.search(r"version: '([\d.]+)'", text).group(1)
    assert stealpool.__version__ == version
    assert wheel.name.split("-")[1] == version


def test_public_names_say_that_they_come_from_stealpool():
    import stealpool

    modules = {
        name: getattr(getattr(stealpool, name), "__module__", None) or ""
        for name in stealpool.__all__
    }
    # A C class cannot say where its users find it; Python classes can.
    assert {name for name, module in modules.items() if module == "_core"} == set()
    assert "_core" not in sys.modules
