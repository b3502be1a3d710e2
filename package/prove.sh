#!/bin/bash
# What the package promises, on a machine of its own under systemd: `cargo xtask package --prove` boots that machine, runs
# this in it, and runs it again after each reboot (exit code 194 asks for one). Each point is one line, "ok" or "FAILED".
#
# The machine is the root namespace; `outside`, a namespace behind a pair of devices, is the world. `traffic` sends at a
# constant pace to a port that the rules refuse and counts on this side of it what arrives there all the same.
set -u
package=$1 upgrade=$2 traffic=$3
state=/var/lib/package-proof
refused=7777 confirmed=7778 ssh=2222
inside=10.78.0.2 outside=10.78.0.1 inside6=fd78::2 outside6=fd78::1

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

# --- The world outside ------------------------------------------------------------------------------------------------
joined() { # joined NAME ADDRESS ADDRESS6 THEIRS THEIRS6: one more device of this machine, with the world at its other end
    ip link add "$1" type veth peer name "$1" netns outside
    ip addr add "$2/24" dev "$1"; ip addr add "$3/64" dev "$1" nodad; ip link set "$1" up
    world ip addr add "$4/24" dev "$1"; world ip addr add "$5/64" dev "$1" nodad; world ip link set "$1" up
}
a_world() {
    ip netns add outside
    world ip link set lo up
    joined wan0 $inside $inside6 $outside $outside6
    "$traffic" serve 22 $ssh $refused $confirmed >$state/served & server=$!
    within 60 grep -q serving $state/served || no "the machine's own servers start"
}
# Connects, sends a datagram and asks for an echo: an answer to each.
answers() { world "$traffic" ask all "$1" "$2"; }
connects() { world "$traffic" ask tcp "$1" "$2"; }
# Any answer at all: what a refused port must not give.
leaks() { world "$traffic" ask any "$1" "$2"; }
pings() { world ping -c 1 -W 30 -q "$1" >/dev/null; }

# Sends to a refused port for as long as a command takes, and says how many datagrams and connections arrived.
under_traffic() { # under_traffic WHAT COMMAND…
    local what=$1; shift
    local before after sender asker
    before=$(arrived)
    ip netns exec outside "$traffic" send $refused $inside $inside6 >$state/sent & sender=$!
    ip netns exec outside "$traffic" keep-asking $inside 22 >$state/asked & asker=$!
    sleep 2
    check "$what" "$@"
    sleep 2
    kill -TERM $sender $asker; wait $sender $asker
    after=$(arrived)
    local sent; sent=$(cat $state/sent)
    check "… meanwhile $sent refused packets were sent" [ "${sent:-0}" -gt 500 ]
    check "… of which $((after - before)) got through" [ "$before" = "${after:-not said}" ]
    echo "                  and an allowed port was asked: $(cat $state/asked)"
}
# What the refused port has got so far: the server counts, and says so in one line more; nothing if it does not.
arrived() {
    local lines; lines=$(said)
    kill -USR1 $server
    within 60 says_more "$lines" || return 0
    tail -n 1 $state/served | grep -o "\b$refused=[0-9]*" | cut -d= -f2
}
said() { wc -l <$state/served; }
says_more() { [ "$(said)" -gt "$1" ]; }

# --- What is promised, point by point ---------------------------------------------------------------------------------
first() {
    each_trace remember
    check "before: the port that will be refused answers (IPv4)" answers $inside $refused
    check "before: the port that will be refused answers (IPv6)" answers $inside6 $refused
    it_protects_the_machine_that_it_is_installed_on
    a_device_that_appears_later_is_protected
    a_killed_service_lets_nothing_through
    an_upgrade_lets_nothing_through
    systemd_reloads_it
    lists_are_fetched_by_who_may_do_nothing_else
    rules_are_confirmed_and_others_on_a_lease
}
second() {
    after_a_reboot_the_confirmed_rules_protect_it
    what_recover_takes_out_stays_out
    a_purge_leaves_nothing
}

it_protects_the_machine_that_it_is_installed_on() {
    # As people move it; the server itself is not needed for that.
    mkdir -p /etc/ssh/sshd_config.d
    printf '# moved\nPort %s\n' $ssh >/etc/ssh/sshd_config.d/moved.conf
    check "dpkg installs the package" dpkg -i "$package"
    check "the service is active" active
    check "it is enabled" systemctl -q is-enabled gatebell
    check "the group is there" getent group gatebell
    check "a port that ssh was moved to answers, beside the usual one" connects $inside $ssh
    check "its members may ask the service" members_may_ask
    check "polkit knows what it may be asked" [ -f "$policy" ]
    systemd-analyze security gatebell --no-pager 2>/dev/null | tail -n 1
    check "what the service may do stays small (an exposure of 2.5 at most)" \
        systemd-analyze security --threshold=25 gatebell --no-pager
    check "who answers what is rejected runs by itself" within 60 answerer_runs
    check "… and may do less still (an exposure of 2.0 at most)" \
        systemd-analyze security --threshold=20 "$(answerer)" --no-pager
    protected
    check "the status says so" gatebell status
    within 120 reported || no "gatebell watch --json reports the refused packet"
    check "gatebell history has it too, from within what systemd lets the service do" within 60 kept_in_history
}
answerer() { systemctl list-units --plain --no-legend --state=running 'gatebell-reject@*' | cut -d' ' -f1 | head -n 1; }
answerer_runs() { [ -n "$(answerer)" ]; }
kept_in_history() { gatebell history --json --direction in --verdict block | grep -q "\"port\":$refused\b"; }
policy=/usr/share/polkit-1/actions/org.gatebell.firewall.policy
members_may_ask() {
    [ "$(stat -c '%U:%G %a' /run/gatebell/gatebell.sock)" = "root:gatebell 660" ] &&
        [ "$(stat -c '%U:%G %a' /run/gatebell/device.sock)" = "root:gatebell 660" ]
}
protected() {
    check "an allowed port answers (IPv4)" connects $inside 22
    check "an allowed port answers (IPv6)" connects $inside6 22
    check "ping answers (IPv4)" pings $inside
    check "ping answers (IPv6)" pings $inside6
    refute "a refused port does not answer (IPv4)" leaks $inside $refused
    refute "a refused port does not answer (IPv6)" leaks $inside6 $refused
}
reported() {
    timeout 4 gatebell watch --json >$state/watched & local watcher=$!
    sleep 1.5
    leaks $inside $refused
    wait $watcher
    grep -q "\"destination_port\":$refused\b" $state/watched || return 1
    ok "gatebell watch --json: $(grep -m 1 "\"destination_port\":$refused\b" $state/watched)"
}

lists_are_fetched_by_who_may_do_nothing_else() {
    printf '[[set]]\nid = "fetched"\nurl = "https://127.0.0.1:9/list"\n[[rule]]\nid = "none"\naction = "block"\nsource = "@fetched"\n' |
        cat /etc/gatebell/rules.toml - >$state/fetched.toml
    refute "rules whose list was never fetched are not taken" gatebell rules apply $state/fetched.toml
    check "… but it is tried to fetch it" within 120 tried_to_fetch
    check "… by a user who is there for that alone" [ "$(stat -c %U /var/lib/private/gatebell-lists)" != root ]
    systemd-analyze security gatebell-lists --no-pager 2>/dev/null | tail -n 1
    check "… and may do next to nothing (an exposure of 2.0 at most)" \
        systemd-analyze security --threshold=20 gatebell-lists --no-pager
}
tried_to_fetch() { gatebell status | grep -q 'the last try failed'; }

a_device_that_appears_later_is_protected() {
    joined wan1 10.79.0.2 fd79::2 10.79.0.1 fd79::1
    refute "a device that appears later is protected (IPv4)" leaks 10.79.0.2 $refused
    refute "a device that appears later is protected (IPv6)" leaks fd79::2 $refused
    check "… and lets in what is allowed" connects 10.79.0.2 22
}

a_killed_service_lets_nothing_through() {
    under_traffic "a killed service is started again by systemd" killed
    check "… once" [ "$(systemctl show --value -p NRestarts gatebell)" = 1 ]
}
killed() {
    local before; before=$(process)
    [ "$before" -gt 1 ] || return 1
    kill -9 "$before"
    sleep 0.2
    within 400 restarted "$before"
}
restarted() { active && [ "$(process)" != "$1" ]; }

an_upgrade_lets_nothing_through() {
    under_traffic "an upgrade takes over" upgraded
    check "… with the new version" [ "$(installed)" = "$(dpkg-deb -f "$upgrade" Version)" ]
    protected
}
# With the rules changed by the service, and nobody there to be asked about it: dpkg fails if it has to ask.
upgraded() {
    local before; before=$(process)
    gatebell rules add block --id changed-before --direction in --protocol tcp --ports 9 >/dev/null || return 1
    dpkg -i "$upgrade" </dev/null && gatebell rules show /etc/gatebell/rules.toml | grep -q changed-before && within 400 restarted "$before"
}
installed() { dpkg-query -W -f '${Version}' gatebell; }

systemd_reloads_it() {
    check "systemd reloads it" systemctl reload gatebell
    check "… and it stays active" within 60 active
}

# A rule that is confirmed, and one on a lease that nobody confirms.
rules_are_confirmed_and_others_on_a_lease() {
    allowing confirmed $confirmed >$state/confirmed.toml
    check "rules are applied and confirmed" gatebell rules apply $state/confirmed.toml
    check "… and hold" answers $inside $confirmed
    allowing leased $refused >$state/leased.toml
    check "rules are applied on a lease of an hour" gatebell rules apply $state/leased.toml --lease 1h
    check "… and hold until then" answers $inside $refused
}
allowing() { # allowing ID PORT: the machine's rules and one more
    cat /etc/gatebell/rules.toml
    printf '\n[[rule]]\nid = "%s"\naction = "allow"\ndirection = "in"\nprotocol = ["tcp", "udp"]\nports = %s\n' "$1" "$2"
}

after_a_reboot_the_confirmed_rules_protect_it() {
    check "after the reboot: the service is active" active
    check "… and was so before the network" started_before_network
    check "… with the rules as confirmed" answers $inside $confirmed
    protected
}
started_before_network() {
    local ours network
    ours=$(systemctl show --value -p ActiveEnterTimestampMonotonic gatebell)
    network=$(systemctl show --value -p ActiveEnterTimestampMonotonic network-pre.target)
    [ "$ours" -gt 0 ] && [ "$ours" -le "$network" ]
}

# Of a service that hangs: it has to be killed, after which systemd would start it again.
what_recover_takes_out_stays_out() {
    kill -STOP "$(process)"
    check "gatebell recover ends a service that hangs" gatebell recover
    sleep 3
    refute "… which systemd does not start again" active
    check "… and nothing is filtered" answers $inside $refused
    check "it can be started again" systemctl start gatebell
    refute "… and refuses what it refused" leaks $inside $refused
}

a_purge_leaves_nothing() {
    pinned >$state/pinned
    check "the kernel keeps $(wc -l <$state/pinned) of its programs, maps and links" [ "$(wc -l <$state/pinned)" -gt 30 ]
    check "dpkg purges the package" dpkg --purge gatebell
    check "the refused port answers again (IPv4)" answers $inside $refused
    check "the refused port answers again (IPv6)" answers $inside6 $refused
    each_trace nothing_new
    nothing "what the kernel kept: programs, maps, links" within_a_moment_gone
    nothing "programs of control groups" ours cgroup tree
    nothing "programs" ours prog show
    nothing "the group" getent group gatebell
    refute "polkit's policy is left" [ -e "$policy" ]
    nothing "the units" our_units
    refute "the socket of who answers is left" [ -e /run/gatebell-reject.sock ]
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
    bpftool link show | grep -oE '^[0-9]+: (tracing|perf_event|tcx|xdp|netfilter)|cgroup_inet_sock_create' | sed 's/^[0-9]*: //'
}
# Not the journal, which tells of the package, nor what is no file.
files() {
    find / \( -path /proc -o -path /sys -o -path /dev -o -path /var/log \) -prune -o -name '*gatebell*' -print
}

# --- Which boot is it? ------------------------------------------------------------------------------------------------
mkdir -p $state
boot=$(($(cat $state/boot 2>/dev/null || echo 0) + 1))
echo $boot >$state/boot
a_world
case $boot in
1) first; next=194 ;;
2) second; next=0 ;;
esac
kill $server
[ $failed = 0 ] || echo 1 >$state/failed
if [ $next = 0 ] && [ -e $state/failed ]; then
    echo "the journal of gatebell:"
    journalctl --no-pager -q -u gatebell | tail -n 60
    next=1
fi
exit $next
