/* SPDX-License-Identifier: Apache-2.0 */
/* What every command of volar gets, and how it begins and ends. Data goes to stdout, all else to stderr. */
#pragma once
#include <signal.h>

#include "base/opt.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_MISUSE = 2 };

struct api;

struct volar {
    const char *api_url; /* --api; NULL: found */
    const char *output;  /* "table" or "json" */
    const struct command *command;
    struct api *api;                   /* connected to at the first call */
    const volatile sig_atomic_t *stop; /* set: an upload ends; NULL: it does not */
};

/* Options that every command takes; their destinations are in `volar_globals`. */
extern const struct opt volar_global_opts[];
extern struct volar volar_globals;
/* Ends every command's option table. */
#define VOLAR_GLOBAL                                                                                                   \
    {                                                                                                                  \
        .name = "", .type = OPT_TABLE, .dest = (void *)volar_global_opts                                               \
    }

/*
 * Parses what follows the command's name. Gives -1 to go on, or the exit code to return at once (help was shown, or a
 * mistake reported). operands has room for max.
 */
int volar_begin(struct volar *v, int argc, char *const *argv, const char **operands, size_t min, size_t max, size_t *n);
/* "volar: <text>" on stderr; EXIT_FAILED. */
int volar_fail(const struct vl_error *err);
/* The same with a hint at --help; EXIT_MISUSE. */
int volar_misuse(const struct volar *v, const struct vl_error *err);
bool volar_json(const struct volar *v);
/* An operand that names a VM or plugin: good, or EXIT_MISUSE with the reason shown. */
int volar_check_name(const struct volar *v, const char *what, const char *name);

/* One file per noun or operation. */
extern const struct opt vms_create_opts[], vms_config_get_opts[], vms_config_set_opts[], vms_config_history_opts[],
    vms_config_rollback_opts[], vms_scale_opts[], deployments_get_opts[], vms_wait_opts[], vms_logs_opts[],
    vms_console_opts[], plugins_install_opts[], deployments_create_opts[], deployments_update_opts[],
    deployments_scale_opts[], deployments_rollback_opts[], system_backup_opts[], doctor_opts[], run_opts[],
    events_opts[], tokens_create_opts[], artifacts_prune_opts[], no_opts[];

int run(void *ctx, int argc, char *const *argv);
int mcp(void *ctx, int argc, char *const *argv);
int vms_create(void *ctx, int argc, char *const *argv);
int vms_list(void *ctx, int argc, char *const *argv);
int vms_get(void *ctx, int argc, char *const *argv);
int vms_start(void *ctx, int argc, char *const *argv);
int vms_stop(void *ctx, int argc, char *const *argv);
int vms_restart(void *ctx, int argc, char *const *argv);
int vms_pause(void *ctx, int argc, char *const *argv);
int vms_unpause(void *ctx, int argc, char *const *argv);
int vms_delete(void *ctx, int argc, char *const *argv);
int vms_config_get(void *ctx, int argc, char *const *argv);
int vms_config_set(void *ctx, int argc, char *const *argv);
int vms_config_history(void *ctx, int argc, char *const *argv);
int vms_config_rollback(void *ctx, int argc, char *const *argv);
int vms_logs(void *ctx, int argc, char *const *argv);
int vms_console(void *ctx, int argc, char *const *argv);
int deployments_create(void *ctx, int argc, char *const *argv);
int deployments_list(void *ctx, int argc, char *const *argv);
int deployments_get(void *ctx, int argc, char *const *argv);
int deployments_scale(void *ctx, int argc, char *const *argv);
int vms_scale(void *ctx, int argc, char *const *argv);
int deployments_update(void *ctx, int argc, char *const *argv);
int deployments_rollback(void *ctx, int argc, char *const *argv);
int deployments_history(void *ctx, int argc, char *const *argv);
int deployments_delete(void *ctx, int argc, char *const *argv);
int plugins_install(void *ctx, int argc, char *const *argv);
int plugins_list(void *ctx, int argc, char *const *argv);
int plugins_show(void *ctx, int argc, char *const *argv);
int plugins_enable(void *ctx, int argc, char *const *argv);
int plugins_disable(void *ctx, int argc, char *const *argv);
int plugins_remove(void *ctx, int argc, char *const *argv);
int tokens_create(void *ctx, int argc, char *const *argv);
int tokens_list(void *ctx, int argc, char *const *argv);
int tokens_revoke(void *ctx, int argc, char *const *argv);
int artifacts_list(void *ctx, int argc, char *const *argv);
int artifacts_prune(void *ctx, int argc, char *const *argv);
int system_info(void *ctx, int argc, char *const *argv);
int system_backup(void *ctx, int argc, char *const *argv);
int system_restore(void *ctx, int argc, char *const *argv);
int events(void *ctx, int argc, char *const *argv);
int doctor(void *ctx, int argc, char *const *argv);
