#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds vmlinux-generic, the guest kernel, from Debian's linux-source-6.12, and
# bzImage-template, the same kernel with room for an initramfs of its own, which
# bake.sh fills.
#
# The result is kept outside the build folder under a key made of everything it
# depends on, so that it is built once per machine and not once per clone:
#   <cache>/<key>/vmlinux-generic{,.json,.config} bzImage-template
# A cache entry appears whole, by rename, or not at all. While it is made,
# <key>.lock is held and <key>.build is the private work folder; what a killed
# build leaves there is swept by the next one.
set -euo pipefail
export LC_ALL=C
# What the caller's make or shell may have set must not steer the kernel's makefiles.
unset MAKEFLAGS MFLAGS MAKELEVEL ARCH CROSS_COMPILE LLVM V W C LOCALVERSION KBUILD_OUTPUT KBUILD_EXTMOD \
    KCFLAGS KCPPFLAGS KAFLAGS KCONFIG_CONFIG KCONFIG_ALLCONFIG

readonly name=vmlinux-generic
readonly package=linux-source-6.12
readonly tarball=/usr/src/$package.tar.xz
readonly arch=x86_64
# Raise it when this script comes to build something else from the same input.
readonly recipe=2
# Lines make prints for the present configuration: for the progress display alone.
readonly steps_expected=1975
readonly template=bzImage-template

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
# shellcheck source=kernel/room.sh
. "$here/room.sh"
readonly defconfig=$here/${name}_defconfig
readonly required=$here/required.config
readonly cache=${VOLANT_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/volant}/kernel

output=$here/../build/kernel
make_pid=
work=

usage() {
    cat <<END
Usage: kernel/build.sh [--output DIR]
       kernel/build.sh --key
       kernel/build.sh --help

Builds $name, or takes it from the cache, and copies it to DIR
(build/kernel by default) with $name.json, $name.config and
$template.

  --output DIR  where the four files go
  --key         print the cache key and do nothing else
  --help        print this text

Cache: $cache
(VOLANT_CACHE_DIR moves it; it may be deleted at any time)
END
}

die() {
    printf 'kernel/build.sh: %s\n' "$1" >&2
    exit 1
}

say() {
    printf 'kernel: %s\n' "$*"
}

# What the kernel's makefiles run, and the Debian package that has it.
check_tools() {
    local missing=() entry
    local tools=(gcc:gcc ld:binutils make:make flex:flex bison:bison bc:bc
        lz4:lz4 patch:patch tar:tar xz:xz-utils zstd:zstd flock:util-linux)

    for entry in "${tools[@]}"; do
        command -v "${entry%%:*}" >/dev/null || missing+=("${entry#*:}")
    done
    printf '#include <stdio.h>\n' | gcc -E -x c - >/dev/null 2>&1 || missing+=(libc6-dev)
    # objtool links against it
    printf '#include <gelf.h>\n' | gcc -E -x c - >/dev/null 2>&1 || missing+=(libelf-dev)
    [ -r "$tarball" ] || missing+=("$package")
    [ ${#missing[@]} -eq 0 ] || die "missing: ${missing[*]}
remedy: apt-get install --no-install-recommends ${missing[*]}"
}

source_version() {
    dpkg-query -W -f '${Version}' "$package" 2>/dev/null
}

patch_files() {
    find "$here/patches" -name '[0-9]*.patch' | sort
}

# Comments in the configuration, folders and dates do not count.
compute_key() {
    local file version compiler linker

    if ! version=$(source_version) || ! compiler=$(gcc --version 2>/dev/null) ||
        ! linker=$(ld --version 2>/dev/null); then
        check_tools
        die "cannot tell the versions of $package, gcc and ld"
    fi
    {
        printf 'recipe %s\nsource %s\n%s\n%s\n' "$recipe" "$version" "${compiler%%$'\n'*}" "${linker%%$'\n'*}"
        grep -E '^(CONFIG_|# CONFIG_.* is not set$)' "$defconfig"
        while read -r file; do
            printf 'patch %s\n' "${file##*/}"
            cat "$file"
        done < <(patch_files)
    } | sha256sum | cut -c 1-32
}

# 0001-lapic_khz.patch -> "lapic_khz"
patches_json() {
    local file list=()

    while read -r file; do
        file=${file##*/[0-9][0-9][0-9][0-9]-}
        list+=("\"${file%.patch}\"")
    done < <(patch_files)
    (IFS=,; printf '[%s]' "${list[*]}")
}

check_config() {
    local line lacking=0

    while read -r line; do
        case $line in
        CONFIG_*=n)
            grep -q "^${line%=n}=" "$1" || continue
            ;;
        CONFIG_*)
            ! grep -qxF -- "$line" "$1" || continue
            ;;
        *)
            continue
            ;;
        esac
        printf 'kernel/build.sh: the configuration lacks the required line %s\n' "$line" >&2
        lacking=1
    done <"$required"
    [ $lacking -eq 0 ] || die "see $required for who needs it, and $defconfig"
}

clean_up() {
    trap '' INT TERM HUP
    if [ -n "$make_pid" ]; then
        kill "$make_pid" 2>/dev/null || :
        wait "$make_pid" 2>/dev/null || :
    fi
    [ -z "$work" ] || rm -rf "$work"
}

# Leaves out code that this configuration never compiles, a third of the tree;
# the makefiles and Kconfig files beside it must be there.
unpack() {
    local dir exclude=()

    for dir in drivers/gpu drivers/media drivers/net/ethernet drivers/net/wireless drivers/staging sound; do
        exclude+=(--exclude="$package/$dir/*.[chS]")
    done
    tar -xf "$tarball" -C "$work" --strip-components=1 "${exclude[@]}" \
        --exclude="$package/Documentation/*.[rstyv]*" \
        --exclude="$package/arch/*.dts*" \
        --exclude="$package/tools/perf" \
        --exclude="$package/tools/testing"
}

show_progress() {
    local log=$1 begin=$2 done_steps percent shown=-1 line

    while kill -0 "$make_pid" 2>/dev/null; do
        done_steps=$(wc -l <"$log")
        percent=$((done_steps * 100 / steps_expected))
        [ $percent -le 99 ] || percent=99
        line="compiling: $percent % ($done_steps steps, $((SECONDS - begin)) s)"
        if [ -t 1 ]; then
            printf '\rkernel: %s ' "$line"
        elif [ $((percent / 10)) -gt $shown ]; then
            shown=$((percent / 10))
            say "$line"
        fi
        sleep 1
    done
    [ ! -t 1 ] || printf '\r\033[K'
}

# make with these arguments, its output in $log; a failure is reported and ends.
run_make() {
    local begin=$SECONDS

    make -C "$work" "${flags[@]}" -j"$(nproc)" "$@" >"$log" 2>&1 &
    make_pid=$!
    show_progress "$log" "$begin"
    if ! wait "$make_pid"; then
        make_pid=
        cp "$log" "$cache/failed.log"
        grep -E -B 3 'error|Error|No space' "$log" | tail -n 30 >&2
        die "the kernel does not compile; the whole log is in $cache/failed.log"
    fi
    make_pid=
    say "compiled $* in $((SECONDS - begin)) s"
}

compile() {
    local log=$work/build.log flags

    # In the tree, so that no path of this machine gets into the kernel; dated
    # as the source is.
    flags=(ARCH="$arch" KBUILD_BUILD_USER=volant KBUILD_BUILD_HOST=volant
        KBUILD_BUILD_VERSION=1 "KBUILD_BUILD_TIMESTAMP=$(date -u -r "$work/Makefile")")

    cp "$defconfig" "$work/arch/x86/configs/volant_defconfig"
    make -C "$work" "${flags[@]}" volant_defconfig >"$log" 2>&1 ||
        die "configuring failed: $(tail -n 20 "$log")"
    check_config "$work/.config"
    run_make vmlinux
    finish "$work/result"
    # Room that does not compress, so that what is put there never takes more.
    { printf '%s' "$room_marker"; head -c $((room_size - ${#room_marker})) "$tarball"; } >"$work/room.cpio.raw"
    "$work/scripts/config" --file "$work/.config" --set-str INITRAMFS_SOURCE room.cpio.raw
    run_make olddefconfig
    run_make bzImage
    cp "$work/arch/x86/boot/bzImage" "$work/result/$template"
}

# The stripped kernel and its two companions, into folder $1.
finish() {
    local dir=$1 version compressed

    mkdir "$dir"
    strip -s -o "$dir/$name" "$work/vmlinux"
    chmod 0644 "$dir/$name"
    readelf -n "$dir/$name" 2>/dev/null | grep -q '^  Xen ' ||
        die "the kernel has lost its PVH entry note (readelf -n)"
    version=$(make -s -C "$work" ARCH="$arch" kernelversion)
    compressed=$(zstd -q -19 -T0 -c "$dir/$name" | wc -c)
    cp "$work/.config" "$dir/$name.config"
    printf '{"name":"%s","version":"%s","patches":%s,"key":"%s","sha256":"%s","size":%d,"compressed_size":%d}\n' \
        "$name" "$version" "$(patches_json)" "$key" \
        "$(sha256sum "$dir/$name" | cut -d ' ' -f 1)" "$(stat -c %s "$dir/$name")" "$compressed" \
        >"$dir/$name.json"
}

# Work folders whose lock nobody holds any more.
sweep() {
    local stale lock

    for stale in "$cache"/*.build; do
        [ -d "$stale" ] || continue
        exec {lock}>"${stale%.build}.lock"
        if flock -n "$lock"; then rm -rf "$stale"; fi
        exec {lock}>&-
    done
}

build() {
    local patch_file free

    check_tools
    free=$(df -Pk "$cache" | awk 'NR == 2 { print int($4 / 1024) }')
    [ "$free" -ge 3000 ] || die "building needs 3000 MB below $cache, $free MB are free
remedy: make room, or set VOLANT_CACHE_DIR to a folder on another disk"
    work=$cache/$key.build
    rm -rf "$work"
    mkdir "$work"
    say "building $name from $package $(source_version); about 5 minutes on 2 cores"
    unpack
    while read -r patch_file; do
        patch -s -p1 -d "$work" <"$patch_file" || die "$patch_file does not apply to $package"
    done < <(patch_files)
    compile
    rm -rf "${cache:?}/$key"
    mv "$work/result" "$cache/$key"
    rm -rf "$work"
    work=
}

# Copies one file by rename, and leaves alone what is the same already.
publish() {
    local from=$cache/$key/$1 to=$output/$1 tmp

    if cmp -s "$from" "$to"; then return; fi
    tmp=$(mktemp "$output/.$1.XXXXXX")
    if ! cp --reflink=auto "$from" "$tmp"; then
        rm -f "$tmp"
        die "cannot write $to"
    fi
    chmod 0644 "$tmp"
    mv -f "$tmp" "$to"
}

json_number() {
    sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" "$cache/$key/$name.json"
}

json_string() {
    sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" "$cache/$key/$name.json"
}

complete() {
    [ -s "$cache/$key/$template" ] && [ -s "$cache/$key/$name.json" ] && [ -s "$cache/$key/$name.config" ] &&
        [ "$(stat -c %s "$cache/$key/$name" 2>/dev/null)" = "$(json_number size)" ]
}

main() {
    local origin='from the cache' lock

    while [ $# -gt 0 ]; do
        case $1 in
        --output)
            [ $# -ge 2 ] || die '--output needs a folder'
            output=$2
            shift
            ;;
        --key)
            compute_key
            return
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

    key=$(compute_key)
    readonly key
    mkdir -p "$cache" "$output"
    output=$(cd "$output" && pwd)
    if ! complete; then
        trap clean_up EXIT
        trap 'exit 130' INT
        trap 'exit 143' TERM HUP
        sweep
        exec {lock}>"$cache/$key.lock"
        if ! flock -n "$lock"; then
            say "another build of the same kernel is under way: waiting for it"
            flock "$lock"
        fi
        if ! complete; then
            build
            origin="built in $SECONDS s"
        fi
        exec {lock}>&-
    fi
    check_config "$cache/$key/$name.config"
    publish "$name"
    publish "$name.config"
    publish "$name.json"
    publish "$template"
    say "$output/$name ($origin)"
    say "Linux $(json_string version), $(json_number size) bytes," \
        "$(json_number compressed_size) with zstd -19, key $key"
}

main "$@"
