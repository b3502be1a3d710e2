#!/bin/bash
# What people do beside a firewall goes on under the packaged rules: `cargo xtask package --prove --guests` boots a Debian with Podman,
# libvirt's network and WireGuard, runs this in it, and runs it again after a reboot (exit code 194 asks for one).
#
# Each row of the table that it prints is tried without the package, with it installed, upgraded, booted with a broken list, and
# purged. What a row says is "yes" or "no" where it is to be that; a cell that is not is marked, and fails.
#
# The machine is the root namespace; `outside`, a namespace behind a pair of devices, is the world: a neighbour, and a router with a
# server and a resolver behind it. A virtual machine is a namespace with a device in libvirt's bridge, which asks for its address as
# one does. A page says who serves it, so that an answer by somebody else is none.
set -u
package=$1 upgrade=$2
state=/var/lib/guests-proof

. "${0%/*}/machine.sh"

# Behind the world's router; behind the tunnel; on the list of whom nothing is let in from.
server=203.0.113.1 name=www.example.test private=198.51.100.1 banned=192.0.2.66
tunnel=10.99.0.2 peer=10.99.0.1
closed=7777 published=8081 opened=8082
list=/etc/gatebell/bad-hosts.txt

# --- The table --------------------------------------------------------------------------------------------------------
stages=(without installed upgraded broken purged)
stage=
guarded() { [ $stage != without ] && [ $stage != purged ]; }
# row WHAT WITHOUT WITH COMMAND…: whether the command succeeds is to be WITHOUT (yes, no, or - where it can't be asked) where
# Gatebell is not there, and WITH where it is.
row() {
    local what=$1 expected=$3 seen=no wrong=
    guarded || expected=$2
    shift 3
    [ "$expected" != - ] || return 0
    patience=30; [ "$expected" = yes ] || patience=3
    ! "$@" || seen=yes
    [ $seen = "$expected" ] || wrong='!'
    printf '%s\t%s\t%s\n' "$what" $stage "$seen$wrong" >>$state/cells
    if [ -z "$wrong" ]; then ok "$stage: $what: $seen"; else no "$stage: $what: $seen"; fi
}
table() {
    echo
    in_columns 'works with the packaged rules' "${stages[@]}"
    cut -f 1 $state/cells | awk '!seen[$0]++' | while read -r what; do
        cells=()
        for stage in "${stages[@]}"; do cells+=("$(cell "$what")"); done
        in_columns "$what" "${cells[@]}"
    done
    echo '! is not as it should be.'
}
in_columns() { printf '%-72s' "$1"; shift; printf ' %-10s' "$@"; echo; }
cell() { awk -F '\t' -v what="$1" -v stage=$stage '$1 == what && $2 == stage { seen = $3 } END { print seen ? seen : "-" }' $state/cells; }

# --- Who asks ---------------------------------------------------------------------------------------------------------
here() { "$@"; }
guest() { ip netns exec guest "$@"; }
container() { podman exec one "$@"; }
# reads FROM URL WHO: the page is theirs.
reads() { [ "$("$1" busybox timeout $patience busybox wget -q -O - "$2" 2>/dev/null)" = "$3" ]; }
pings() { "$1" busybox timeout $patience busybox ping -c 1 -W $patience "$2" >/dev/null; }
# finds FROM NAME RESOLVER: an answer that says where the world's server is.
finds() { "$1" busybox timeout $patience busybox nslookup "$2" "$3" 2>/dev/null | grep -q "^Address: *$server"; }
# From one of the world's own addresses, which busybox can't choose: by a route for this machine.
as() {
    local address=$1 done; shift
    world ip route replace $inside/32 dev wan0 src "$address"
    "$@"; done=$?
    world ip route del $inside/32 dev wan0
    return $done
}

# --- The world, and what serves here ----------------------------------------------------------------------------------
serves() { # serves FROM WHO PORT: a page that says who it is
    mkdir -p "$state/pages/$2"
    echo "$2" >"$state/pages/$2/index.html"
    "$1" busybox httpd -p "$3" -h "$state/pages/$2"
}
a_world() {
    outside_begins
    local address
    for address in $server $private $banned; do world ip address add $address/32 dev lo; done
    ip route add default via $outside dev wan0
    world ip route add 10.88.0.0/15 via $inside
    world ip route add 192.168.122.0/24 via $inside
    serves world world 80
    world dnsmasq --conf-file=/dev/null --no-hosts --no-resolv --bind-interfaces --listen-address=$server \
        --local=/test/ --address=/$name/$server --pid-file= --user=root
    serves here machine 22
    serves here machine $closed
    # What comes by the way that the tunnel should have taken.
    world nft -f - <<END
table inet seen {
    counter passed { }
    chain here {
        type filter hook prerouting priority -300
        iifname wan0 ip daddr $private counter name passed
    }
}
END
    the_tunnels_other_end
}
the_tunnels_other_end() {
    world ip link add wg0 type wireguard
    world wg set wg0 listen-port 51820 private-key $state/theirs peer "$(wg pubkey <$state/ours)" allowed-ips $tunnel/32
    world ip address add $peer/24 dev wg0
    world ip link set wg0 up
}

# --- Guests, made once ------------------------------------------------------------------------------------------------
guests_are_made() {
    echo "nameserver $server" >/etc/resolv.conf
    containers_are_made
    virsh -q -c network:///system net-autostart default
    virsh -q -c network:///system net-start default
    the_tunnel_is_made
}
containers_are_made() {
    local program image=$state/image
    mkdir -p $image/bin $image/www $image/etc
    cp /usr/bin/busybox $image/bin/
    for program in sh sleep; do ln -s busybox $image/bin/$program; done
    tar -C $image -c . | podman import -q - box >/dev/null
    podman network create --subnet 10.89.0.0/24 front >/dev/null
    container_is_made one -p $published:80 -p $opened:80
    container_is_made two
    systemctl -q enable podman-restart
}
container_is_made() { # container_is_made NAME OPTION…
    local name=$1; shift
    podman run -d -q --name "$name" --restart always --network front "$@" box \
        sh -c "echo $name >/www/index.html; exec busybox httpd -f -p 80 -h /www" >/dev/null
}
the_tunnel_is_made() {
    cat >/etc/wireguard/wg0.conf <<END
[Interface]
Address = $tunnel/24
PrivateKey = $(cat $state/ours)
[Peer]
PublicKey = $(wg pubkey <$state/theirs)
Endpoint = $outside:51820
AllowedIPs = $peer/32, $private/32
PersistentKeepalive = 5
END
    systemctl -q enable --now wg-quick@wg0
}
a_virtual_machine() {
    mkdir -p /etc/netns/guest
    touch /etc/netns/guest/resolv.conf
    ip netns add guest
    ip link add vnet0 type veth peer name eth0 netns guest
    ip link set vnet0 master virbr0 up
    guest ip link set lo up
    guest ip link set eth0 up
    serves guest guest 80
    cat >$state/leased <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
busybox ip address flush dev $interface
busybox ip address add $ip/$mask dev $interface
busybox ip route replace default via $router
echo "nameserver $dns" >/etc/resolv.conf
END
    chmod +x $state/leased
}
asks_for_an_address() { guest busybox timeout $patience busybox udhcpc -i eth0 -f -n -q -t 10 -T 2 -s $state/leased 2>/dev/null >&2; }
address_of_guest() { guest ip -4 -o address show dev eth0 | grep -o 'inet [0-9.]*' | cut -d' ' -f2; }
address_of_container() { podman inspect -f '{{.NetworkSettings.Networks.front.IPAddress}}' one; }

# --- What people do ---------------------------------------------------------------------------------------------------
tour() {
    stage=$1
    only_what_rules_open_is_reached
    containers_go_on
    virtual_machines_go_on
    a_tunnel_is_judged_like_any_device
    a_kill_switch_holds_for_the_machine_and_its_guests
    the_status_says_what_is
}
only_what_rules_open_is_reached() {
    row "this machine reaches the world, by a name" yes yes reads here http://$name/ world
    row "the world reaches ssh" yes yes reads world http://$inside:22/ machine
    row "the world reaches a port that no rule opens" yes no reads world http://$inside:$closed/ machine
    row "the world reaches it by IPv6" yes no reads world "http://[$inside6]:$closed/" machine
    row "who is on a list of bad hosts reaches ssh" yes no as $banned reads world http://$inside:22/ machine
}
containers_go_on() {
    row "a container reaches the world, by a name" yes yes reads container http://$name/ world
    row "a container reaches another by its name" yes yes reads container http://two/ two
    row "a container reaches a port of this machine that no rule opens" yes no reads container http://$inside:$closed/ machine
    row "this machine reaches a container by its published port" yes yes reads here http://$inside:$published/ one
    row "the world reaches a published port that no rule opens" yes no reads world http://$inside:$published/ one
    row "the world reaches a published port that a rule opens" yes yes reads world http://$inside:$opened/ one
    row "the world reaches a container by its own address" yes no reads world "http://$(address_of_container)/" one
}
virtual_machines_go_on() {
    row "a virtual machine gets an address by DHCP from libvirt" yes yes asks_for_an_address
    row "a virtual machine resolves a name by libvirt's dnsmasq" yes yes finds guest $name 192.168.122.1
    row "a virtual machine reaches the world, by a name" yes yes reads guest http://$name/ world
    row "a virtual machine reaches a port of this machine that no rule opens" yes no reads guest http://$inside:$closed/ machine
    row "this machine reaches a virtual machine" yes yes reads here "http://$(address_of_guest)/" guest
    # libvirt refuses it by itself.
    row "the world reaches a virtual machine by its own address" no no reads world "http://$(address_of_guest)/" guest
}
a_tunnel_is_judged_like_any_device() {
    row "WireGuard shakes hands" yes yes shakes_hands
    row "this machine pings its peer through the tunnel" yes yes pings here $peer
    row "this machine reaches the network behind the tunnel" yes yes reads here http://$private/ world
    row "the peer reaches ssh through the tunnel" yes yes reads world http://$tunnel:22/ machine
    row "the peer reaches a port that no rule opens" yes no reads world http://$tunnel:$closed/ machine
}
shakes_hands() {
    systemctl restart wg-quick@wg0
    within $patience shook_hands
}
shook_hands() { wg show wg0 latest-handshakes | grep -q '[1-9][0-9]*$'; }

# Out by the tunnel alone, and to its other end; a guest's packets too.
a_kill_switch_holds_for_the_machine_and_its_guests() {
    ! guarded || {
        only_by_the_tunnel >$state/only.toml
        check "$stage: rules let out by the tunnel alone" gatebell rules apply $state/only.toml --lease 1h
    }
    row "with a kill switch: this machine reaches the network behind the tunnel" yes yes reads here http://$private/ world
    row "with a kill switch: a container reaches the network behind the tunnel" yes yes reads container http://$private/ world
    busybox ping -i 1 $private >/dev/null 2>&1 & local pinging=$!
    systemctl stop wg-quick@wg0
    row "tunnel down: something of this machine leaves by another way" yes no leaves here
    row "tunnel down: something of a container leaves by another way" yes no leaves container
    # It may have given up, as it may send nothing.
    kill $pinging 2>/dev/null
    systemctl start wg-quick@wg0
    ! guarded || check "$stage: the confirmed rules return" gatebell rules revert
}
leaves() { # leaves FROM: it tries to get there, and the world sees it come by the way that leads around the tunnel
    local before; before=$(passed)
    reads "$1" http://$private/ world
    finds "$1" $name $private
    [ "$(passed)" -gt "$before" ]
}
passed() { world nft list counter inet seen passed | grep -o 'packets [0-9]*' | cut -d' ' -f2; }
only_by_the_tunnel() {
    sed -e 's/^outbound = "allow"/outbound = "block"/' -e '/^id = "guests-out"/a out_interface = "wg0"' /etc/gatebell/rules.toml
    cat <<END
[[rule]]
id = "by-the-tunnel"
action = "allow"
direction = "out"
interface = "wg0"
[[rule]]
id = "to-the-tunnels-other-end"
action = "allow"
direction = "out"
protocol = "udp"
destination = "$outside"
ports = 51820
END
}

the_status_says_what_is() {
    local green=yes red=-
    [ $stage != broken ] || green=no red=yes
    row "gatebell status is green" - $green is_green
    row "gatebell status is red and names the list" - $red names_the_list
}
is_green() { gatebell status >/dev/null; }
names_the_list() {
    gatebell status | tee $state/status | grep -q "$list"
}

# --- From one to the next ---------------------------------------------------------------------------------------------
first() {
    (umask 077; wg genkey >$state/ours; wg genkey >$state/theirs)
    a_world
    guests_are_made
    a_virtual_machine
    each_trace remember
    tour without
    check "dpkg installs the package" dpkg -i "$package"
    check "the service is active" active
    echo "$banned" >$list
    with_a_list_and_a_port >$state/ours.toml
    check "a list and a published port's rule are applied" gatebell rules apply $state/ours.toml
    tour installed
    check "an upgrade takes over" upgraded
    tour upgraded
    # What a provider's portal sends in place of the list.
    echo '<!DOCTYPE html><html><body>Please log in</body></html>' >$list
}
upgraded() {
    local before; before=$(process)
    dpkg -i "$upgrade" </dev/null && within 400 restarted "$before"
}
with_a_list_and_a_port() {
    awk -v list=$list '/^\[\[rule\]\]/ && !done++ {
        print "[[set]]\nid = \"bad-hosts\"\nfile = \"" list "\"\n"
        print "[[rule]]\nid = \"nothing-from-bad-hosts\"\naction = \"block\"\ndirection = \"in\"\nsource = \"@bad-hosts\"\n"
    } { print }' /etc/gatebell/rules.toml
    printf '\n[[rule]]\nid = "published"\naction = "allow"\ndirection = "in"\nprotocol = "tcp"\nports = %s\n' $opened
}
second() {
    a_world
    guests_go_on_after_a_reboot_with_a_broken_list
    a_purge_leaves_nothing_and_takes_nothing_along
    table
}
guests_go_on_after_a_reboot_with_a_broken_list() {
    check "after the reboot: the service is active" within 400 active
    check "Podman and libvirt start their guests and bridges" within 120 guests_are_back
    a_virtual_machine
    tour broken
    cat $state/status
}
a_purge_leaves_nothing_and_takes_nothing_along() {
    what_the_kernel_keeps
    check "dpkg purges the package" dpkg --purge gatebell
    nothing_of_ours_is_left
    tour purged
}
guests_are_back() { ip link show virbr0 >/dev/null 2>&1 && container sh -c : 2>/dev/null; }

case $boot in
1) first; end_with 194 ;;
*) second; end_with 0 ;;
esac
