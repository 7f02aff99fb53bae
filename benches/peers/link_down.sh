#!/bin/sh
# A file of 2 GB from one network namespace to another at 400 Mbit/s, with the cable pulled for 20 s in
# the middle: what the getter says meanwhile, and whether the file is whole in the end. Needs root.
#
# usage: link_down.sh SAMARA SCRATCH
set -eu
samara=$1
dir=$2/link-down
a=samara-a-$$ b=samara-b-$$
rm -rf "$dir" && mkdir -p "$dir/a" "$dir/b"
sender=
end() {
    [ -z "$sender" ] || kill "$sender" 2>/dev/null || true
    ip netns del "$a" 2>/dev/null || true
    ip netns del "$b" 2>/dev/null || true
    rm -rf "$dir"
}
trap end EXIT
head -c 2000000000 /dev/urandom > "$dir/a/big.bin"
ip netns add "$a" && ip netns add "$b"
ip -n "$a" link add eth0 type veth peer name eth0 netns "$b"
for n in "$a" "$b"; do ip -n "$n" link set lo up && ip -n "$n" link set eth0 up; done
ip -n "$a" addr add 10.79.0.1/24 dev eth0
ip -n "$b" addr add 10.79.0.2/24 dev eth0
ip netns exec "$a" tc qdisc add dev eth0 root tbf rate 400mbit burst 64kb latency 60ms
ip netns exec "$a" "$samara" --store "$dir/a/store" share --json "$dir/a/big.bin" > "$dir/share" 2>"$dir/share.err" &
sender=$!
until grep -q '"ready"' "$dir/share"; do
    kill -0 "$sender" || { cat "$dir/share.err"; exit 1; }
    sleep 0.2
done
ticket=$(sed -n 's/.*"ticket":"\([^"]*\)".*/\1/p' "$dir/share" | head -n 1)
ip netns exec "$b" "$samara" --store "$dir/b/store" get --json -o "$dir/b/big.bin" "$ticket" > "$dir/get" &
getter=$!
sleep 12
ip -n "$b" link set eth0 down && echo "the link is down"
sleep 20
ip -n "$b" link set eth0 up && echo "the link is up again after 20 s"
wait "$getter"
cmp "$dir/a/big.bin" "$dir/b/big.bin" && echo "the files are identical"
grep -v '"progress"' "$dir/get"
