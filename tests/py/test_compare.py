"""The main job: `python -m stealpool compare`, and the program that it runs."""

import concurrent.futures as cf
import json
import math
import subprocess
import sys

import numpy as np
import pytest
import stealpool
import stealpool.kernels
from stealpool import _peers
from stealpool.compare import program
from stealpool.compare.photograph import ImageError, Photograph
from stealpool.compare.row import Row
from stealpool.compare.table import lines, ratios

LIMITS = 0.0, math.pi / 2
N_ITER = 10**5


def run(*arguments):
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "stealpool", *arguments],
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.mark.parametrize(
    ("make_executor", "integrate", "as_completed"),
    [
        (cf.ThreadPoolExecutor, program.integrate, cf.as_completed),
        (cf.ThreadPoolExecutor, _peers.integrate, cf.as_completed),
        (stealpool.Executor, program.integrate, stealpool.as_completed),
        (stealpool.Executor, stealpool.kernels.integrate, stealpool.as_completed),
        (stealpool.Executor, stealpool.kernels.integrate, cf.as_completed),
    ],
)
def test_one_program_runs_on_every_executor(make_executor, integrate, as_completed):
    with make_executor(2) as executor:
        value = program.integrate_in_jobs(
            executor, integrate, as_completed, math.cos, *LIMITS,
            n_iter=N_ITER, n_jobs=2,
        )  # fmt: skip
    step = (LIMITS[1] - LIMITS[0]) / N_ITER
    right = step * math.fsum(math.cos(LIMITS[0] + i * step) for i in range(N_ITER))
    assert value == pytest.approx(right, rel=1e-10)


def test_compare_prints_a_table_and_draws_it(tmp_path):
    pytest.importorskip("matplotlib")
    plot, numbers = tmp_path / "plot.png", tmp_path / "numbers.json"
    done = run("compare", "--quick", "--plot", str(plot), "--json", str(numbers))
    assert done.returncode == 0, done.stderr
    assert "stealpool Executor" in done.stdout
    assert "DIFFERS" not in done.stdout
    assert "Gaussian" in done.stderr  # progress
    assert plot.read_bytes().startswith(b"\x89PNG")
    rows = json.loads(numbers.read_text())["rows"]
    assert {row["agrees"] for row in rows} <= {True, None}
    assert any(row["way"].startswith("Cython") for row in rows)


def test_compare_blurs_the_users_own_photograph(tmp_path):
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "small.png"
    pixels = np.random.default_rng(1).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    image.fromarray(pixels).save(path)
    done = run("compare", "--quick", "--image", str(path))
    assert done.returncode == 0, done.stderr
    assert "53 x 37" in done.stdout


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "there is no such file"), (b"no image", "not in a format that")],
)
def test_a_path_that_is_no_image_is_refused(tmp_path, content, reason):
    pytest.importorskip("PIL")
    path = tmp_path / "photo.png"
    if content is not None:
        path.write_bytes(content)
    done = run("compare", "--quick", "--image", str(path))
    assert done.returncode == 2
    assert str(path) in done.stderr
    assert reason in done.stderr
    assert "leave it out" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_is_no_image(tmp_path):
    pytest.importorskip("PIL")
    with pytest.raises(ImageError, match="it is a folder"):
        Photograph.load(str(tmp_path))


def test_the_packages_photograph_needs_no_library():
    photograph = Photograph.load(None)
    assert photograph.pixels.shape == (400, 600, 3)
    assert photograph.pixels.dtype == np.uint8
    assert photograph.enlarged(2).size == "1200 x 800"


def test_a_wrong_result_shows_in_the_table():
    rows = [
        Row("job", "peer", 2.0, False),
        Row("job", "missing peer", None, None),
        Row("job", "stealpool", 1.0, True),
    ]
    text = "\n".join(lines(rows))
    assert "DIFFERS" in text
    assert "missing" in text
    assert [ratio for _, ratio in next(ratios(rows))[1]] == [2.0, None, 1.0]


def test_a_wrong_result_is_an_error(monkeypatch, capsys):
    from stealpool import __main__, compare

    wrong = [Row("job", "peer", 2.0, False), Row("job", "stealpool", 1.0, True)]
    monkeypatch.setattr(compare, "run", lambda *_: wrong)
    assert __main__.main(["compare"]) == 1
    assert "results differ" in capsys.readouterr().err


def test_info_says_what_there_is():
    done = run("info")
    assert done.returncode == 0, done.stderr
    for word in ("version", "usable_cpus", "cpu_quota", "isa", "compiler", "numpy"):
        assert word in done.stdout
