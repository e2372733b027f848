/* SPDX-License-Identifier: Apache-2.0 */
/* Listing and showing deployments, and the operations that take a name. */
#include "volar/deployments.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "model/deployment.h"
#include "volar/api.h"
#include "volar/output.h"

#define CALL_S    30
#define DELETE_S  60 /* volantd answers within 30 */
#define NAMES_MAX 256

int deployment_operand(struct volar *v, int argc, char *const *argv, const char **ret)
{
    size_t n;
    int r = volar_begin(v, argc, argv, ret, 1, 1, &n);

    return r >= 0 ? r : (r = volar_check_name(v, "deployment", *ret)) != EXIT_DONE ? r : -1;
}

/* --- list and get ------------------------------------------------------------------------------------------------- */

/* "42s", "7m", "3h", "12d"; "" if it cannot be read. */
static void age_text(const char *created_at, char buf[static 24])
{
    struct tm tm = {0};
    int64_t s;

    buf[0] = '\0';
    if (!strptime(created_at, "%Y-%m-%dT%H:%M:%S", &tm)) return;
    s = wall_ms() / 1000 - (int64_t)timegm(&tm);
    if (s < 0) s = 0;
    (void)strf(buf, 24, "%lld%s",
               (long long)(s < 120      ? s
                           : s < 7200   ? s / 60
                           : s < 172800 ? s / 3600
                                        : s / 86400),
               s < 120      ? "s"
               : s < 7200   ? "m"
               : s < 172800 ? "h"
                            : "d");
}

static void list_row(struct table *t, const json_t *d)
{
    char age[24];

    age_text(text_at(d, NULL, "created_at"), age);
    table_add(t, text_at(d, NULL, "name"));
    table_addf(t, "%lld", number_at(d, NULL, "desired_replicas"));
    table_addf(t, "%lld", number_at(d, NULL, "ready_replicas"));
    table_addf(t, "%lld", number_at(d, NULL, "updated_replicas"));
    table_addf(t, "%lld", number_at(d, NULL, "version"));
    table_add(t, text_at(d, NULL, "status"));
    table_add(t, age);
}

int deployments_list(void *ctx, int argc, char *const *argv)
{
    static const char *const header[] = {"NAME", "DESIRED", "READY", "UP-TO-DATE", "VERSION", "STATUS", "AGE"};
    struct volar *v = ctx;
    struct vl_error err = {0};
    json_auto_t *list = NULL;
    auto_table t = {0};
    const json_t *d;
    size_t n, i;
    int r = volar_begin(v, argc, argv, NULL, 0, 0, &n);

    if (r >= 0) return r;
    if (api_json(v, "GET", "/api/v1/deployments", NULL, CALL_S, &list, &err) < 0) return volar_fail(&err);
    if (volar_json(v)) return print_json(list) < 0 ? EXIT_FAILED : EXIT_DONE;
    if (json_array_size(list) == 0) return puts("No deployments found") < 0 ? EXIT_FAILED : EXIT_DONE;
    table_begin(&t, header, ARRAY_LEN(header));
    json_array_foreach(list, i, d)
    {
        list_row(&t, d);
    }
    return table_print(&t, stdout) < 0 ? EXIT_FAILED : EXIT_DONE;
}

static int print_members(const json_t *members)
{
    static const char *const header[] = {"REPLICA", "STATUS", "READY", "VERSION", "REASON"};
    auto_table t = {0};
    const json_t *m;
    size_t i;

    if (json_array_size(members) == 0) return 0;
    table_begin(&t, header, ARRAY_LEN(header));
    json_array_foreach(members, i, m)
    {
        table_add(&t, text_at(m, NULL, "name"));
        table_add(&t, text_at(m, NULL, "status"));
        table_add(&t, json_is_true(json_object_get(m, "ready")) ? "yes" : "no");
        table_addf(&t, "%lld", number_at(m, NULL, "version"));
        table_add(&t, text_at(m, NULL, "reason"));
    }
    (void)putchar('\n');
    return table_print(&t, stdout);
}

static const char *to_file;
const struct opt deployments_get_opts[] = {
    {"output", 'o', OPT_STRING, "FILE", "write it to this file as JSON (json: to stdout, table: for people)", 0, 0,
     &to_file},
    VOLAR_GLOBAL,
    {0},
};

int deployments_get(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    struct vl_error err = {0};
    json_auto_t *d = NULL;
    const char *name;
    char path[128];
    int r = deployment_operand(v, argc, argv, &name);

    if (r >= 0) return r;
    (void)strf(path, sizeof(path), "/api/v1/deployments/%s", name);
    if (api_json(v, "GET", path, NULL, CALL_S, &d, &err) < 0) return volar_fail(&err);
    if (output_is_file(to_file)) return write_json(d, to_file, &err) < 0 ? volar_fail(&err) : EXIT_DONE;
    if (str_eq(to_file, "json") || volar_json(v)) return print_json(d) < 0 ? EXIT_FAILED : EXIT_DONE;
    print_field("Name", text_at(d, NULL, "name"));
    print_field("Status", text_at(d, NULL, "status"));
    if (*text_at(d, NULL, "reason")) print_field("Reason", text_at(d, NULL, "reason"));
    print_field("Plugin", text_at(d, "config", "plugin"));
    printf("Version: %lld\nReplicas: %lld desired, %lld up to date, %lld ready\n", number_at(d, NULL, "version"),
           number_at(d, NULL, "desired_replicas"), number_at(d, NULL, "updated_replicas"),
           number_at(d, NULL, "ready_replicas"));
    if (number_at(d, NULL, "ended_replicas") > 0)
        printf("Ended: %lld replicas\n", number_at(d, NULL, "ended_replicas"));
    print_field("Created", text_at(d, NULL, "created_at"));
    print_field("Updated", text_at(d, NULL, "updated_at"));
    return print_members(json_object_get(d, "replicas")) < 0 ? EXIT_FAILED : EXIT_DONE;
}

/* --- history ------------------------------------------------------------------------------------------------------ */

static void history_row(struct table *t, const json_t *version)
{
    const json_t *config = json_object_get(version, "config"), *resources = json_object_get(config, "resources");

    table_addf(t, "%lld", number_at(version, NULL, "version"));
    table_add(t, text_at(version, NULL, "updated_at"));
    table_add(t, text_at(config, NULL, "plugin"));
    table_add(t, text_at(json_object_get(config, "manifest"), NULL, "version"));
    table_addf(t, "%lld", number_at(resources, NULL, "cpu_cores"));
    table_addf(t, "%lld", number_at(resources, NULL, "memory_mb"));
    table_add(t, text_at(config, NULL, "restart"));
}

int deployments_history(void *ctx, int argc, char *const *argv)
{
    static const char *const header[] = {"VERSION", "UPDATED", "PLUGIN", "PLUGIN-VERSION", "CPU", "MEM", "RESTART"};
    struct volar *v = ctx;
    struct vl_error err = {0};
    json_auto_t *list = NULL;
    auto_table t = {0};
    const json_t *version;
    const char *name;
    char path[128];
    size_t i;
    int r = deployment_operand(v, argc, argv, &name);

    if (r >= 0) return r;
    (void)strf(path, sizeof(path), "/api/v1/deployments/%s/history", name);
    if (api_json(v, "GET", path, NULL, CALL_S, &list, &err) < 0) return volar_fail(&err);
    if (volar_json(v)) return print_json(list) < 0 ? EXIT_FAILED : EXIT_DONE;
    table_begin(&t, header, ARRAY_LEN(header));
    json_array_foreach(list, i, version)
    {
        history_row(&t, version);
    }
    return table_print(&t, stdout) < 0 ? EXIT_FAILED : EXIT_DONE;
}

/* --- delete ------------------------------------------------------------------------------------------------------- */

static int delete_one(struct volar *v, const char *name, struct vl_error *err)
{
    auto_answer a = {0};
    char path[128];
    int r;

    (void)strf(path, sizeof(path), "/api/v1/deployments/%s", name);
    if ((r = api_call(v, "DELETE", path, NULL, DELETE_S, &a, err)) < 0) return r;
    if (a.status != 204)
        return vl_fail(err, VL_UNAVAILABLE, "deployment '%s' is still being deleted: see `volar deployments get %s`",
                       name, name);
    if (!volar_json(v)) printf("Deployment %s deleted\n", name); /* nothing is left to be described */
    return 0;
}

int deployments_delete(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    const char *names[NAMES_MAX];
    int code = EXIT_DONE, r;
    size_t n;

    if ((r = volar_begin(v, argc, argv, names, 1, NAMES_MAX, &n)) >= 0) return r;
    for (size_t i = 0; i < n; i++)
        if ((r = volar_check_name(v, "deployment", names[i])) != EXIT_DONE) return r;
    for (size_t i = 0; i < n; i++) {
        struct vl_error err = {0};

        if (delete_one(v, names[i], &err) < 0) code = volar_fail(&err);
    }
    return code;
}
