#!/bin/sh
# Runs the public array API test suite against this checkout.
#
#   tools/array_api/run.sh SUITE [pytest arguments]
#
# SUITE is a checkout of data-apis/array-api-tests with its submodule:
#   git clone --recurse-submodules https://github.com/data-apis/array-api-tests
#   python -m pip install -r array-api-tests/requirements.txt
# More examples per test than the default 20: tools/array_api/run.sh SUITE --max-examples 200
# What is skipped, and why, stands in array_api_skips.txt beside this file.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
if [ $# -eq 0 ] || [ ! -d "$1/array_api_tests" ]; then
    sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
suite=$1
shift
cd "$suite"
all=array_api_tests  # unless the arguments name files of the suite
for argument; do
    case $argument in array_api_tests*) all= ;; esac
done
PYTHONPATH="$here/../../src${PYTHONPATH:+:$PYTHONPATH}" \
ARRAY_API_TESTS_MODULE=flambeau \
ARRAY_API_TESTS_VERSION=2024.12 \
    exec "${PYTHON:-python3}" -m pytest -c pytest.ini --rootdir . ${all:+"$all"} \
    --skips-file "$here/array_api_skips.txt" --max-examples 20 --disable-deadline -p no:cacheprovider "$@"
