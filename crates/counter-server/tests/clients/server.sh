# shellcheck shell=bash
# For scripts that ask a server: source it.

# Starts a server on free ports: start_server PROGRAM LOG FLAG... It is ready when this returns. Sets `server` to its process,
# and `resp` and `http` to its addresses.
start_server() {
    local program=$1 log=$2
    shift 2
    : > "$log"
    "$program" --resp 127.0.0.1:0 --http 127.0.0.1:0 --statsd off "$@" 2> "$log" &
    # shellcheck disable=SC2034 # they are for the script that sources this
    server=$! resp='' http=''
    until [ -n "$resp" ]; do
        kill -0 "$server" 2> /dev/null || { cat "$log" - >&2 <<< "the server has not started: $program $*"; return 1; }
        sleep 0.05
        read -r resp http <<< "$(sed -n 's/.*RESP on \([^,]*\), HTTP on \([^,]*\), .*/\1 \2/p' "$log")"
    done
}
