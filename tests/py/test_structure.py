"""The architecture as tests: they read the tree and need no build.

A rule is a generator of violations. `PLANTED` holds one violation of each rule, so
that a rule that cannot fail fails its own test.
"""

import ast
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = ["base", "sched", "par", "kernels"]  # bottom to top
RULES = []


def rule(function):
    RULES.append(function)
    return function


def files(tree, *patterns):
    return sorted(path for pattern in patterns for path in tree.glob(pattern))


def sources(tree):
    """Everything that is written by hand in C, Cython or Python."""
    kinds = ("c", "h", "py", "pyi", "pyx", "pxd", "pxi")
    tops = ("csrc", "pyx", "python", "tests", "bench")
    return files(tree, *(f"{top}/**/*.{kind}" for top in tops for kind in kinds))


def c_code(path):
    """The text of a C file without its comments and strings."""
    noise = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.S)
    return noise.sub(" ", path.read_text())


def c_comments(path):
    return re.findall(r"/\*.*?\*/|//[^\n]*", path.read_text(), re.S)


def includes(path):
    return re.findall(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]', path.read_text(), re.M)


def is_per_isa(path):
    """Is this file compiled once for each instruction set, or a part of such a file?"""
    return re.search(r"_(isa|tmpl)$", path.stem) is not None


# ------------------------------------------------------------------- layers


@rule
def includes_point_down(tree):
    csrc = tree / "csrc"
    for path in files(csrc, "*/*.[ch]"):
        layer = path.relative_to(csrc).parts[0]
        for include in includes(path):
            used = include.split("/")[0]
            if layer == "include" and "/" in include:
                yield f"{path}: a public header includes {include}"
            elif layer in LAYERS and used in LAYERS[LAYERS.index(layer) + 1 :]:
                yield f"{path}: {layer} includes {include}"


@rule
def no_c_file_includes_python(tree):
    for path in files(tree, "csrc/**/*.[ch]", "pyx/*.[ch]", "tests/c/*.[ch]"):
        if "Python.h" in includes(path):
            yield f"{path}: includes Python.h"


@rule
def only_atomics_h_includes_stdatomic(tree):
    for path in [path for path in sources(tree) if path.suffix in (".c", ".h")]:
        if path.name != "atomics.h" and "stdatomic.h" in includes(path):
            yield f"{path}: includes stdatomic.h"


@rule
def nothing_is_published_by_fences(tree):
    fence = re.compile(r"atomic_(thread|signal)_fence|__sync_synchronize|smp_[rw]?mb")
    for path in files(tree, "csrc/**/*.[ch]", "pyx/*.[ch]", "tests/c/*.[ch]"):
        if fence.search(c_code(path)):
            yield f"{path}: a fence; order the stores and loads themselves"


@rule
def pxd_mirrors_the_headers(tree):
    declared = {
        name
        for header in files(tree, "csrc/include/*.h")
        for name in re.findall(r"\b(sp_\w+)\s*\(", c_code(header))
    }
    for path in files(tree, "pyx/stealpool_c.pxd"):
        text = re.sub(r"#[^\n]*", "", path.read_text())
        for name in re.findall(r"\b(sp_\w+)\s*\(", text):
            if name not in declared:
                yield f"{path}: no public header declares {name}()"


# ---------------------------------------------------------------- the files


@rule
def files_are_short(tree):
    for path in sources(tree):
        lines = len(path.read_text().splitlines())
        if lines > 800:
            yield f"{path}: {lines} lines; split it by nouns"


@rule
def c_files_have_names_of_their_own(tree):
    paths = files(tree, *(f"{top}/**/*.c" for top in ("csrc", "pyx", "tests", "bench")))
    for name, count in Counter(path.name for path in paths).items():
        if count > 1:
            yield f"{name}: the name of {count} files"


@rule
def modules_have_tests(tree):
    for path in files(tree, *(f"csrc/{layer}/*.c" for layer in LAYERS)):
        name = "os" if path.stem.startswith("os_") else path.stem
        test = tree / "tests/c" / f"test_{name}.c"
        if not test.exists() and not is_per_isa(path):
            yield f"{path}: has no {test.name}"


@rule
def meson_lists_every_file(tree):
    def unlisted(folder, patterns, name_of=str):
        listed = (tree / folder / "meson.build").read_text()
        for path in files(tree / folder, *patterns):
            if name_of(path.relative_to(tree / folder)) not in listed:
                yield f"{path}: not in {folder}/meson.build"

    def test_name(path):
        return repr(path.stem.split("_", 1)[1])

    yield from unlisted("csrc", ["base/[!o]*.c", "sched/*.c", "par/*.c"])
    yield from unlisted("csrc/kernels", ["*.c"])
    yield from unlisted("tests/c", ["test_[!h]*.c", "stress_*.c"], test_name)
    yield from unlisted("tests/c", ["test_h[!e]*.c"], test_name)
    yield from unlisted("bench", ["c/bench_*.c"], test_name)
    package = ["stealpool/**/*.py", "stealpool/**/*.py[ix]", "stealpool/**/*.pxd"]
    yield from unlisted("python", [*package, "stealpool/data/*"])


@rule
def public_headers_are_the_manual(tree):
    for path in files(tree, "csrc/include/*.h"):
        lines = sum(1 for line in path.read_text().splitlines() if line.strip())
        comment = sum(
            1 for text in c_comments(path) for line in text.splitlines() if line.strip()
        )
        if comment < 0.6 * lines:
            yield f"{path}: {comment} of {lines} lines are comment, less than 60 %"


# --------------------------------------------------------------- agreements


@rule
def ordering_tags_are_defined_and_have_two_sides(tree):
    readme = tree / "csrc/sched/README.md"
    row = re.compile(r"^\|\s*[*`]*([A-Z]\d{1,2})[*`]*\s*\|", re.M)
    defined = Counter(row.findall(readme.read_text()) if readme.exists() else [])
    quoted = Counter(
        tag
        for path in files(tree, "csrc/**/*.[ch]", "pyx/*.[ch]")
        for comment in c_comments(path)
        for group in re.findall(r"\(([A-Z]\d[^()]*)\)", comment)
        for tag in re.findall(r"\b[A-Z]\d{1,2}\b", group)
    )
    for tag in sorted(defined.keys() | quoted.keys()):
        if defined[tag] != 1:
            yield f"({tag}): defined {defined[tag]} times in csrc/sched/README.md"
        elif quoted[tag] < 2:
            yield f"({tag}): quoted {quoted[tag]} times; a pair has two sides"


@rule
def versions_agree(tree):
    meson = (tree / "meson.build").read_text()
    version = re.search(r"version: '([\d.]+)'", meson).group(1)
    header = (tree / "csrc/include/stealpool.h").read_text()
    parts = re.findall(r"#define SP_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", header)
    if ".".join(parts) != version:
        yield f"stealpool.h says {'.'.join(parts)}, meson.build {version}"
    changelog = (tree / "CHANGELOG.md").read_text()
    if f"## {version}" not in changelog:
        yield f"CHANGELOG.md does not mention {version}"


def public_names(path):
    """The value of `__all__` in a module, read without importing it."""
    return {
        name
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        for name in ast.literal_eval(node.value)
    }


@rule
def public_names_are_documented(tree):
    package = tree / "python/stealpool/__init__.py"
    names = public_names(package) if package.exists() else set()
    text = "\n".join(path.read_text() for path in files(tree, "docs/api*/**/*.md"))
    text += "\n".join(path.read_text() for path in files(tree, "docs/api*.md"))
    headings = re.findall(r"^#+\s+(.*)$", text, re.M)
    spelled = [name for line in headings for name in re.findall(r"`([^`]+)`", line)]
    documented = {re.match(r"(?:stealpool\.)?(\w*)", name).group(1) for name in spelled}
    for name in sorted(names - documented):
        yield f"{name}: public, but has no heading in docs/api"


@rule
def readme_gives_the_test_command_that_ci_runs(tree):
    command = (tree / ".ci/run").read_text().rstrip().splitlines()[-1]
    if command not in (tree / "README.md").read_text():
        yield f"README.md does not say `{command}`"


# ------------------------------------------------------------------- habits


@rule
def no_test_sleeps(tree):
    """A sleep is a guess. Where nothing better exists, `sleep:` gives the reason."""
    sleep = re.compile(r"\b(time\.sleep|usleep|nanosleep|sleep)\((?!0\))")
    for path in files(tree, "tests/py/**/*.py", "tests/c/*.[ch]"):
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines, 1):
            reason = "sleep:" in line or (number > 1 and "sleep:" in lines[number - 2])
            if path != Path(__file__) and sleep.search(line) and not reason:
                yield f"{path}:{number}: sleeps; wait for what is meant instead"


@rule
def suppressions_have_reasons(tree):
    """A line that silences a tool is followed, or preceded, by why."""
    silenced = re.compile(r"^(race|leak|deadlock|thread|signal):\S+$")
    for path in files(tree, "tests/**/*.supp"):
        before = ""
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if silenced.match(line) and not before.startswith("#"):
                yield f"{path}:{number}: no comment above says why"
            before = line


# ------------------------------------------------------------------ running

PLANTED = {
    includes_point_down: ("csrc/base/status.c", '#include "sched/pool.h"\n'),
    no_c_file_includes_python: ("csrc/par/reduce.c", "#include <Python.h>\n"),
    only_atomics_h_includes_stdatomic: ("csrc/x/y.h", "# include <stdatomic.h>\n"),
    nothing_is_published_by_fences: ("csrc/x/y.c", "atomic_thread_fence(order);\n"),
    pxd_mirrors_the_headers: ("pyx/stealpool_c.pxd", "    int sp_moon(int) nogil\n"),
    files_are_short: ("bench/py/long.py", "pass\n" * 801),
    c_files_have_names_of_their_own: ("bench/c/status.c", ""),
    modules_have_tests: ("csrc/sched/moon.c", ""),
    meson_lists_every_file: ("python/stealpool/interop/moon.py", ""),
    public_headers_are_the_manual: ("csrc/include/moon.h", "int moon(void);\n"),
    ordering_tags_are_defined_and_have_two_sides: ("csrc/x/y.c", "/* (Q7) */\n"),
    versions_agree: ("csrc/include/stealpool.h", "#define SP_VERSION_PATCH 99\n"),
    readme_gives_the_test_command_that_ci_runs: (".ci/run", "true\n"),
    public_names_are_documented: ("python/stealpool/__init__.py", "__all__ = ['q']\n"),
    no_test_sleeps: ("tests/py/test_moon.py", "time.sleep(1)\n"),
    suppressions_have_reasons: ("tests/c/tsan.supp", "race:sp_moon\n"),
}


@pytest.mark.parametrize("check", RULES, ids=lambda check: check.__name__)
def test_rule_holds(check):
    assert list(check(ROOT)) == []


@pytest.mark.parametrize("check", RULES, ids=lambda check: check.__name__)
def test_rule_catches_a_planted_violation(check, tmp_path):
    ignore = shutil.ignore_patterns("__pycache__", "*.so", "data")
    for top in ("csrc", "pyx", "python", "tests", "bench"):
        shutil.copytree(ROOT / top, tmp_path / top, ignore=ignore)
    for name in ("meson.build", "CHANGELOG.md", "README.md", ".ci/run"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    before = set(check(tmp_path))
    name, text = PLANTED[check]
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(text)
    assert set(check(tmp_path)) - before
