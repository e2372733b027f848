#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The room for an initramfs in bzImage-template: build.sh links it, bake.sh finds
# and fills it.
# shellcheck disable=SC2034 # used by the two
readonly room_marker=volant-room-for-an-initramfs
readonly room_size=2097152
