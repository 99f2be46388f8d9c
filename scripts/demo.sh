#!/usr/bin/env bash
# Makes .venv, installs emodetect and runs its demo. Needs Python 3.11-3.13 and the package index.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
make_environment
"$VENV_PYTHON" -m emodetect demo "$@"
