# Functions for demo.sh and test.sh. make_environment [EXTRA] creates .venv beside the package,
# installs emodetect into it and sets VENV_PYTHON.

is_suitable() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

find_python() {
    for name in "${PYTHON:-python3}" python3.13 python3.12 python3.11 python; do
        if is_suitable "$name"; then
            echo "$name"
            return
        fi
    done
    echo "error: Python 3.11, 3.12 or 3.13 not found; set PYTHON=/path/to/python" >&2
    return 1
}

is_root_on_debian() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null
}

apt_install() {
    apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

make_venv() {
    if is_suitable .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1; then
        return
    fi
    rm -rf .venv # incomplete, or of another Python
    local python
    python=$(find_python) || return 1
    if ! "$python" -m venv .venv; then
        echo "error: $python cannot create a virtual environment; on Debian or Ubuntu, install" \
            "python3-venv and run this again" >&2
        return 1
    fi
}

# opencv-python needs two system libraries that slim images lack.
install_system_libraries() {
    if "$VENV_PYTHON" - <<'END' 2>/dev/null; then return; fi
import ctypes, sys
if sys.platform == "linux":
    for library in ("libGL.so.1", "libgthread-2.0.so.0"):
        ctypes.CDLL(library)
END
    if is_root_on_debian; then
        echo "installing the system libraries that OpenCV needs: libgl1 libglib2.0-0"
        apt_install libgl1 libglib2.0-0 && return
    fi
    echo "error: OpenCV needs libGL.so.1 and libgthread-2.0.so.0; on Debian or Ubuntu," \
        "install them with: sudo apt-get install libgl1 libglib2.0-0" >&2
    return 1
}

# The test of a real window runs on a virtual display, and is skipped without one.
install_virtual_display() {
    if command -v Xvfb >/dev/null && command -v xdotool >/dev/null; then return; fi
    if ! is_root_on_debian || ! apt_install xvfb xdotool; then
        echo "xvfb and xdotool not found: the test of a real window will be skipped" >&2
    fi
}

# The tests of the web page run in Debian's Chromium, and are skipped without it.
install_browser() {
    if command -v chromium >/dev/null; then return; fi
    if ! is_root_on_debian || ! apt_install chromium; then
        echo "chromium not found: the tests of the web page will be skipped" >&2
    fi
}

make_environment() {
    make_venv || return 1
    VENV_PYTHON=$PWD/.venv/bin/python
    "$VENV_PYTHON" -m pip install --quiet --disable-pip-version-check \
        -c constraints.txt -e ".${1:+[$1]}" || return 1
    install_system_libraries
}
