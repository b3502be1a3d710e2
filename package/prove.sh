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

. "${0%/*}/machine.sh"

# --- The world outside ------------------------------------------------------------------------------------------------
a_world() {
    outside_begins
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
    a_socket_that_is_older_than_the_firewall_has_a_program
    no_unit_may_do_more_than_it_is_rated_for
    its_parts_may_do_no_more_than_they_need
    polkit_is_asked_about_a_member
    polkit_itself_permits_and_refuses
    a_device_that_appears_later_is_protected
    a_killed_service_lets_nothing_through
    an_upgrade_lets_nothing_through
    systemd_reloads_it
    lists_are_fetched_by_who_may_do_nothing_else
    a_list_comes_from_a_server_that_the_machine_trusts
    rules_are_confirmed_and_others_on_a_lease
    nothing_was_denied_of_what_they_need
}
second() {
    after_a_reboot_the_confirmed_rules_protect_it
    its_profile_is_left_out_where_apparmor_is_too_old_for_it
    what_recover_takes_out_stays_out
    nothing_was_denied_of_what_they_need
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
    check "who answers what is rejected runs by itself" within 60 answerer_runs
    protected
    check "the status says so" gatebell status
    within 120 reported || no "gatebell watch --json reports the refused packet"
    check "gatebell history has it too, from within what systemd lets the service do" within 60 kept_in_history
}
answerer() { systemctl list-units --plain --no-legend --state=running 'gatebell-reject@*' | cut -d' ' -f1 | head -n 1; }
answerer_runs() { [ -n "$(answerer)" ]; }
kept_in_history() { gatebell history --json --direction in --verdict block | grep -q "\"port\":$refused\b"; }
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

# The world's servers were there before the package: who holds their sockets, only the kernel's lists of open files say.
a_socket_that_is_older_than_the_firewall_has_a_program() {
    { cat /etc/gatebell/rules.toml
        printf '\n[[rule]]\nid = "older"\naction = "allow"\ndirection = "in"\nprotocol = ["tcp", "udp"]\nports = %s\nprogram = "%s"\n' \
            $confirmed "$traffic"; } >$state/older.toml
    check "a rule lets a program be asked, on a lease" gatebell rules apply $state/older.toml --lease 1h
    check "… that has its socket since before the firewall (IPv4)" answers $inside $confirmed
    check "… (IPv6)" answers $inside6 $confirmed
    check "the lease is given up" gatebell rules revert
    refute "… and the program is asked no more" leaks $inside $confirmed
}

# As systemd itself has loaded them. Who finds older sockets has ended by now.
no_unit_may_do_more_than_it_is_rated_for() {
    rated gatebell.service gatebell.service
    rated gatebell-reject@.service "$(answerer)"
    rated gatebell-sockets@.service gatebell-sockets@rated.service
    rated gatebell-lists.service gatebell-lists.service
}
rated() { # rated FILE UNIT
    local most; most=$(sed -n "s/^$1 //p" "${0%/*}/exposure")
    check "$1 is rated no worse than $most tenths" no_worse_than "$most" "$2"
    sed -n 's/.*Overall exposure level for .*: /                  /p' $state/rating
}
no_worse_than() { systemd-analyze security --no-pager --threshold="$1" "$2" >$state/rating 2>&1; }

# AppArmor's profiles. What is tried is tried by this shell's own commands, in a process that goes under a profile as it runs: nothing of
# what it tries is left to another program, which could not even be started there.
its_parts_may_do_no_more_than_they_need() {
    check "the service runs under its profile" under gatebelld "$(process)"
    check "… and who answers what is rejected under another" under gatebell-reject "$(main_process "$(answerer)")"
    check "… and who fetches lists is to run under a third" runs_under gatebell-lists gatebell-lists
    check "… and who finds older sockets under a fourth" runs_under gatebell-sockets gatebell-sockets@rated.service
    check "packets of the service's own come by its hooks, of both versions" within 60 own_packets_come
    may gatebelld "write where it has its state" ': >/run/gatebell/probe'
    may gatebelld "read what rules may name" 'read -r line </etc/passwd'
    may gatebelld "run nftables" 'exec /usr/sbin/nft list tables >/dev/null'
    may_not gatebelld "write elsewhere" ': >>/etc/passwd'
    may_not gatebelld "make a file elsewhere" ': >/etc/probe'
    may_not gatebelld "run a shell" 'exec /bin/sh -c true'
    may_not gatebelld "speak to the network" ': </dev/tcp/127.0.0.1/22'
    may_not gatebelld "read passwords" 'read -r line </etc/shadow'
    mkdir -p /etc/wireguard; echo key >/etc/wireguard/probe.conf
    may_not gatebelld "read the keys of others" 'read -r line </etc/wireguard/probe.conf'
    may_not gatebelld "read what others have in memory" ': </proc/1/mem'
    may_not gatebelld "signal what is not its own" "kill -0 $server"
    may gatebell-lists "speak to the network" ': </dev/tcp/127.0.0.1/22'
    may_not gatebell-lists "read rules" 'read -r line </etc/gatebell/rules.toml'
    may_not gatebell-lists "write elsewhere" ': >/run/gatebell/probe'
    may_not gatebell-lists "run a shell" 'exec /bin/sh -c true'
    may gatebell-reject "read what it is told of itself" 'read -r line </proc/self/cgroup'
    may_not gatebell-reject "connect" ': </dev/tcp/127.0.0.1/22'
    may_not gatebell-reject "read files" 'read -r line </etc/passwd'
    may_not gatebell-reject "write files" ': >/run/gatebell/probe'
    may_not gatebell-reject "run a shell" 'exec /bin/sh -c true'
    may gatebell-sockets "see what others have open" 'set -- /proc/1/fd/*; [ "$1" != "/proc/1/fd/*" ]'
    may_not gatebell-sockets "connect" ': </dev/tcp/127.0.0.1/22'
    may_not gatebell-sockets "read files" 'read -r line </etc/passwd'
    may_not gatebell-sockets "write files" ': >/run/gatebell/probe'
    may_not gatebell-sockets "run a shell" 'exec /bin/sh -c true'
    rm -f /run/gatebell/probe /etc/probe /etc/wireguard/probe.conf
}
# Each of the driver's counters of them is another one after the service's next look.
own_packets_come() {
    local before; before=$(own_packets); sleep 6
    [ "$(wc -l <<<"$before")" = 4 ] && ! own_packets | grep -qxFf <(echo "$before")
}
own_packets() { bpftool --json map dump pinned /sys/fs/bpf/gatebell/*/CANARY | sed 's/},{"key"/}\n{"key"/g'; }
main_process() { systemctl show --value -p MainPID "$1"; }
under() { [ "$(cat "/proc/$2/attr/current")" = "$1 (enforce)" ]; }
# Its unit names the profile, and the kernel has it.
runs_under() {
    [ "$(systemctl show --value -p AppArmorProfile "$2")" = "-$1" ] && grep -qx "$1 (enforce)" $loaded
}
profile=/etc/apparmor.d/gatebell loaded=/sys/kernel/security/apparmor/profiles
may() { check "$1 may $2" within_profile "$1" "$3"; }
may_not() { check "$1 may not $2" refused_within_profile "$1" "$3"; }
# Who could not even go under the profile has shown nothing, nor has what fails without it.
within_profile() { # within_profile PROFILE COMMANDS
    bash -c 'printf "changeprofile %s" "$0" >/proc/self/attr/current || exit 99; eval "$1"' "$1" "$2" 2>/dev/null
}
refused_within_profile() {
    local code; bash -c "$2" 2>/dev/null || return 1
    within_profile "$1" "$2"; code=$?
    [ $code != 0 ] && [ $code != 99 ]
}
# Of all that is denied to the shells above the kernel says some, for it says only so much in a while; who is not heard of at all has
# shown nothing.
nothing_was_denied_of_what_they_need() {
    check "the kernel says what it denies" within 60 denies_aloud
    nothing "what was denied of what they need" denied_to_us
}
denies_aloud() {
    refused_within_profile gatebelld ': >>/etc/passwd'
    denied | grep -q 'comm="bash"'
}
denied_to_us() { denied | grep -v 'comm="bash"'; }
# What this boot's kernel has denied to what is under our profiles.
denied() { dmesg | grep 'apparmor="DENIED"' | grep 'profile="gatebell'; }

# By its own program, in whose place there is one here that permits all: the service has to find out who asked, and to start it, with
# what its unit and its profile let it do.
polkit_is_asked_about_a_member() {
    mv /usr/bin/pkcheck $state/pkcheck
    check "a member hears that there is no polkit to ask" hears daemon 'no polkit to ask'
    cp /usr/bin/true /usr/bin/pkcheck
    check "a member whom polkit permits it hears what came of it" hears daemon 'no lease'
    mv $state/pkcheck /usr/bin/pkcheck
}
hears() { # hears MEMBER WORDS
    setpriv --reuid "$1" --regid gatebell --clear-groups gatebell rules revert 2>&1 | tee $state/heard | grep -q "$2"
}

# Debian's own, which systemd starts as it is asked by the bus, with rules as an administrator writes them.
polkit_itself_permits_and_refuses() {
    cat >/etc/polkit-1/rules.d/10-proof.rules <<'END'
polkit.addRule(function(action, subject) {
    if (action.id != "org.gatebell.firewall.change") return polkit.Result.NOT_HANDLED;
    if (subject.user == "daemon") return polkit.Result.YES;
    if (subject.user == "bin") return polkit.Result.NO;
});
END
    check "polkit permits it to a member by its rules" within 60 hears daemon 'no lease'
    echo "                  $(cat $state/heard)"
    check "… and to another it does not" hears bin 'polkit does not permit it to you'
    echo "                  $(cat $state/heard)"
    check "… and of a third, whom no rule names, it wants an administrator's password" hears games "administrator's password could give permission"
    check "… which is polkit's own program, running" systemctl -q is-active polkit
    rm /etc/polkit-1/rules.d/10-proof.rules
}

lists_are_fetched_by_who_may_do_nothing_else() {
    printf '[[set]]\nid = "fetched"\nurl = "https://127.0.0.1:9/list"\n[[rule]]\nid = "none"\naction = "block"\nsource = "@fetched"\n' |
        cat /etc/gatebell/rules.toml - >$state/fetched.toml
    refute "rules whose list was never fetched are not taken" gatebell rules apply $state/fetched.toml
    check "… but it is tried to fetch it" within 120 tried_to_fetch
    check "… by a user who is there for that alone" [ "$(stat -c %U /var/lib/private/gatebell-lists)" != root ]
}
tried_to_fetch() { gatebell status | grep -q 'the last try failed'; }

# By TLS, from a server of this machine's for which a root vouches that the machine has been told to trust, as an administrator does.
a_list_comes_from_a_server_that_the_machine_trusts() {
    local list=$state/list server
    rules_that_block_by_a_list >$state/trusted.toml
    check "a server of lists has a certificate" a_certificate
    mkdir -p $list
    printf 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %s\r\nConnection: close\r\n\r\n%s\n' \
        $((${#outside} + 1)) $outside >$list/bad.txt
    (cd $list && exec openssl s_server -accept 8443 -cert ../server.pem -key ../server.key -HTTP -quiet </dev/null >../server.log 2>&1) & server=$!
    check "a server that nobody vouches for is not believed" within 120 not_believed
    echo "                  $(tail -n 1 $state/applied)"
    check "the machine trusts a root" trusted
    check "its list is fetched, and rules are taken that ask for it" within 120 taken_with_its_list
    check "… by a process under its profile" runs_under gatebell-lists gatebell-lists
    refute "… and blocks who is in it" leaks $inside $ssh
    kill $server
    check "rules without it are taken" gatebell rules apply $state/untrusted.toml
    check "… and let them in" connects $inside $ssh
}
rules_that_block_by_a_list() {
    cp /etc/gatebell/rules.toml $state/untrusted.toml
    # Before the others: the first rule that matches decides.
    sed '0,/^\[\[rule\]\]$/ s//[[set]]\nid = "trusted"\nurl = "https:\/\/localhost:8443\/bad.txt"\n\n[[rule]]\nid = "listed"\naction = "block"\ndirection = "in"\nprotocol = "tcp"\nports = '$ssh'\nsource = "@trusted"\n\n[[rule]]/' \
        /etc/gatebell/rules.toml
}
a_certificate() {
    (cd $state &&
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj '/CN=root of the proof' \
            -keyout root.key -out root.pem &&
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost -CA root.pem -CAkey root.key \
            -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE -keyout server.key -out server.pem) 2>$state/openssl.log
}
trusted() {
    cp $state/root.pem /usr/local/share/ca-certificates/proof.crt && update-ca-certificates >/dev/null
}
not_believed() { apply_with_list; grep -qi 'certificate' $state/applied; }
taken_with_its_list() {
    gatebell set refresh trusted >/dev/null 2>&1
    apply_with_list
}
# Rules whose list there is not yet are refused, with what came of the last try to fetch it.
apply_with_list() { gatebell rules apply $state/trusted.toml >$state/applied 2>&1; }

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

an_upgrade_lets_nothing_through() {
    # AppArmor would take it for the profile's, as it is newer than whatever comes.
    mkdir -p /var/cache/apparmor/before
    touch -d tomorrow /var/cache/apparmor/before/gatebell
    under_traffic "an upgrade takes over" upgraded
    check "… with the new version" [ "$(installed)" = "$(dpkg-deb -f "$upgrade" Version)" ]
    refute "… and believes nothing that was compiled of the profile before" [ -e /var/cache/apparmor/before/gatebell ]
    protected
}
# With the rules changed by the service, and nobody there to be asked about it: dpkg fails if it has to ask.
upgraded() {
    local before; before=$(process)
    gatebell rules add block --id changed-before --direction in --protocol tcp --ports 9 >/dev/null || return 1
    dpkg -i "$upgrade" </dev/null && gatebell rules show /etc/gatebell/rules.toml | grep -q changed-before && within 400 restarted "$before"
}

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
    check "… and runs under its profile" under gatebelld "$(process)"
    check "… with the rules as confirmed" answers $inside $confirmed
    protected
}
started_before_network() {
    local ours network
    ours=$(systemctl show --value -p ActiveEnterTimestampMonotonic gatebell)
    network=$(systemctl show --value -p ActiveEnterTimestampMonotonic network-pre.target)
    [ "$ours" -gt 0 ] && [ "$ours" -le "$network" ]
}

# Set up by the package's own script, on a machine whose AppArmor has never heard of what the profile asks for.
its_profile_is_left_out_where_apparmor_is_too_old_for_it() {
    local known=/etc/apparmor.d/abi/4.0 left_out=/etc/apparmor.d/disable/gatebell
    mv $known $state/known
    check "it is set up where AppArmor is too old for its profile" set_up
    check "… which is left out" [ -e $left_out ]
    mv $state/known $known
    check "it is set up where AppArmor is newer" set_up
    refute "… and the profile is left out no more" [ -e $left_out ]
}
set_up() { DPKG_MAINTSCRIPT_PACKAGE=gatebell /var/lib/dpkg/info/gatebell.postinst abort-remove; }

# Of a service that hangs: it has to be killed, after which systemd would start it again.
what_recover_takes_out_stays_out() {
    kill -STOP "$(process)"
    check "gatebell recover ends a service that hangs" gatebell recover
    sleep 3
    refute "… which systemd does not start again" active
    check "… and nothing is filtered" answers $inside $refused
    apparmor_parser --remove $profile
    check "it can be started again, also where its profile is not loaded" systemctl start gatebell
    check "… unconfined then" [ "$(cat "/proc/$(process)/attr/current")" = unconfined ]
    refute "… and refuses what it refused" leaks $inside $refused
    apparmor_parser --replace $profile
}

a_purge_leaves_nothing() {
    what_the_kernel_keeps
    touch /etc/apparmor.d/local/gatebelld
    check "dpkg removes the package" dpkg --remove gatebell
    # As the machine's next start does.
    apparmor_parser --replace $profile
    check "the kernel has the profiles until the purge" grep -q '^gatebelld ' $loaded
    check "dpkg purges the package" dpkg --purge gatebell
    check "the refused port answers again (IPv4)" answers $inside $refused
    check "the refused port answers again (IPv6)" answers $inside6 $refused
    nothing_of_ours_is_left
    nothing "the profiles" grep gatebell $loaded
}

# --- Which boot is it? ------------------------------------------------------------------------------------------------
a_world
case $boot in
1) first; next=194 ;;
2) second; next=0 ;;
esac
kill $server
end_with $next
