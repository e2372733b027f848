/* SPDX-License-Identifier: Apache-2.0 */
/* From the options of `vms create` to the request's body. */
#pragma once
#include <jansson.h>

#include "base/error.h"
#include "base/str.h"

struct create_options {
    const char *plugin, *runtime, *kernel, *restart, *disk_size;
    uint64_t cpu, memory; /* 0: not given */
    struct strv publish, env;
    bool auto_remove, no_start;
    const char *config_file, *kernel_cmdline, *api_host, *api_port; /* NULL: not given */
    const char *initramfs, *initramfs_checksum;                     /* likewise; `vms create` sends it beforehand */
    const json_t *media;                                            /* borrowed: members of the configuration for it */
    char *const *command;                                           /* NULL-terminated; NULL: the image's */
};
/* Rows of the option tables of `vms create` and `run`. */
#define CREATE_OPTS(o)                                                                                                 \
    {"cpu", 'c', OPT_U64, "N", "vCPUs (default: the manifest's, else 1)", 1, CPU_CORES_MAX, &(o).cpu},                 \
        {"memory",      'm',           OPT_U64,    "MB", "memory (default: the manifest's, else 256)",                 \
         MEMORY_MB_MIN, MEMORY_MB_MAX, &(o).memory},                                                                   \
        {"publish",                                                                                                    \
         'p',                                                                                                          \
         OPT_LIST,                                                                                                     \
         "PORTS",                                                                                                      \
         "publish a guest port: [IP:]HOST:GUEST[/proto], or GUEST[/proto] and volantd picks the host port; may be "    \
         "given again",                                                                                                \
         0,                                                                                                            \
         0,                                                                                                            \
         &(o).publish},                                                                                                \
        {"env",                                                                                                        \
         'e',                                                                                                          \
         OPT_LIST,                                                                                                     \
         "NAME=VALUE",                                                                                                 \
         "set a variable of the workload; NAME alone takes it from here; may be given again",                          \
         0,                                                                                                            \
         0,                                                                                                            \
         &(o).env},                                                                                                    \
        {"disk-size",                                                                                                  \
         0,                                                                                                            \
         OPT_STRING,                                                                                                   \
         "SIZE",                                                                                                       \
         "what it changes in its disk image goes to a disk of its own, which stays as long as the VM: 64M to 16T "     \
         "(default: memory has it, until it ends)",                                                                    \
         0,                                                                                                            \
         0,                                                                                                            \
         &(o).disk_size},                                                                                              \
        {"rm", 0, OPT_FLAG, NULL, "delete the VM a moment after it has ended", 0, 0, &(o).auto_remove},                \
    {                                                                                                                  \
        "restart", 0, OPT_STRING, "POLICY",                                                                            \
            "boot it again when it ends: no, on-failure or always (default: the manifest's, else no)", 0, 0,           \
            &(o).restart                                                                                               \
    }
void create_options_done(struct create_options *o);
/* Adds each of --publish to a configuration's `expose`. VL_INVALID names the option. */
int create_add_ports(json_t *expose, const struct strv *publish, struct vl_error *err);
/* The JSON text is the caller's. VL_INVALID names --publish or --env. */
int create_body(const char *name, const struct create_options *o, char **ret, struct vl_error *err);
