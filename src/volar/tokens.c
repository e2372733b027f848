/* SPDX-License-Identifier: Apache-2.0 */
/* The commands about tokens. */
#include <stdio.h>

#include "model/schema.h"
#include "volar/api.h"
#include "volar/output.h"
#include "volar/volar.h"

#define CALL_S 30

#define NAMES_MAX 64

static const char *role;

const struct opt tokens_create_opts[] = {
    {"role", 'r', OPT_STRING, "ROLE", "what it may do: read, operate or admin (required)", 0, 0, &role},
    VOLAR_GLOBAL,
    {0},
};

static int create(struct volar *v, const char *name, struct vl_error *err)
{
    json_auto_t *request = json_pack("{s:s, s:s}", "name", name, "role", role), *j = NULL;
    auto_free char *body = request ? json_text(request) : NULL;
    int r;

    if (!body) return vl_fail_errno(err, ENOMEM, "token");
    if ((r = api_json(v, "POST", "/api/v1/tokens", body, CALL_S, &j, err)) < 0) return r;
    if (volar_json(v)) return print_json(j);
    (void)fprintf(stderr, "Token %s created; this is the only time that it is shown:\n", name);
    return puts(text_at(j, NULL, "token")) < 0 ? -EIO : 0;
}

int tokens_create(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    struct vl_error err = {0};
    const char *name;
    size_t n;
    int r = volar_begin(v, argc, argv, &name, 1, 1, &n);

    if (r >= 0) return r;
    if ((r = volar_check_name(v, "token", name)) != EXIT_DONE) return r;
    if (!role || (!str_eq(role, "read") && !str_eq(role, "operate") && !str_eq(role, "admin"))) {
        (void)vl_fail(&err, VL_INVALID, "name what it may do: --role read, --role operate or --role admin");
        return volar_misuse(v, &err);
    }
    return create(v, name, &err) < 0 ? volar_fail(&err) : EXIT_DONE;
}

int tokens_list(void *ctx, int argc, char *const *argv)
{
    static const char *const header[] = {"NAME", "ROLE", "CREATED"};
    struct volar *v = ctx;
    struct vl_error err = {0};
    json_auto_t *list = NULL;
    auto_table t = {0};
    const json_t *token;
    size_t i, n;
    int r = volar_begin(v, argc, argv, NULL, 0, 0, &n);

    if (r >= 0) return r;
    if (api_json(v, "GET", "/api/v1/tokens", NULL, CALL_S, &list, &err) < 0) return volar_fail(&err);
    if (volar_json(v)) return print_json(list) < 0 ? EXIT_FAILED : EXIT_DONE;
    if (json_array_size(list) == 0) return puts("No tokens") < 0 ? EXIT_FAILED : EXIT_DONE;
    table_begin(&t, header, ARRAY_LEN(header));
    json_array_foreach(list, i, token)
    {
        table_add(&t, text_at(token, NULL, "name"));
        table_add(&t, text_at(token, NULL, "role"));
        table_add(&t, text_at(token, NULL, "created_at"));
    }
    return table_print(&t, stdout) < 0 ? EXIT_FAILED : EXIT_DONE;
}

static int end_one(struct volar *v, const char *name)
{
    struct vl_error err = {0};
    char path[128];

    (void)strf(path, sizeof(path), "/api/v1/tokens/%s", name);
    if (api_call(v, "DELETE", path, NULL, CALL_S, NULL, &err) < 0) return volar_fail(&err);
    if (!volar_json(v)) printf("Token %s revoked\n", name);
    return EXIT_DONE;
}

int tokens_revoke(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    const char *names[NAMES_MAX];
    size_t n;
    int r = volar_begin(v, argc, argv, names, 1, NAMES_MAX, &n), code = EXIT_DONE;

    if (r >= 0) return r;
    for (size_t i = 0; i < n; i++)
        if ((r = volar_check_name(v, "token", names[i])) != EXIT_DONE) return r;
    for (size_t i = 0; i < n; i++)
        if ((r = end_one(v, names[i])) != EXIT_DONE) code = r;
    return code;
}
