#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Makes bzImage-volant of bzImage-template and kestrel: the kernel of
# vmlinux-generic with an initramfs of its own, whose /init is kestrel. So a VM
# can be booted from a disk image that knows nothing of Volant.
#
# build.sh linked the template with room for an initramfs, a marker and noise;
# here the archive takes that place, zeros the rest of it (Linux skips them), and
# the payload is compressed again. Nothing moves, so nothing is to be linked.
#   payload_offset, payload_length: Documentation/arch/x86/boot.rst
#   the archive: Documentation/driver-api/early-userspace/buffer-format.rst
set -euo pipefail
export LC_ALL=C

# shellcheck source=kernel/room.sh
. "$(dirname "${BASH_SOURCE[0]}")/room.sh"
# The first word of a legacy LZ4 stream. Linux skips it wherever a chunk may
# begin: that is how a shorter payload is brought to the length of the first.
readonly magic='\x02\x21\x4c\x18'

kestrel=
dir=

die() {
    printf 'kernel/bake.sh: %s\n' "$1" >&2
    exit 1
}

usage() {
    cat <<END
Usage: kernel/bake.sh --kestrel FILE --kernel DIR

Makes DIR/bzImage-volant and its .json of DIR/bzImage-template (build.sh) and
kestrel, unless they were made of these two already.
END
}

# The little-endian number of $3 bytes at offset $2 of file $1.
number_at() {
    od -An -v -t "u$3" -j "$2" -N "$3" "$1" | tr -d ' '
}

hash_of() {
    sha256sum "$1" | cut -d ' ' -f 1
}

# Bytes up to the next multiple of 4.
pad() {
    local n=$(((4 - $1 % 4) % 4))

    if [ $n -gt 0 ]; then head -c $n /dev/zero; fi
}

# One entry of a newc archive: name, mode, links, size of data, device numbers.
entry() {
    local name=$1 mode=$2 nlink=$3 size=$4 major=${5:-0} minor=${6:-0}

    inode=$((inode + 1))
    printf '070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X' $inode "$mode" 0 0 "$nlink" 0 "$size" 0 0 \
        "$major" "$minor" $((${#name} + 1)) 0
    printf '%s\0' "$name"
    pad $((110 + ${#name} + 1))
}

archive() {
    local size inode=0

    size=$(stat -c %s "$kestrel")
    entry dev $((0040755)) 2 0
    entry dev/console $((0020600)) 1 0 5 1
    entry init $((0100755)) 1 "$size"
    cat "$kestrel"
    pad "$size"
    entry 'TRAILER!!!' 0 1 0
}

bake() {
    local template=$1 out=$2 start length at size spare i

    start=$((($(number_at "$template" 497 1) + 1) * 512 + $(number_at "$template" 584 4)))
    length=$(($(number_at "$template" 588 4) - 4)) # the last word is the unpacked size
    dd if="$template" bs=64K iflag=skip_bytes,count_bytes skip=$start count=$length status=none |
        lz4 -q -d - >"$work/payload" ||
        die "$template does not unpack: build it anew (make kernel)"
    at=$(grep -obUaF -m 1 "$room_marker" "$work/payload" | head -n 1 | cut -d : -f 1) || at=
    [ -n "$at" ] || die "$template has no room for an initramfs: build it anew (make kernel)"
    archive >"$work/archive"
    size=$(stat -c %s "$work/archive")
    [ "$size" -le "$room_size" ] || die "kestrel makes $size bytes of initramfs, the kernel has room for $room_size
remedy: raise room_size in kernel/room.sh, and recipe in kernel/build.sh"
    truncate -s "$room_size" "$work/archive"
    dd if="$work/archive" of="$work/payload" bs=64K oflag=seek_bytes seek="$at" conv=notrunc status=none
    lz4 -q -l -9 - <"$work/payload" >"$work/packed"
    spare=$((length - $(stat -c %s "$work/packed")))
    [ $spare -ge 0 ] || die "the kernel with kestrel packs worse than its template"
    {
        for ((i = spare / 4; i >= 1024; i -= 1024)); do
            printf "$magic%.0s" {1..1024}
        done
        for (( ; i > 0; i--)); do
            printf '%b' "$magic"
        done
        cat "$work/packed"
        head -c $((spare % 4)) /dev/zero
    } >"$work/filled"
    cp "$template" "$out"
    dd if="$work/filled" of="$out" bs=64K oflag=seek_bytes seek="$start" conv=notrunc status=none
}

main() {
    local template made json

    while [ $# -gt 0 ]; do
        case $1 in
        --kestrel)
            kestrel=${2:?}
            shift
            ;;
        --kernel)
            dir=${2:?}
            shift
            ;;
        -h | --help)
            usage
            return
            ;;
        *)
            usage >&2
            exit 2
            ;;
        esac
        shift
    done
    if [ -z "$kestrel" ] || [ -z "$dir" ]; then
        usage >&2
        exit 2
    fi
    template=$dir/bzImage-template
    [ -r "$kestrel" ] || die "no $kestrel: run make first"
    [ -r "$template" ] || die "no $template: run kernel/build.sh first"
    command -v lz4 >/dev/null || die "missing: lz4
remedy: apt-get install --no-install-recommends lz4"

    json=$(sed -n 's/^{"name":"[^"]*",\("version":"[^"]*","patches":[^]]*],"key":"[^"]*"\).*/\1/p' \
        "$dir/vmlinux-generic.json")
    made="{\"name\":\"bzImage-volant\",$json,\"template\":\"$(hash_of "$template")\",\"kestrel\":\"$(hash_of "$kestrel")\""
    if [ -s "$dir/bzImage-volant" ] && grep -qF -- "$made" "$dir/bzImage-volant.json" 2>/dev/null; then return; fi

    work=$(mktemp -d)
    trap 'rm -rf "$work" "$dir/.bzImage-volant.$$"' EXIT
    bake "$template" "$dir/.bzImage-volant.$$"
    printf '%s,"sha256":"%s","size":%d}\n' "$made" "$(hash_of "$dir/.bzImage-volant.$$")" \
        "$(stat -c %s "$dir/.bzImage-volant.$$")" >"$work/json"
    rm -f "$dir/bzImage-volant.json"
    mv -f "$dir/.bzImage-volant.$$" "$dir/bzImage-volant"
    cp "$work/json" "$dir/bzImage-volant.json"
    printf 'kernel: %s/bzImage-volant, %d bytes\n' "$dir" "$(stat -c %s "$dir/bzImage-volant")"
}

main "$@"
