#!/bin/sh
# QEMU as libguestfs starts it where it has to emulate: with one processor, since a later option counts. A second one
# makes little of a conversion faster, and on a busy host two emulated ones were seen to wait for each other for good.
exec "qemu-system-$(uname -m)" "$@" -smp 1
