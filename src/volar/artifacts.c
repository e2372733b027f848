/* SPDX-License-Identifier: Apache-2.0 */
/* The commands about what volantd keeps for plugins to boot from. */
#include <stdio.h>

#include "volar/api.h"
#include "volar/output.h"
#include "volar/volar.h"

#define CALL_S  30
#define PRUNE_S 600

static struct {
    bool dry_run, all;
} flags;
const struct opt artifacts_prune_opts[] = {
    {.name = "dry-run", .type = OPT_FLAG, .dest = &flags.dry_run, .help = "Say what would be removed, remove nothing"},
    {.name = "all",
     .type = OPT_FLAG,
     .dest = &flags.all,
     .help = "Also what came within the last hour, which somebody may be about to install"},
    VOLAR_GLOBAL,
    {0},
};

static void add_size(struct table *t, const json_t *artifact)
{
    char size[24];

    size_text((uint64_t)number_at(artifact, NULL, "size_bytes"), size);
    table_add(t, text_at(artifact, NULL, "digest"));
    table_add(t, size);
}

int artifacts_list(void *ctx, int argc, char *const *argv)
{
    static const char *const header[] = {"DIGEST", "SIZE", "USED"};
    struct volar *v = ctx;
    struct vl_error err = {0};
    json_auto_t *all = NULL;
    auto_table t = {0};
    const json_t *one;
    size_t i, n;
    int r = volar_begin(v, argc, argv, NULL, 0, 0, &n);

    if (r >= 0) return r;
    if (api_json(v, "GET", "/api/v1/artifacts", NULL, CALL_S, &all, &err) < 0) return volar_fail(&err);
    if (volar_json(v)) return print_json(all) < 0 ? EXIT_FAILED : EXIT_DONE;
    if (json_array_size(all) == 0) return puts("No artifacts") < 0 ? EXIT_FAILED : EXIT_DONE;
    table_begin(&t, header, ARRAY_LEN(header));
    json_array_foreach(all, i, one)
    {
        add_size(&t, one);
        table_add(&t, json_is_true(json_object_get(one, "used")) ? "yes" : "no");
    }
    return table_print(&t, stdout) < 0 ? EXIT_FAILED : EXIT_DONE;
}

static int print_pruned(const json_t *reply)
{
    static const char *const header[] = {"DIGEST", "SIZE"};
    const json_t *removed = json_object_get(reply, "removed");
    long long fresh = number_at(reply, NULL, "fresh");
    auto_table t = {0};
    char size[24];

    table_begin(&t, header, ARRAY_LEN(header));
    for (size_t i = 0; i < json_array_size(removed); i++)
        add_size(&t, json_array_get(removed, i));
    if (json_array_size(removed) > 0 && table_print(&t, stdout) < 0) return EXIT_FAILED;
    size_text((uint64_t)number_at(reply, NULL, "bytes_freed"), size);
    printf("%zu artifacts %s, %s\n", json_array_size(removed), flags.dry_run ? "would be removed" : "removed", size);
    if (fresh > 0) printf("%lld that nobody refers to came within the last hour: --all removes them too\n", fresh);
    return EXIT_DONE;
}

int artifacts_prune(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    struct vl_error err = {0};
    json_auto_t *reply = NULL;
    char body[64];
    size_t n;
    int r = volar_begin(v, argc, argv, NULL, 0, 0, &n);

    if (r >= 0) return r;
    (void)strf(body, sizeof(body), "{\"dry_run\": %s, \"all\": %s}", flags.dry_run ? "true" : "false",
               flags.all ? "true" : "false");
    if (api_json(v, "POST", "/api/v1/artifacts/prune", body, PRUNE_S, &reply, &err) < 0) return volar_fail(&err);
    if (volar_json(v)) return print_json(reply) < 0 ? EXIT_FAILED : EXIT_DONE;
    return print_pruned(reply);
}
