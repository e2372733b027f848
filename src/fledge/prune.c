/* SPDX-License-Identifier: Apache-2.0 */
/* `fledge prune`. */
#include <inttypes.h>
#include <stdio.h>

#include "fledge/command.h"
#include "oci/cache.h"

static bool all;
static const char *max_size;
const struct opt prune_opts[] = {
    {"all", 'a', OPT_FLAG, NULL, "Remove everything", 0, 0, &all},
    {"max", 0, OPT_STRING, "SIZE", "Keep at most this much, what was used last (default: 10G)", 0, 0, &max_size},
    GLOBAL,
    {0},
};

static int prune(uint64_t max, struct oci_pruned *ret, struct vl_error *err)
{
    auto_(oci_cache_closep) struct oci_cache *cache = NULL;
    int r;

    if ((r = oci_cache_open(NULL, &cache, err)) < 0) return r;
    return oci_cache_prune(cache, max, ret, err);
}

int command_prune(void *ctx, int argc, char *const *argv)
{
    struct vl_error err = {0};
    struct oci_pruned done = {0};
    uint64_t max = OCI_CACHE_MAX;
    char removed[24], left[24];
    int code;

    if ((code = cli_parse(ctx, argc, argv, NULL)) >= 0) return code;
    if (max_size && parse_size(max_size, &max) < 0)
        return cli_report("--max is no size: write bytes, or such as 500M or 2G", EXIT_MISUSE);
    if (prune(all ? 0 : max, &done, &err) < 0) return cli_report(err.msg, EXIT_FAILED);
    cli_size(done.bytes, removed);
    cli_size(done.left, left);
    if (!cli_quiet) (void)printf("Removed %" PRIu64 " files, %s; %s are left\n", done.files, removed, left);
    return EXIT_DONE;
}
