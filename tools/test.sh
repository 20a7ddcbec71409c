#!/usr/bin/env bash
# Installs the package with its tests into .venv-test, checks style, types and imports, and runs the tests
# on a virtual screen, one process per core. What Debian lacks is brought where that is allowed. Arguments
# go to pytest.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
python=${PYTHON:-python3}
bin=.venv-test/bin
screen_packages=(
    xvfb xauth libdbus-1-3 libegl1 libfontconfig1 libgl1 libgl1-mesa-dri libglib2.0-0 libopengl0
    libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-render-util0 libxcb-shape0
    libxcb-xinerama0 libxcb-xkb1 libxkbcommon-x11-0
)

say() { printf 'tools/test.sh: %s\n' "$*"; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

bring() { # names of Debian packages; goes on without those that cannot be had
    local name missing=()
    for name in "$@"; do
        dpkg-query -W -f '${db:Status-Abbrev}' "$name" 2>/dev/null | grep -q '^ii' || missing+=("$name")
    done
    [ ${#missing[@]} = 0 ] && return
    say "installing ${missing[*]}"
    { as_root apt-get update -q && as_root apt-get install -q -y --no-install-recommends "${missing[@]}"; } \
        </dev/null >/dev/null || say "could not install them, going on without"
}

if command -v apt-get >/dev/null; then
    "$python" -c 'import ensurepip' 2>/dev/null || bring python3-venv
    bring "${screen_packages[@]}"
fi

say "installing into .venv-test"
"$python" -m venv .venv-test &&
    $bin/pip install -q --no-deps --index-url https://download.pytorch.org/whl/cpu -c constraints.txt torch &&
    $bin/pip install -q -c constraints.txt '.[test]' || exit 1

failed=0
for check in 'ruff check' 'ruff format --check' mypy lint-imports; do
    say "$check"
    $bin/$check || failed=1
done

if command -v xvfb-run >/dev/null; then
    screen=(xvfb-run -a -s '-screen 0 1280x1024x24')
elif [ "$(uname)" = Linux ] && [ -z "${DISPLAY:-}" ]; then
    say "no Xvfb: tests that draw a window will fail or be skipped"
    screen=(env QT_QPA_PLATFORM=offscreen)
else
    screen=(env)
fi
# files in their order: those of the window are first, while the processes are young; one that crashes ends the run
"${screen[@]}" $bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder --max-worker-restart 0 "$@" || failed=1
exit $failed
