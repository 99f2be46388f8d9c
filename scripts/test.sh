#!/usr/bin/env bash
# Makes .venv with the development tools and runs the checks and the whole test suite.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/setup.sh
make_environment dev
install_virtual_display
install_browser
"$VENV_PYTHON" -m ruff check .
"$VENV_PYTHON" -m ruff format --check .
"$VENV_PYTHON" -m mypy
# A process for each of two cores; the tests of a file share their trained models. In the order of
# their names: by itself xdist leaves the files of few tests, which are the longest, to the end.
"$VENV_PYTHON" -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
