"""Benchmarks: flambeau beside PyTorch on one machine, in one run.

python -m benchmarks              # all of them, as Markdown on the terminal
python -m benchmarks --write      # the same, into docs/benchmarks.md
python -m benchmarks mlp gemm     # some of them
python -m benchmarks.mlp --help   # one of them, and what can be set
"""

import sys
from pathlib import Path

# The sources beside this folder are what is measured, installed or not.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
