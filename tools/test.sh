#!/bin/sh
# Sets up an environment and runs the tests in it: all that is needed is CPython with venv.
#
#     sh tools/test.sh                      the tests, but for the slow ones
#     sh tools/test.sh -m slow              the slow ones
#     sh tools/test.sh tests/data -k idx    whatever pytest takes
#
# VENV says where the environment is or shall be (default: .venv), PYTHON which interpreter makes it.
set -eu
cd "$(dirname "$0")/.."
venv=${VENV:-.venv}
python=${PYTHON:-python3}

if [ ! -x "$venv/bin/python" ]; then
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        echo "tools/test.sh: $python is older than Python 3.11; name a newer one with PYTHON=..." >&2
        exit 2
    }
    "$python" -m venv "$venv"
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e '.[dev]'
# As many at a time as there are cores; `-n 0` runs them in one process, for a debugger.
exec "$venv/bin/python" -m pytest -n auto --maxprocesses 8 --dist worksteal "$@"
