"""How long `pip install` takes from a source tree, in a new virtual environment.

Supports in docs/benchmarks.md: "A build from source takes less than 2 minutes". The
build requirements come from the package index as pip is configured; the time to fetch
them is counted, and pip's cache of wheels is not used for the package itself.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import arguments, headline, save

ROOT = Path(__file__).resolve().parents[2]
CODE = "import stealpool; print(stealpool.Executor(1).submit(abs, -1).result())"


def main():
    parser = arguments(__doc__, rounds=1)
    args = parser.parse_args()
    headline()
    seconds = []
    for _ in range(args.rounds):
        with tempfile.TemporaryDirectory() as folder:
            python = Path(folder, "venv", "bin", "python")
            subprocess.check_call([sys.executable, "-m", "venv", Path(folder, "venv")])
            words = [python, "-m", "pip", "install", "--quiet", "--no-cache-dir", ROOT]
            start = time.perf_counter()
            subprocess.check_call(words)
            seconds.append(time.perf_counter() - start)
            words = [python, "-c", CODE]
            run = subprocess.check_output(words, cwd=folder, text=True)
            assert run.strip() == "1", run
    print(f"pip install of the source tree: {min(seconds):.0f} s")
    save(args.json, __file__, [{"title": "pip install", "seconds": min(seconds)}])


if __name__ == "__main__":
    main()
