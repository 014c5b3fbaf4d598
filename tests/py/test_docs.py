"""The documentation is true: its programs run, its links and lists are complete.

A page is a script. Its blocks that begin with a comment with a file name are written
to an empty folder, the commands of its `console` blocks run there, in order, and at
last its `python` blocks, as one program (in README.md one program for each section).
What a line `print(...)  # text` prints, and what stands below a command, is compared.
Blocks of other kinds, such as `sh`, are only read.
"""

import ast
import importlib.util
import inspect
import os
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("docs/*/*.md")])
BLOCK = re.compile(r"^```(\S+)[^\n]*\n(.*?)^```$", re.M | re.S)
FILE_NAME = re.compile(r"(?:#|//|/\*)\s*(\w+\.\w+)\b")


def blocks(text):
    """All (language, text) of a page, in order."""
    return [(match[1], match[2]) for match in BLOCK.finditer(text)]


def sections(path):
    """The parts of a page that are programs of their own, with its lines in place."""
    lines = path.read_text().splitlines(keepends=True)
    starts = [0, len(lines)]
    if path.name == "README.md":
        starts[1:1] = [i for i, line in enumerate(lines) if line.startswith("## ")]
    for start, end in pairwise(starts):
        text = "\n" * start + "".join(lines[start:end])
        if any(kind in ("python", "console") for kind, _ in blocks(text)):
            title = lines[start].strip("# \n")
            slow = [pytest.mark.slow] if "```console" in text else []
            name = f"{path.relative_to(ROOT)}: {title}"
            yield pytest.param(text, id=name, marks=slow)


def program_of(text):
    """The `python` blocks alone, each at the line where it stands in the page."""
    code = [""] * (text.count("\n") + 1)
    for match in BLOCK.finditer(text):
        if match[1] == "python":
            first = text.count("\n", 0, match.start(2))
            lines = match[2].splitlines()
            code[first : first + len(lines)] = lines
    return "\n".join(code)


def commands_of(block):
    """All (command, expected output) of a `console` block."""
    for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
        command, expected = re.match(r"((?:.*\\\n)*.*\n)((?s:.*))", part).groups()
        yield command, expected


def missing_modules(program, folder):
    """What the program imports and is not there."""
    roots = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(program))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    ours = {path.name.partition(".")[0] for path in folder.iterdir()}
    return [name for name in roots - ours if importlib.util.find_spec(name) is None]


def run(command, folder, **options):
    """The standard output of a command that must succeed without a warning."""
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    env = {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": str(folder),
        "STEALPOOL": str(ROOT),
    }
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=env, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, done.stderr


@pytest.mark.parametrize("text", [each for path in PAGES for each in sections(path)])
def test_page_works(text, tmp_path):
    program = program_of(text)
    kinds = {kind for kind, _ in blocks(text)}
    for tool in ("cc", "pkg-config"):
        if "console" in kinds and tool in text and not shutil.which(tool):
            pytest.skip(f"needs {tool}")
    if "cython" in kinds:
        pytest.importorskip("Cython")
        pytest.importorskip("setuptools")
    for kind, block in blocks(text):
        name = FILE_NAME.match(block)
        if kind == "console":
            for command, expected in commands_of(block):
                output, _ = run(command, tmp_path, shell=True)
                assert not expected or output == expected
        elif name and kind != "python":
            (tmp_path / name[1]).write_text(block)

    missing = missing_modules(program, tmp_path)
    if re.search(r"^@kernel\b", program, re.M):  # which numba compiles
        missing += [] if importlib.util.find_spec("numba") else ["numba"]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    script = tmp_path / "program_of_page.py"
    script.write_text(program)
    output, errors = run([sys.executable, script], tmp_path)
    assert errors == ""
    lines = iter(output.splitlines())
    for expected in re.findall(r"^ *print\(.*\)  # (.*)$", program, re.M):
        assert expected in lines, output  # that is: in the rest of them


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(path):
    prose = BLOCK.sub("", path.read_text())
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", prose)
    local = [target for target in targets if "://" not in target]
    assert [each for each in local if not (path.parent / each).exists()] == []


@pytest.mark.parametrize("header", sorted(ROOT.glob("csrc/include/*.h")), ids=str)
def test_c_api_page_has_every_function(header):
    text = re.sub(r"/\*.*?\*/", " ", header.read_text(), flags=re.S)
    functions = re.findall(r"^[\w *]*?\b(sp_(?!_)\w+)\(", text, re.M)
    page = (ROOT / "docs/c-api.md").read_text()
    assert functions
    assert [name for name in functions if f"`{name}()`" not in page] == []


def test_api_page_has_every_built_in_kernel():
    from stealpool import image, kernels

    page = (ROOT / "docs/api.md").read_text()
    for module in (kernels, image):
        for name in module.__all__:
            assert f"`{module.__name__}.{name}" in page


def undocumented(cls, page):
    """Public names of a class that are not in its block on the page, nor in that of a
    class that it is one of, nor in the list of attributes of one's docstring."""
    names = set()
    for each in cls.__mro__:
        path = rf"(?:stealpool|{re.escape(each.__module__)})\.{each.__name__}"
        block = re.search(
            rf"^\.\. auto(?:class|exception):: {path}$(.*?)^```", page, re.M | re.S
        )
        if block:
            names |= set(re.findall(r":: (\w+)$", block[1], re.M))
            lists = re.search(
                r"^Attributes\n-+\n(.*?)(?:\n\n\w+\n---|\Z)",
                inspect.getdoc(each),
                re.M | re.S,
            )
            names |= set(re.findall(r"^(\w+) : ", lists[1], re.M)) if lists else set()
        elif not each.__module__.startswith("stealpool"):
            names |= set(vars(each)) if issubclass(each, BaseException) else set()
    return sorted(name for name in set(dir(cls)) - names if name[0] != "_")


def test_api_page_has_every_public_name_of_the_public_classes():
    import stealpool
    from stealpool.view import ExecutorView

    page = (ROOT / "docs/api.md").read_text()
    listed = [getattr(stealpool, name) for name in stealpool.__all__]
    listed += [ExecutorView]
    classes = {each for each in listed if isinstance(each, type)}
    ours = {each for each in classes if each.__module__.startswith("stealpool")}
    assert len(ours) >= 8
    missing = {each.__name__: undocumented(each, page) for each in ours}
    assert {name: names for name, names in missing.items() if names} == {}
    planted = type("Planted", (stealpool.Executor,), {"moon": None, "stats": None})
    assert undocumented(planted, page) == ["moon"]


def test_benchmarks_page_has_every_script():
    page = (ROOT / "docs/benchmarks.md").read_text()
    scripts = {path.stem for path in ROOT.glob("bench/py/*.py")}
    figures = set(re.findall(r"<!-- (\w+):begin -->", page))
    assert scripts - figures == {"measure", "update_docs"}
    assert figures - scripts == {"alone", "compare", "machine", "peers"}
    for name in figures:
        assert page.count(f"<!-- {name}:end -->") == 1
