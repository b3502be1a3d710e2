# The article's sample on Linux, on this machine's kernel or in the emulated machine.
# $1 the driver, $2 the program that installs and starts it, $3 the app; then the app's arguments.
driver=$1 host=$2 app=$3
shift 3
device=/run/gatebell-sample-$$.sock
groups=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
zone=
[ -n "$groups" ] && mkdir "$groups/gatebell-sample-$$" 2>/dev/null && zone=$groups/gatebell-sample-$$

finish() {
    code=$?
    trap - EXIT INT TERM
    if [ -n "$started" ]; then
        kill -TERM "$started" 2>/dev/null
        wait "$started"
    fi
    # Only an empty control group can be removed: the app has ended, this shell was never in it.
    [ -z "$zone" ] || rmdir "$zone"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

# Exit code 99: the driver could not be started.
"$host" --object "$driver" --socket "$device" ${zone:+--zone "$zone"} &
started=$!
for _ in $(seq 100); do
    [ -S "$device" ] && break
    kill -0 "$started" 2>/dev/null || exit 99
    sleep 0.1
done
[ -S "$device" ] || exit 99

# The app is in the zone, so the processes that it starts are reported.
(
    [ -z "$zone" ] || echo 0 >"$zone/cgroup.procs"
    exec "$app" --device "$device" "$@"
)
