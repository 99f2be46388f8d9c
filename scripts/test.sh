#!/usr/bin/env bash
# Creates .venv with the development tools, and runs the checks and the whole test suite.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/setup.sh
make_environment dev
install_virtual_display
install_browser
"$VENV_PYTHON" -m ruff check .
"$VENV_PYTHON" -m ruff format --check .
"$VENV_PYTHON" -m mypy
"$VENV_PYTHON" -m mypy --platform win32 --cache-dir .mypy_cache/win32
# -ll: from medium severity on. Below it are assertions and subprocesses without a shell.
"$VENV_PYTHON" -m bandit --quiet -ll --recursive emodetect
NO_MKDOCS_2_WARNING=1 "$VENV_PYTHON" -m mkdocs build --strict
"$VENV_PYTHON" -m codespell_lib
"${VENV_PYTHON%/*}/zizmor" --offline --no-progress --quiet .github
# Two processes; the tests of a file share their trained models. Files run in the order of their
# names, because xdist would run those with the fewest tests, the slowest, last.
"$VENV_PYTHON" -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
