# What the bundle is for stands above: model, engine, python, machine.
# sh run.sh              checks and installs the files, once; then doctor, run and bench
# sh run.sh run -o out   one command of smalti on the model; others are bench and inspect
set -eu
here=$(cd "$(dirname "$0")" && pwd)

fail() {
    echo "error: $1" >&2
    exit 4
}

install() {
    (cd "$here" && sha256sum --check --quiet SHA256SUMS) || fail "files are damaged; copy them again"
    started_by=python$python
    command -v "$started_by" >/dev/null || started_by=python3
    command -v "$started_by" >/dev/null || fail "no Python $python; install python3 and python3-venv"
    found=$("$started_by" -c 'import platform, sys
print("%d.%d" % sys.version_info[:2], platform.machine(), 64 if sys.maxsize > 2**32 else 32)')
    [ "$found" = "$python $machine 64" ] || fail "wheels are for Python $python on $machine, 64 bits; \
here is $found: make the bundle with another --python or --device"
    # Not ensurepip's pip: Debian has that in a package of its own.
    "$started_by" -m venv --clear --without-pip "$here/venv"
    echo "installing into $here/venv" >&2
    for pip in "$here"/wheels/pip-*.whl; do
        "$here/venv/bin/python" "$pip/pip" --disable-pip-version-check --no-cache-dir install \
            --quiet --no-compile --no-index --find-links "$here/wheels" "smalti[$engine]"
    done
    touch "$here/venv/installed"
}

smalti() {
    ORT_DISABLE_TELEMETRY=1 "$here/venv/bin/python" -m smalti.export "$@"
}

on_model() {
    verb=$1
    shift
    # A .tflite file has no float fallback: it stands beside itself, or what is given last.
    case $verb.$engine in
    bench.tflite) smalti bench "$here/$model" --baseline "$here/$model" "$@" ;;
    *) smalti "$verb" "$here/$model" "$@" ;;
    esac
}

[ -e "$here/venv/installed" ] || install
if [ $# -gt 0 ]; then
    on_model "$@"
else
    smalti doctor
    on_model run
    on_model bench
fi
