# What the proofs of the package have in common, on a machine that `cargo xtask` boots for them. `state` is a folder that outlives
# a reboot, named by whoever reads this.

failed=0
# With the seconds since this boot's start: an emulated machine is slow, and it shows where.
ok() { printf 'ok      %4ss  %s\n' $SECONDS "$*"; }
no() { printf 'FAILED  %4ss  %s\n' $SECONDS "$*"; failed=1; }
# check WHAT COMMAND…: the command succeeds. refute: it does not.
check() { local what=$1; shift; if "$@"; then ok "$what"; else no "$what"; fi; }
refute() { local what=$1; shift; if "$@"; then no "$what"; else ok "$what"; fi; }
# within SECONDS COMMAND…: it succeeds some time.
within() {
    local end=$((SECONDS + $1)); shift
    until "$@"; do [ $SECONDS -lt $end ] || return 1; sleep 0.2; done
}
world() { ip netns exec outside "$@"; }
active() { [ "$(systemctl is-active gatebell)" = active ]; }
process() { systemctl show --value -p MainPID gatebell; }
installed() { dpkg-query -W -f '${Version}' gatebell; }
restarted() { active && [ "$(process)" != "$1" ]; }
policy=/usr/share/polkit-1/actions/org.gatebell.firewall.policy

# --- The world outside ------------------------------------------------------------------------------------------------
inside=10.78.0.2 outside=10.78.0.1 inside6=fd78::2 outside6=fd78::1
outside_begins() {
    ip netns add outside
    world ip link set lo up
    joined wan0 $inside $inside6 $outside $outside6
}
joined() { # joined NAME ADDRESS ADDRESS6 THEIRS THEIRS6: one more device of this machine, with the world at its other end
    ip link add "$1" type veth peer name "$1" netns outside
    ip addr add "$2/24" dev "$1"; ip addr add "$3/64" dev "$1" nodad; ip link set "$1" up
    world ip addr add "$4/24" dev "$1"; world ip addr add "$5/64" dev "$1" nodad; world ip link set "$1" up
}

# --- What a purge leaves ----------------------------------------------------------------------------------------------
# To be asked before the package is purged.
what_the_kernel_keeps() {
    pinned >$state/pinned
    check "the kernel keeps $(wc -l <$state/pinned) of its programs, maps and links" [ "$(wc -l <$state/pinned)" -gt 30 ]
}
# And after; what was there before it was installed `each_trace remember` has written down.
nothing_of_ours_is_left() {
    each_trace nothing_new
    nothing "what the kernel kept: programs, maps, links" within_a_moment_gone
    nothing "programs of control groups" ours cgroup tree
    nothing "programs" ours prog show
    nothing "the group" getent group gatebell
    refute "polkit's policy is left" [ -e "$policy" ]
    nothing "the units" our_units
    nothing "the sockets of who helps the service" find /run -maxdepth 1 -name 'gatebell*.sock'
}
# But for the one by which the emulated machine proves this.
our_units() {
    systemctl list-unit-files --no-legend 'gatebell*' | grep -v '^gatebell-vm\.service ' || true
}
# Each object that the firewall has pinned, by its kind and its number, which the kernel gives to no other in this boot.
pinned() {
    local pin kind
    find /sys/fs/bpf/gatebell -type f | while read -r pin; do
        for kind in prog map link; do
            bpftool $kind show pinned "$pin" 2>/dev/null | sed -n "1s/^\([0-9]*\):.*/$kind \1/p"
        done
    done
}
still_there() {
    local kind number
    while read -r kind number; do
        bpftool "$kind" show id "$number" 2>/dev/null
    done <$state/pinned
}
# The kernel frees what nobody has once nothing runs in it any more.
within_a_moment_gone() { within 60 none_is_there || still_there; }
none_is_there() { [ -z "$(still_there)" ]; }
ours() { bpftool "$@" | grep -E 'zone_|socket_made|program_start|process_ended'; }

# What is compared with how it was before the package came: the machine has files, pins, filters and tracing programs of its
# own, whatever it is called and wherever the clone lies that the package was brought from.
each_trace() { # each_trace COMMAND: of each kind
    "$1" processes pgrep -lx 'gatebelld?'
    "$1" pins find /sys/fs/bpf -mindepth 1
    "$1" filters filters
    "$1" links links
    "$1" files files
}
remember() { local what=$1; shift; "$@" 2>/dev/null | sort >$state/before-$what; }
# nothing_new WHAT COMMAND…: it prints nothing that it did not print before.
nothing_new() {
    local what=$1 left; shift
    left=$("$@" 2>/dev/null | sort | comm -13 $state/before-$what -)
    if [ -z "$left" ]; then ok "nothing left: $what"; else no "left over: $what: $left"; fi
}
# nothing WHAT COMMAND…: it prints nothing.
nothing() {
    local what=$1 left; shift
    left=$("$@" 2>/dev/null)
    if [ -z "$left" ]; then ok "nothing left: $what"; else no "left over: $what: $left"; fi
}
filters() {
    local device
    for device in $(ls /sys/class/net); do
        tc filter show dev "$device" ingress 2>/dev/null
        tc filter show dev "$device" egress 2>/dev/null
        tc qdisc show dev "$device" | grep clsact
    done
}
# Their kinds, without the numbers, which another boot gives anew; not those that systemd makes for each of its services.
links() {
    bpftool link show | grep -oE '^[0-9]+: (tracing|raw_tracepoint|perf_event|tcx|xdp|netfilter)|cgroup_inet_sock_create' | sed 's/^[0-9]*: //'
}
# Not the journal, which tells of the package, nor what is no file.
files() {
    find / \( -path /proc -o -path /sys -o -path /dev -o -path /var/log \) -prune -o -name '*gatebell*' -print
}

# --- Which boot is it? ------------------------------------------------------------------------------------------------
mkdir -p $state
boot=$(($(cat $state/boot 2>/dev/null || echo 0) + 1))
echo $boot >$state/boot
# The end of this boot: with 194 the machine is booted again; a failure in any of them is one of all.
end_with() { # end_with CODE
    local code=$1
    [ $failed = 0 ] || echo 1 >$state/failed
    if [ "$code" = 0 ] && [ -e $state/failed ]; then
        echo "the journal of gatebell:"
        journalctl --no-pager -q -u gatebell | tail -n 60
        code=1
    fi
    exit "$code"
}
