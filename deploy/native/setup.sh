#!/bin/sh
# Makes a fresh Debian ready for `make demo` and `make test`: what is missing is installed by apt
# when that is allowed (root, or sudo without a password), else the command to type is printed.
# It says nothing when nothing is missing, and never writes to stdout.
set -eu
exec >&2

RUST_OLDEST=95
JAVA_OLDEST=17
POSTGRES_OLDEST=15

has() { command -v "$1" >/dev/null 2>&1; }
fail() { echo "error: $*"; exit 1; }

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

has_java() {
  has java || return 1
  major=$(java -version 2>&1 | sed -n 's/.* version "\(1\.\)\{0,1\}\([0-9]*\).*/\2/p')
  [ "${major:-0}" -ge "$JAVA_OLDEST" ]
}

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

if has apt-get && [ "$as_root" != no ]; then
  echo "installing with apt: $packages"
  $as_root apt-get update -qq
  $as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends $packages >/dev/null
  exit 0
fi

echo "missing: $packages"
if [ -n "$run" ] && ! has_postgres && ! has mvn; then packages=$(echo $packages postgresql); fi
echo "to install it, type: sudo apt-get install -y $packages"
[ -z "$build" ] || fail "nothing can be built without it"
echo "going on with what is here"
