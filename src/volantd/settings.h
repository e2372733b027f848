/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings: one table gives each its VOLANT_* name, flag, range, default and help. A flag wins over the environment,
 * which wins over the configuration file (KEY=value lines); what is empty counts as not set.
 */
#pragma once
#include "base/log.h"
#include "base/opt.h"
#include "base/path.h"
#include "base/str.h"
#include "net/net.h"
#include "volantd/access.h"
#include "volantd/listen.h"

#define SETTINGS_MAX 48

/* What the command line says, and the table that reads it. */
struct settings_flags {
    const char *text[SETTINGS_MAX]; /* in the order of the table; borrowed from argv */
    const char *config;
    bool version;
    struct opt opts[SETTINGS_MAX + 3];
    char *help[SETTINGS_MAX];
};
/* -ENOMEM; settings_flags_done in any case. f may not be moved afterwards, as opts points into it. */
int settings_flags_init(struct settings_flags *f);
void settings_flags_done(struct settings_flags *f);

struct settings {
    struct paths paths;
    char *db_path;
    char *listen;    /* NULL: no TCP */
    char *advertise; /* NULL: as it listens */
    struct listen_addr listen_addr;
    struct access_rules access;
    struct subnet subnet;
    char *kernel, *rootfs_kernel, *shim, *qemu; /* NULL: in the usual places */
    char *cgroup;                               /* for vmm_cgroups_begin */
    struct strv kernel_dirs, media_dirs;
    uint64_t fetch_timeout_s;
    uint64_t uid_base, boot_timeout_s, stop_timeout_s, quit_timeout_s, term_timeout_s, hang_timeout_s;
    uint64_t boot_width; /* 0: twice the cores */
    uint64_t restart_delay_ms, restart_limit, restart_stable_s;
    uint64_t memory_percent, vcpus_per_core, disk_reserve_mb;
    enum log_level log_level;
};
void settings_done(struct settings *s);
#define auto_settings auto_(settings_done) struct settings

/*
 * Flags, `env` (secure_getenv), file. VL_INVALID names flag, variable, or file and line, what is allowed, and the
 * remedy. `warnings` gets a text for each setting that is accepted without effect.
 */
int settings_load(const struct settings_flags *f, const char *(*env)(const char *name), struct settings *ret,
                  struct strv *warnings, struct vl_error *err);
