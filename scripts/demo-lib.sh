# What the demos share; sourced by scripts/demo-rollout and scripts/demo-experiment after `name` is set. CFG_DEMO_BUILD names a build to use
# instead of one of their own.
bold='' dim='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
note() { printf '%s%s%s\n' "$dim" "$*" "$plain"; }
fail() { printf '%s: %s\n' "$name" "$*" >&2; exit 1; }
# A command as a reader would type it, then run.
show() {
  local word line=''
  for word; do
    [[ $word == *[!A-Za-z0-9_./=:,+%-]* ]] && word="'$word'"
    line+=" $word"
  done
  printf '%s$%s%s\n' "$bold" "$line" "$plain"
  "$@"
}
# until SECONDS WHAT COMMAND…: waits for it to succeed.
until_true() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt "$end" ] || { tail -n 5 "$dir"/*.log >&2; fail "waited in vain for $what"; }
    sleep 0.2
  done
}

pids=()
stop_all() {
  trap - EXIT INT TERM
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
    kill "${pids[i]}" 2>/dev/null
    wait "${pids[i]}" 2>/dev/null
  done
  rm -rf "${dir:?}"
}

# Builds, and starts a configd with its own etcd in a temporary folder: $dir, $bin, CONFIGD_SERVER.
begin() {
  bin=${CFG_DEMO_BUILD:-$PWD/build/quickstart-build}
  if [ -z "${CFG_DEMO_BUILD:-}" ]; then
    note "building (the first time takes minutes; build/$name.log) …"
    mkdir -p build
    { cmake --preset release -DCFG_TESTS=OFF -DCFG_BENCH=OFF -DCMAKE_COMPILE_WARNING_AS_ERROR=OFF -B "$bin" &&
      cmake --build "$bin" -j "$(nproc)" --target configd cfgctl cfg-infer; } >"build/$name.log" 2>&1 || fail "the build failed; see build/$name.log"
  fi
  unset "${!CONFIGD_@}" # of whoever runs this: another server, token or etcd is none of the demo's
  export PATH=$bin/configd:$bin/client/cfgctl:$bin/worker/cfg-infer:$PATH CONFIGD_CACHE=
  dir=$(mktemp -d "${TMPDIR:-/tmp}/$name.XXXXXX") || fail "no temporary folder"
  trap stop_all EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  configd --embedded-etcd "$dir/store" --listen 127.0.0.1:0 >"$dir/configd.log" 2>&1 &
  pids+=($!)
  until_true 30 "configd" grep -q '^ready: ' "$dir/configd.log"
  CONFIGD_SERVER=$(sed -n 's/.*listening on //p' "$dir/configd.log")
  export CONFIGD_SERVER
}

# servers N OPTION…: so many cfg-infer of deployment chat-blue; their addresses are in $urls.
servers() {
  local n count=$1
  shift
  for ((n = 0; n < count; n++)); do
    cfg-infer --deployment chat-blue --worker "w$n" --listen 127.0.0.1:0 "$@" >"$dir/w$n.log" 2>&1 &
    pids+=($!)
  done
  urls=()
  for ((n = 0; n < count; n++)); do
    until_true 30 "w$n" grep -q '^listening on ' "$dir/w$n.log"
    urls+=("$(sed -n 's/^listening on //p' "$dir/w$n.log")")
  done
}

# fleet EXPRESSION: is it true of d, what `cfgctl status` sums up?
fleet() {
  cfgctl status chat-blue -o json | python3 -c 'import json, sys
d = json.load(sys.stdin)["summary"]
sys.exit(0 if eval(sys.argv[1]) else 1)' "$1"
}

# Ends the demo; with --keep it goes on until Ctrl-C.
finish() {
  if [ "$keep" = 1 ]; then
    say "export CONFIGD_SERVER=$CONFIGD_SERVER PATH=$bin/client/cfgctl:\$PATH       Ctrl-C stops everything"
    wait "${pids[0]}"
  fi
}
