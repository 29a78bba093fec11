#!/bin/sh
# Runs the golden training run on AArch64, emulated by qemu-user, and compares its bits with this machine's.
# Needs Debian (apt-get, dpkg), a package index for pip, and qemu-aarch64: apt-get install qemu-user.
# Everything else is fetched into FOLDER: a Python for arm64 with its libraries, and numpy, llvmlite, ml_dtypes.
#
#     sh tools/aarch64.sh [FOLDER [prepare]]
#
# With "prepare" it only fetches what it needs: failing there says nothing about bits.
set -eu
cd "$(dirname "$0")/.."
folder=$(mkdir -p "${1:-/tmp/flambeau-aarch64}" && cd "${1:-/tmp/flambeau-aarch64}" && pwd)
command -v qemu-aarch64 >/dev/null || { echo "qemu-aarch64 is not installed: apt-get install qemu-user"; exit 3; }
if [ ! -e "$folder/ready" ]; then
    mkdir -p "$folder/state/lists/partial" "$folder/cache/archives/partial" "$folder/root" "$folder/wheels"
    : >"$folder/state/status"
    apt() {
        apt-get -qq -o Dir::State="$folder/state" -o Dir::State::status="$folder/state/status" \
            -o Dir::Cache="$folder/cache" -o APT::Architecture=arm64 -o APT::Architectures::=arm64 \
            -o Debug::NoLocking=1 "$@"
    }
    apt update
    apt -y -d install --no-install-recommends python3-minimal libpython3-stdlib libstdc++6 zlib1g >/dev/null
    for package in "$folder"/cache/archives/*.deb; do dpkg -x "$package" "$folder/root"; done
    version=$(basename "$(ls -d "$folder"/root/usr/lib/python3.*)" | sed 's/python//')
    "${PYTHON:-python3}" -m pip download --quiet --only-binary=:all: --dest "$folder/wheels" \
        --platform manylinux2014_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux_2_28_aarch64 \
        --python-version "$version" numpy llvmlite ml_dtypes
    for wheel in "$folder"/wheels/*.whl; do
        "${PYTHON:-python3}" -m zipfile -e "$wheel" "$folder/site"
    done
    : >"$folder/ready"
fi
[ "${2:-}" != prepare ] || exit 0
python=$(ls "$folder"/root/usr/bin/python3.[0-9]* | head -n 1)
QEMU_LD_PREFIX="$folder/root" PYTHONHOME="$folder/root/usr" PYTHONDONTWRITEBYTECODE=1 \
    XDG_CACHE_HOME="$folder/kernels" PYTHONPATH="$folder/site:src" qemu-aarch64 "$python" -m tests.engine.golden
echo "the same bits on AArch64"
