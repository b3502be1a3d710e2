#!/bin/sh
# Makes the captures that the tests of the dry run read: real packets of real programs, in two network namespaces that this
# script makes and removes. Needs root, and Debian's tcpdump, wireshark-common (editcap), iproute2, iputils-ping, curl,
# netcat-openbsd and python3.
#
#     sudo cli/tests/captures/make.sh
#
# The numbers that the tests expect are those of the captures that are kept beside this file: whoever makes new ones looks
# at them with tcpdump, and puts the tests right.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
zone=gbcap-z$$
peer=gbcap-p$$
running=
cleanup() {
    for pid in $running; do kill "$pid" 2>/dev/null || true; done
    ip netns del "$zone" 2>/dev/null || true
    ip netns del "$peer" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT INT TERM
z() { ip netns exec "$zone" "$@"; }
p() { ip netns exec "$peer" "$@"; }

ip netns add "$zone"
ip netns add "$peer"
ip -n "$zone" link add eth0 type veth peer name eth0 netns "$peer"
ip -n "$zone" addr add 10.77.0.2/24 dev eth0
ip -n "$peer" addr add 10.77.0.1/24 dev eth0
ip -n "$zone" addr add fd77::2/64 dev eth0 nodad
ip -n "$peer" addr add fd77::1/64 dev eth0 nodad
for n in "$zone" "$peer"; do
    ip -n "$n" link set lo up
    ip -n "$n" link set eth0 up
done
sleep 2

mkdir "$work/www"
echo 'hello' >"$work/www/index.html"
ip netns exec "$peer" python3 -m http.server -d "$work/www" 80 >/dev/null 2>&1 &
running="$running $!"
ip netns exec "$peer" python3 -m http.server -b :: -d "$work/www" 8080 >/dev/null 2>&1 &
running="$running $!"
sleep 1

capture() { # NAME INTERFACE FILTER
    # Itself, not a shell around it: that is what is ended.
    ip netns exec "$zone" tcpdump -q -U -i "$2" -w "$work/$1" "$3" 2>"$work/log" &
    dumper=$!
    running="$running $dumper"
    until grep -q 'listening on' "$work/log"; do sleep 0.1; done
}
finish() {
    sleep 1
    kill "$dumper"
    wait "$dumper" || true
}

# Ethernet: HTTP over both IPs, a refused telnet, a datagram that nobody takes, pings, fragments, someone who knocks.
capture ethernet.pcap eth0 'not (ip6 and ip6[40] >= 130 and ip6[40] <= 143)'
z curl -s -o /dev/null http://10.77.0.1/
z curl -s -o /dev/null 'http://[fd77::1]:8080/'
z nc -z -w 1 10.77.0.1 23 || true
z nc -z -w 1 fd77::1 23 || true
echo question | z nc -u -w 1 10.77.0.1 53 || true
z ping -q -c 2 -i 0.3 10.77.0.1 >/dev/null
z ping -q -c 1 fd77::1 >/dev/null
z ping -q -c 1 -s 1600 10.77.0.1 >/dev/null
p nc -z -w 1 10.77.0.2 22 || true
p ping -q -c 1 10.77.0.2 >/dev/null
finish

# Every device of the zone, its loopback too; each packet says which way it went. Then as pcapng.
capture any.pcap any 'ip'
z curl -s -o /dev/null http://10.77.0.1/
z ping -q -c 1 127.0.0.1 >/dev/null
p nc -z -w 1 10.77.0.2 22 || true
finish
editcap -F pcapng "$work/any.pcap" "$work/any.pcapng"

for file in ethernet.pcap any.pcapng; do
    cp "$work/$file" "$here/$file"
    ls -l "$here/$file"
done
