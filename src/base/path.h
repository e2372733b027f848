/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where state lives. As root: /etc/volant, /var/lib/volant, /run/volant; else the XDG folders (XDG_RUNTIME_DIR missing:
 * `run` below the state folder). VOLANT_STATE_DIR and VOLANT_RUNTIME_DIR move both. Nothing is created here.
 */
#pragma once
#include "base/error.h"

struct paths {
    char config_file[256]; /* .../volantd.conf */
    char state_dir[256];
    char runtime_dir[256];
    char socket[108]; /* <runtime_dir>/volantd.sock */
};
/*
 * Environment only; a relative VOLANT_* path is VL_INVALID, as is a socket path over 107 bytes. Without HOME (and
 * XDG_CONFIG_HOME) config_file is "".
 */
int paths_find(struct paths *ret, struct vl_error *err);
/* The same with folders from a flag or a file, which win over VOLANT_STATE_DIR and VOLANT_RUNTIME_DIR where not NULL.
 */
int paths_find_for(const char *state_dir, const char *runtime_dir, struct paths *ret, struct vl_error *err);
/* config_file alone. */
int paths_config_file(char ret[static 256], struct vl_error *err);

/*
 * What follows the folder `dir` in the absolute `path`, without slashes before it ("" for the folder itself); NULL if
 * the path does not begin with it. Text alone: whoever opens it does so by open_within.
 */
const char *path_below(const char *dir, const char *path);

/*
 * The absolute path of a file that is installed with us (`volant-shim`, `kestrel`, `vmlinux-generic`): `override` if
 * not NULL, else beside this program as in a build folder (./, ./kernel/), else ../libexec/volant, ../share/volant from
 * the program's folder, else the configured prefix. VL_INVALID with the places that were tried.
 */
int find_installed(const char *name, const char *override, char *buf, size_t size, struct vl_error *err);
