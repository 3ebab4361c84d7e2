#!/bin/sh
# Makes a fresh Debian ready for `make demo` and `make test`: what is missing is installed by apt
# when that is allowed (root, or sudo without a password), else the command to type is printed.
# It says nothing when nothing is missing. `--ground` prints the ground that this machine has,
# native or embedded, by the same rule as the harness, and does nothing else.
set -eu

RUST_OLDEST=95
JAVA_OLDEST=17
POSTGRES_OLDEST=15

has() { command -v "$1" >/dev/null 2>&1; }
fail() { echo "error: $*" >&2; exit 1; }

has_java() {
  has java || return 1
  major=$(java -version 2>&1 | sed -n 's/.* version "\(1\.\)\{0,1\}\([0-9]*\).*/\2/p')
  [ "${major:-0}" -ge "$JAVA_OLDEST" ]
}

ground() {
  case "${MILLRACE_GROUND:-}" in
    native | embedded) echo "$MILLRACE_GROUND" ;;
    "") if has_java && has mvn; then echo native; else echo embedded; fi ;;
    *) fail "MILLRACE_GROUND is \"$MILLRACE_GROUND\"; write native or embedded" ;;
  esac
}

if [ "${1:-}" = --ground ]; then ground; exit; fi
exec >&2

has cargo || fail "there is no cargo on PATH; install a stable Rust, 1.$RUST_OLDEST or newer, from https://rustup.rs"
minor=$(cargo --version | sed -n 's/^cargo 1\.\([0-9]*\)\..*/\1/p')
[ "${minor:-$RUST_OLDEST}" -ge "$RUST_OLDEST" ] ||
  fail "Rust 1.$minor is too old, 1.$RUST_OLDEST is needed; type: rustup update stable"

# Without these nothing can be built: librdkafka is compiled from source.
build=""
if ! has cc || ! has c++; then build="$build build-essential"; fi
if ! has pkg-config; then
  build="$build pkg-config libssl-dev zlib1g-dev"
else
  pkg-config --exists openssl || build="$build libssl-dev"
  pkg-config --exists zlib || build="$build zlib1g-dev"
fi

has_postgres() {
  [ -z "${DATABASE_URL:-}" ] || return 0
  for bin in "$(command -v postgres || true)" /usr/lib/postgresql/*/bin/postgres; do
    [ -x "$bin" ] || continue
    major=$("$bin" --version | sed -n 's/.* \([0-9][0-9]*\)[.a-z].*/\1/p')
    [ "${major:-0}" -lt "$POSTGRES_OLDEST" ] || return 0
  done
  return 1
}

# Without these the embedded ground serves, which needs PostgreSQL all the same.
run=""
if [ "${MILLRACE_GROUND:-}" = embedded ]; then
  has_postgres || run="$run postgresql"
else
  has_java || run="$run default-jre-headless"
  has mvn || run="$run maven"
  # PostgreSQL itself is fetched with Maven then, as an archive of this kind.
  has_postgres || has xz || run="$run xz-utils"
fi

[ -n "$build$run" ] || exit 0

packages=$(echo $build $run)
if [ "$(id -u)" = 0 ]; then as_root=""
elif has sudo && sudo -n true 2>/dev/null; then as_root="sudo"
else as_root="no"
fi

# Of what apt says, one line for each list and package, and how much there is to fetch. Its exit
# code is carried past the filter.
apt() {
  code=$({
    { $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q "$@" </dev/null 3>&- || echo $? >&3; } |
      sed -nu 's/^\(Get:\|Hit:\|Fetched \|Need to get \|Setting up \)/  &/p' >&2
  } 3>&1)
  return "${code:-0}"
}

if has apt-get && [ "$as_root" != no ]; then
  echo "installing with apt: $packages"
  apt update
  apt install -y --no-install-recommends $packages
  exit 0
fi

echo "missing: $packages"
if [ -n "$run" ] && ! has_postgres && ! has mvn; then packages=$(echo $packages postgresql); fi
echo "to install it, type: sudo apt-get install -y $packages"
[ -z "$build" ] || fail "nothing can be built without it"
echo "going on with what is here"
