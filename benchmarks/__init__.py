"""Benchmarks: flambeau beside its peers on one machine, in one run.

python -m benchmarks                                       # all workloads, as Markdown on the terminal
python -m benchmarks --python /path/to/peers/bin/python    # the peers are installed elsewhere
python -m benchmarks --only gelu,norm_softmax --rounds 3   # a quick look at some
python -m benchmarks --write                               # into docs/benchmarks.md and the README
python -m benchmarks gemm overhead                         # closer looks, beside PyTorch alone
"""

import sys
from pathlib import Path

# The sources beside this folder are what is measured, installed or not.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
