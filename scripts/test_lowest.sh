#!/usr/bin/env bash
# Creates .venv-lowest with the lowest version of each dependency that pyproject.toml allows, and
# runs the tests in it: a bound that is too low fails here. Takes pytest's options.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/setup.sh
python=$(find_python)
[ -x .venv-lowest/bin/python ] || "$python" -m venv .venv-lowest
VENV_PYTHON=$PWD/.venv-lowest/bin/python
"$VENV_PYTHON" -m pip install --quiet --disable-pip-version-check uv
"$VENV_PYTHON" -m uv pip install --quiet --python "$VENV_PYTHON" --resolution lowest-direct -e '.[dev]'
"$VENV_PYTHON" -m uv pip list --quiet --python "$VENV_PYTHON"
install_system_libraries
"$VENV_PYTHON" -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
