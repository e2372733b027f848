/* SPDX-License-Identifier: Apache-2.0 */
/* What fledge's commands share: global options, messages, the signal that ends them. */
#pragma once
#include <signal.h>

#include "base/opt.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_MISUSE = 2 };

extern bool cli_verbose, cli_quiet;
extern volatile sig_atomic_t cli_stop; /* the signal's number */
extern const struct opt global_opts[];
#define GLOBAL                                                                                                         \
    {                                                                                                                  \
        .name = "", .type = OPT_TABLE, .dest = (void *)global_opts                                                     \
    }

/* To stderr; gives `code`. */
int cli_report(const char *msg, int code);
/* -1 to go on, or the exit code. *ret_operand (NULL: none is allowed) stays where none is given. */
int cli_parse(const struct command *command, int argc, char *const *argv, const char **ret_operand);
/* On a terminal, what is being done now in one line, which cli_progress_end takes away. */
void cli_progress(void *arg, const char *line);
bool cli_progress_wanted(void);
void cli_progress_end(void);
void cli_size(uint64_t bytes, char buf[static 24]);

/* The commands, each in a file of its own. */
int command_build(void *ctx, int argc, char *const *argv);
int command_init(void *ctx, int argc, char *const *argv);
int command_inspect(void *ctx, int argc, char *const *argv);
int command_prune(void *ctx, int argc, char *const *argv);
int command_schema(void *ctx, int argc, char *const *argv);
int command_validate(void *ctx, int argc, char *const *argv);
extern const struct opt build_command_opts[], init_opts[], inspect_opts[], prune_opts[], schema_opts[], validate_opts[];
