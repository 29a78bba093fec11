"""What CONTRIBUTING says about adding an operation is done as it is said, in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

_BLOCK = re.compile(r'^```python title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)

_CHECK = """
import doctest, importlib, sys
import flambeau as fb
sys.path[:0] = [{root!r}, {tests!r}]
blocks = {blocks!r}
for path, code in blocks:
    name = path.removeprefix("src/").removeprefix("tests/").removesuffix(".py").replace("/", ".")
    module = importlib.import_module(name)
    exec(compile(code, path, "exec"), vars(module))
fb.sinc = sinc = importlib.import_module("flambeau.ops.transcendental").sinc
found = doctest.DocTestFinder().find(sinc, "sinc", globs={{}}, module=False)
assert doctest.DocTestRunner().run(found[0]).failed == 0
x = fb.asarray([0.0, 0.3, -1.7], dtype=fb.float64)
assert fb.gradcheck(sinc, (x,))
assert fb.vmap(fb.grad(sinc))(x).shape == (3,)
assert sinc(fb.asarray(0)).item() == 1.0
samples = importlib.import_module("samples")
assert len(samples.SAMPLES["sinc"]) > 10
"""


def test_the_example_of_a_primitive_works() -> None:
    blocks = _BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert [path.split("/")[0] for path, _ in blocks] == ["src", "tests", "src"]
    code = _CHECK.format(root=str(ROOT), tests=str(ROOT / "tests"), blocks=blocks)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_files_it_names_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for name in re.findall(r"`((?:[a-z_]+/)+[a-z_]*(?:\.py)?)`", text):
        places = (ROOT / name, ROOT / "src" / "flambeau" / name)
        assert any(place.exists() for place in places), name
