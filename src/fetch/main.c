/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volant-fetch: gets one URL for volantd, which has no HTTP client and no TLS in it, and is root. It is told the URL on
 * stdin (a command line can be read by everybody), writes the bytes to stdout, and why it could not to stderr. What
 * strangers send is read here, where nothing is to be had, and judged there.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/opt.h"
#include "base/str.h"
#include "config.h"
#include "fetch/confine.h"
#include "fetch/download.h"

#define URL_BYTES 8192
enum { DONE = 0, FAILED = 1, MISUSE = 2, NOT_NOW = 3, NOT_EVER = 4 };

static uint64_t uid, timeout_s = 3600, stall_s = 30;
static bool version;

static const struct opt opts[] = {
    {"uid", 0, OPT_U64, "N", "become this user first", 1, UINT32_MAX - 1, &uid},
    {"timeout", 0, OPT_U64, "SECONDS", "for all of it", 1, 86400, &timeout_s},
    {"stall", 0, OPT_U64, "SECONDS", "for a connection that brings nothing", 1, 3600, &stall_s},
    {"version", 0, OPT_FLAG, NULL, "Print the version", 0, 0, &version},
    {0},
};

static const struct command command = {
    .name = "", .operands = "", .summary = "Gets the URL on stdin for volantd, which starts it.", .opts = opts};

static int fail(const struct vl_error *err)
{
    (void)fprintf(stderr, "%s\n", err->msg);
    if (err->kind == VL_UNAVAILABLE) return NOT_NOW;
    return err->kind == VL_INVALID ? NOT_EVER : FAILED;
}

static int fetch(void)
{
    struct download_options o = {
        .deadline_ms = mono_ms() + (int64_t)timeout_s * 1000, .stall_s = (int)stall_s, .out_fd = STDOUT_FILENO};
    auto_free char *url = NULL;
    struct vl_error err = {0};
    int r;

    (void)signal(SIGPIPE, SIG_IGN);
    if ((r = confine((uid_t)uid, &err)) < 0) return fail(&err);
    if ((r = read_all(STDIN_FILENO, URL_BYTES, &url, NULL)) < 0) {
        (void)vl_fail_errno(&err, r, "read the url");
        return fail(&err);
    }
    o.url = url;
    return download(&o, &err) < 0 ? fail(&err) : DONE;
}

#ifdef __SANITIZE_ADDRESS__
/* Its search for leaks would trace us and read /proc, which is no longer ours to do. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return 1;
}
#endif

int main(int argc, char **argv)
{
    const char *operand;
    size_t n_operands = 0;
    bool help = false;
    struct vl_error err = {0};

    if (opt_parse(opts, argc - 1, argv + 1, &operand, 0, &n_operands, &help, &err) < 0) {
        (void)fprintf(stderr, "volant-fetch: %s\n", err.msg);
        return MISUSE;
    }
    if (!help && !version) return fetch();
    if (help)
        command_help(stdout, "volant-fetch", &command, NULL);
    else
        (void)printf("volant-fetch %s\n", VOLANT_VERSION);
    return fflush(stdout) == 0 ? DONE : FAILED;
}
