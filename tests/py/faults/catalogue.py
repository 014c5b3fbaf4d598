"""The catalogue of faults: its scenarios, and what became of one."""

import ast
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent / "scenarios"
PARTS = (
    "callbacks",
    "calls",
    "reentry",
    "timeouts",
    "resources",
    "lifetimes",
    "fork",
    "ends",
    "scarce",
)
NOT_PERMITTED = 77  # the status of a program that may not make what it is about


class NotPermittedError(Exception):
    """A scenario cannot be had here."""


@dataclass(frozen=True)
class Scenario:
    """A function of a part, and what a program that runs it shows if it holds."""

    part: str
    name: str
    claim: str
    prints: str = ""
    status: int = 0

    def __str__(self):
        return self.name

    def run(self, library, timeout=60):
        """Run it in a program of its own.

        Returns
        -------
        str or None
            What went wrong, in words.

        Raises
        ------
        NotPermittedError
            The system does not let us make what it is about.
        """
        command = [sys.executable, "-W", "ignore::DeprecationWarning"]
        command += ["-X", "faulthandler", str(HERE / "program.py")]
        command += [self.part, self.name, library]
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONFAULTHANDLER": "1"},
        ) as process:
            try:
                stdout, stderr = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                return "hangs"
        if process.returncode < 0:
            return f"is killed by signal {-process.returncode}:\n{stderr}"
        if process.returncode == NOT_PERMITTED:
            raise NotPermittedError(stdout.strip())
        if process.returncode != self.status:
            return stderr.strip() or f"ends with status {process.returncode}"
        if stdout != self.prints:
            return f"prints {stdout!r} instead of {self.prints!r}"
        return None


def _expected(function):
    """The arguments of the decorator prints()."""
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and decorator.func.id == "prints":
            names = ("prints", "status")
            values = [ast.literal_eval(value) for value in decorator.args]
            found = dict(zip(names, values, strict=False))
            found |= {k.arg: ast.literal_eval(k.value) for k in decorator.keywords}
            return found
    return {}


def scenarios():
    """All of them, in the order in which they are written."""
    for part in PARTS:
        tree = ast.parse((HERE / f"{part}.py").read_text())
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and [
                argument.arg for argument in node.args.args
            ] == ["lib"]:
                claim = ast.get_docstring(node)
                yield Scenario(part, node.name, claim, **_expected(node))
