"""The notebook of the guide runs, from its first cell to its last."""

import importlib.util
import json
import shlex
import shutil
import sysconfig

import pytest


@pytest.fixture
def path(tree):
    return tree / "docs/guide/cython_notebook.ipynb"


def shown(cell):
    """What the last line of a cell has shown."""
    texts = [out["data"]["text/plain"] for out in cell.outputs if "data" in out]
    return "".join(texts)


def test_notebook_is_kept_without_outputs(path):
    notebook = json.loads(path.read_text())
    assert notebook["nbformat"] == 4
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["outputs"] for cell in code] == [[]] * len(code)
    assert {cell["execution_count"] for cell in code} == {None}


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Jupyter's own, in the versions that are about
def test_notebook_with_a_cython_cell_runs(path, tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    for needed in ("ipykernel", "Cython", "setuptools"):
        if importlib.util.find_spec(needed) is None:  # for the notebook, not for us
            pytest.skip(f"needs {needed}")
    compiler = sysconfig.get_config_var("CC") or "cc"
    if shutil.which(shlex.split(compiler)[0]) is None:
        pytest.skip("needs a C compiler")
    # Where %%cython would find what it has compiled before, against another stealpool.
    for folder in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "XDG_CACHE_HOME"):
        monkeypatch.setenv(folder, str(tmp_path / folder))

    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    client = nbclient.NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    made, submitted, failed, looped = map(shown, code[-4:])
    assert made.startswith("<stealpool.Kernel mandelbrot_row: int32 (uint16 *, int64")
    assert submitted == "(240, 0, 200)"
    assert "most must be at least 1" in failed
    assert looped == "(0, True)"
