#!/usr/bin/env bash
# Creates .venv, installs emodetect and runs its demo in the current folder.
# Needs Python 3.11-3.13 and the package index. Passes its options to `emodetect demo`.
set -euo pipefail
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/setup.sh
make_environment
cd "$here"
"$VENV_PYTHON" -m emodetect demo "$@"
