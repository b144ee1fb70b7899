#!/bin/sh
# The lab's guest: everything that runs in it. It proves, from inside, that a disk came across whole.
#
# /dev/vda in blocks of 4 KiB (lab/guest/data-disk.ts writes and reads the same):
#   0         header: `vmferry-guest v1 boot=<n>`
#   1..64     ring: tick number s lies in block 1 + s % 64; 2 KiB text, then its md5 and s
#   128..143  list of probes: `<offset> <length> <md5>` in units of 64 KiB, then `end`
#   256..     extents of data, with one probe in each (under emulation md5 makes 16 MiB a second: all would take long)
# A tick is printed only after its block was flushed, so a printed tick must never be lost.
export PATH=/bin
SLOTS=64

busybox mount -t devtmpfs dev /dev
busybox mkdir -p /proc /sys /tmp /bin
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t tmpfs -o size=90% tmp /tmp
busybox --install -s /bin
exec >/dev/console 2>&1 </dev/null

for module in $(cat /modules/order); do insmod "/modules/$module"; done
ifconfig eth0 up 2>/dev/null
echo 0 >/proc/sys/kernel/printk

# What a VM's memory is full of, MiB, where that is asked for: nothing writes to it again.
use=$(sed -n 's/.*vmferry.use=\([0-9]*\).*/\1/p' /proc/cmdline)
[ -z "$use" ] || yes 'what a guest keeps in its memory' | dd of=/tmp/used bs=1M count="$use" iflag=fullblock 2>/dev/null

# virtio devices appear a moment after their driver; 40 * 50 ms is the limit.
tries=0
while [ ! -b /dev/vda ] && [ $tries -lt 40 ]; do usleep 50000; tries=$((tries + 1)); done
disk=none
[ -b /dev/vda ] && disk=/dev/vda

power_off() {
  sync
  echo "vmferry-guest power off counter=$counter"
  poweroff -f
}

# A person's wish to stop arrives as an event of the ACPI power button: 24 bytes.
watch_power_button() {
  for input in /sys/class/input/event*; do
    case $(cat "$input/device/name" 2>/dev/null) in
      'Power Button')
        (dd if="/dev/input/${input##*/}" of=/dev/null bs=24 count=1 2>/dev/null && : >/tmp/power-off) &
        ;;
    esac
  done
}

# Prints `<newest tick> <good> <bad>` of the ring; a missing or older block than expected is bad.
# All blocks are text of two lines, so lines are enough; slots never written are zero bytes.
read_ring() {
  mkdir -p /tmp/ring
  dd if=$disk bs=4096 skip=1 count=$SLOTS iflag=direct 2>/dev/null | tr -d '\0' | awk '
    NR % 2 == 1 { file = "/tmp/ring/" (NR + 1); print >file; close(file); next }
    { print NR, $1, $2 }' >/tmp/trailers
  (cd /tmp/ring && md5sum -- * 2>/dev/null) >/tmp/sums
  awk -v slots=$SLOTS '
    FNR == NR { sum[$2] = $1; next }
    { tick = $3 + 0; if (sum[$1] == $2) good[tick] = 1; if (tick > newest) newest = tick }
    END {
      oldest = newest - slots + 1; if (oldest < 1) oldest = 1
      for (tick = oldest; tick <= newest; tick++) if (good[tick]) ok++; else bad++
      print newest + 0, ok + 0, bad + 0
    }' /tmp/sums /tmp/trailers
  rm -r /tmp/ring
}

verify_fill() {
  dd if=$disk bs=4096 skip=128 count=16 iflag=direct of=/tmp/extents 2>/dev/null
  mkdir /tmp/probes
  : >/tmp/probes.md5
  while read -r offset length sum; do
    [ "$offset" = end ] && break
    [ -z "$sum" ] && break
    dd if=$disk bs=65536 skip="$offset" count="$length" iflag=direct of="/tmp/probes/$offset" 2>/dev/null
    echo "$sum  $offset" >>/tmp/probes.md5
  done </tmp/extents
  right=$(cd /tmp/probes && md5sum -c ../probes.md5 2>/dev/null | grep -c ': OK$')
  all=$(wc -l </tmp/probes.md5)
  echo "blocks ok=$(($1 + right)) bad=$(($2 + all - right))"
  rm -r /tmp/probes
}

# The blocks of the next ticks, sixteen at most, in one go: under emulation it is the starts of programs that cost.
make_blocks() {
  (
    cd /tmp/blocks && rm -f -- * || return
    awk -v tick=$1 -v boot="$boot" 'BEGIN {
      do { printf "%-2047s\n", "tick " tick " of boot " boot >tick ""; close(tick ""); tick++ } while (tick % 16 != 0) }'
    md5sum -- * | awk '{ printf "%-2047s\n", $1 " " $2 >>$2; close($2) }'
  )
}

# One block: 2 KiB of text, 2 KiB with its sum; written with one request and flushed.
write_tick() {
  [ -e /tmp/blocks/$1 ] || make_blocks $1
  dd if=/tmp/blocks/$1 of=$disk bs=4096 count=1 seek=$((1 + $1 % SLOTS)) oflag=direct conv=fsync,notrunc 2>/dev/null
}

# Says every 5 s for how long the guest was paused meanwhile: `pause_ms=<n>`. Its own clock stands still with it; the one on
# the board goes on, in whole seconds. From one of their beginnings to another, what the guest's clock lacks is the pause;
# some 20 ms are noise. A beginning is waited for without sleep: under emulation a program's start takes as long as a pause.
watch_pauses() {
  rtc=/sys/class/rtc/rtc0/since_epoch
  [ -r $rtc ] || { echo "pauses are not measured: no clock on the board"; return; }
  from=
  while usleep 4850000 && read -r second <$rtc; do
    while read -r now <$rtc && [ "$now" = "$second" ]; do :; done
    read -r up _ </proc/uptime
    at=${up%.*}${up#*.}
    if [ -n "$from" ]; then
      lost=$(((now - from) * 1000 - (at - from_at) * 10))
      [ $lost -ge 0 ] || lost=0
      echo "pause_ms=$lost"
    fi
    from=$now from_at=$at
  done
}

counter=0
boot=1
mkdir -p /tmp/blocks
# Nobody writes to it: to wait for it is a pause for which no program starts.
mkfifo /tmp/never
exec 5<>/tmp/never
watch_power_button
# Guests that are there for their memory are many: they measure nothing, and tick seldom.
tick_s=0.25
if [ -n "$use" ]; then
  tick_s=5
else
  watch_pauses &
  renice -n -20 -p $! >/dev/null
fi
if [ $disk = none ]; then
  echo "vmferry-guest boot=$boot counter=$counter no data disk"
else
  boot=$(($(dd if=$disk bs=4096 count=1 iflag=direct 2>/dev/null | sed -n 's/^vmferry-guest v1 boot=\([0-9]*\).*/\1/p') + 1))
  set -- $(read_ring)
  counter=$1
  printf '%-4095s\n' "vmferry-guest v1 boot=$boot" |
    dd of=$disk bs=4096 count=1 iflag=fullblock oflag=direct conv=fsync,notrunc 2>/dev/null
  echo "vmferry-guest boot=$boot counter=$counter"
  verify_fill "$2" "$3" &
fi

while :; do
  [ -e /tmp/power-off ] && power_off
  next=$((counter + 1))
  if [ $disk = none ] || write_tick $next; then
    counter=$next
    echo "tick $counter"
  else
    echo "write failed at tick $next"
  fi
  read -t $tick_s -r _ <&5
done
