# Sourced by demo.sh and test.sh: makes .venv beside the package and installs emodetect into it.
# Usage: . scripts/setup.sh [EXTRA]     leaves $VENV_PYTHON set

find_python() {
    for name in "${PYTHON:-python3}" python3.13 python3.12 python3.11 python; do
        if "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "error: Python 3.11, 3.12 or 3.13 is needed; name one with PYTHON=/path/to/python" >&2
    return 1
}

# opencv-python links against two system libraries that slim images lack.
install_system_libraries() {
    missing=""
    "$VENV_PYTHON" - <<'END' || missing="libgl1 libglib2.0-0"
import ctypes, sys
if sys.platform == "linux":
    for library in ("libGL.so.1", "libgthread-2.0.so.0"):
        ctypes.CDLL(library)
END
    [ -z "$missing" ] && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing the system libraries that OpenCV needs: $missing"
        apt-get update -qq
        # shellcheck disable=SC2086  # two package names
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
    else
        echo "error: OpenCV needs libGL.so.1 and libgthread-2.0.so.0; install them, on Debian or" >&2
        echo "Ubuntu with: sudo apt-get install $missing" >&2
        return 1
    fi
}

# The test of a real window runs on a virtual display.
install_virtual_display() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! command -v Xvfb >/dev/null; then
        echo "installing xvfb and xdotool for the test of a real window"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends xvfb xdotool >/dev/null
    fi
}

make_environment() {
    extra=${1:+[$1]}
    [ -x .venv/bin/python ] || "$(find_python)" -m venv .venv
    VENV_PYTHON=$PWD/.venv/bin/python
    "$VENV_PYTHON" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".$extra"
    install_system_libraries
}
