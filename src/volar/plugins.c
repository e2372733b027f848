/* SPDX-License-Identifier: Apache-2.0 */
/* The commands about plugins. */
#include <stdio.h>
#include <string.h>

#include "model/schema.h"
#include "volar/api.h"
#include "volar/manifest_file.h"
#include "volar/output.h"
#include "volar/volar.h"

#define CALL_S    30
#define INSTALL_S 300   /* a large archive is verified and unpacked */
#define FETCH_S   86700 /* volantd gets it, and has the deadline (VOLANT_FETCH_TIMEOUT) */

static const char *manifest_path, *manifest_url;

const struct opt plugins_install_opts[] = {
    {"manifest", 'm', OPT_STRING, "FILE", "the manifest that `fledge build` wrote", 0, 0, &manifest_path},
    {"url", 0, OPT_STRING, "URL", "where the manifest is, by http or https", 0, 0, &manifest_url},
    VOLAR_GLOBAL,
    {0},
};

/* --- install ---------------------------------------------------------------------------------------------------------
 */

int artifact_send(struct volar *v, const struct manifest_file *m, struct vl_error *err)
{
    char path[128], label[96];
    int r;

    if (!*m->artifact) return 0;
    (void)strf(path, sizeof(path), "/api/v1/blobs/sha256:%s", m->hex);
    if ((r = api_exists(v, path, err)) != 0) return r < 0 ? r : 0;
    (void)strf(label, sizeof(label), "sending %s", m->name);
    return api_upload(v, path, m->fd, m->size, label, err);
}

int plugin_install_file(struct volar *v, const struct manifest_file *m, struct vl_error *err)
{
    auto_free char *body = NULL;
    int r;

    if ((r = artifact_send(v, m, err)) < 0) return r;
    if (!(body = json_text(m->json))) return vl_fail_errno(err, ENOMEM, "manifest");
    return api_call(v, "POST", "/api/v1/plugins", body, m->remote ? FETCH_S : INSTALL_S, NULL, err);
}

static int install(struct volar *v, const char *from, struct vl_error *err)
{
    auto_manifest_file m = {.fd = -1};
    int r = is_web_url(from) ? manifest_url_read(from, &m, err) : manifest_file_read(from, &m, err);

    if (r < 0 || (r = plugin_install_file(v, &m, err)) < 0) return r;
    if (!volar_json(v)) printf("Plugin %s %s installed\n", m.name, m.version);
    return 0;
}

/* "<https://...>", as mails and chats write it, without its marks; the caller's, NULL: no memory. */
static char *unmarked(const char *s)
{
    size_t n = strlen(s);

    return n > 2 && s[0] == '<' && s[n - 1] == '>' && is_web_url(s + 1) ? strndup(s + 1, n - 2) : strdup(s);
}

int plugins_install(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    struct vl_error err = {0};
    const char *operand = NULL;
    auto_free char *from = NULL;
    size_t n;
    int r = volar_begin(v, argc, argv, &operand, 0, 1, &n);

    if (r >= 0) return r;
    if ((n > 0) + (manifest_path != NULL) + (manifest_url != NULL) != 1) {
        (void)vl_fail(&err, VL_INVALID, "name one manifest: volar plugins install --manifest FILE, or --url URL");
        return volar_misuse(v, &err);
    }
    if (!(from = unmarked(n > 0 ? operand : manifest_path ? manifest_path : manifest_url))) return EXIT_FAILED;
    if (manifest_url && !is_web_url(from)) {
        (void)vl_fail(&err, VL_INVALID,
                      "--url is '%.80s': write http://HOST/... or https://HOST/...; a file is --manifest", from);
        return volar_misuse(v, &err);
    }
    return install(v, from, &err) < 0 ? volar_fail(&err) : EXIT_DONE;
}

/* --- list and show ---------------------------------------------------------------------------------------------------
 */

static int plugin_json(struct volar *v, const char *name, json_t **ret, struct vl_error *err)
{
    char path[128];

    (void)strf(path, sizeof(path), "/api/v1/plugins/%s", name);
    return api_json(v, "GET", path, NULL, CALL_S, ret, err);
}

int plugins_list(void *ctx, int argc, char *const *argv)
{
    static const char *const header[] = {"NAME", "VERSION", "ENABLED", "RUNTIME"};
    struct volar *v = ctx;
    struct vl_error err = {0};
    json_auto_t *j = NULL, *none = json_array();
    auto_table t = {0};
    const json_t *list, *p;
    size_t n, i;
    int r = volar_begin(v, argc, argv, NULL, 0, 0, &n);

    if (r >= 0) return r;
    if (api_json(v, "GET", "/api/v1/system/summary", NULL, CALL_S, &j, &err) < 0) return volar_fail(&err);
    if (!json_is_array(list = json_object_get(j, "plugins"))) list = none;
    if (volar_json(v)) return print_json(list) < 0 ? EXIT_FAILED : EXIT_DONE;
    if (json_array_size(list) == 0) return puts("No plugins installed") < 0 ? EXIT_FAILED : EXIT_DONE;
    table_begin(&t, header, ARRAY_LEN(header));
    json_array_foreach(list, i, p)
    {
        table_add(&t, text_at(p, NULL, "name"));
        table_add(&t, text_at(p, NULL, "version"));
        table_add(&t, json_is_true(json_object_get(p, "enabled")) ? "yes" : "no");
        table_add(&t, text_at(p, NULL, "runtime"));
    }
    return table_print(&t, stdout) < 0 ? EXIT_FAILED : EXIT_DONE;
}

static int one_name(struct volar *v, int argc, char *const *argv, const char **ret)
{
    size_t n;
    int r = volar_begin(v, argc, argv, ret, 1, 1, &n);

    return r >= 0 ? r : (r = volar_check_name(v, "plugin", *ret)) != EXIT_DONE ? r : -1;
}

int plugins_show(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    struct vl_error err = {0};
    json_auto_t *j = NULL;
    const char *name;
    int r = one_name(v, argc, argv, &name);

    if (r >= 0) return r;
    if (plugin_json(v, name, &j, &err) < 0) return volar_fail(&err);
    return print_json(j) < 0 ? EXIT_FAILED : EXIT_DONE;
}

/* --- enable, disable, remove
 * ------------------------------------------------------------------------------------------ */

static int change(struct volar *v, int argc, char *const *argv, const char *method, const char *suffix,
                  const char *body, const char *said)
{
    struct vl_error err = {0};
    const char *name;
    char path[128];
    int r = one_name(v, argc, argv, &name);

    if (r >= 0) return r;
    (void)strf(path, sizeof(path), "/api/v1/plugins/%s%s", name, suffix);
    if (api_call(v, method, path, body, CALL_S, NULL, &err) < 0) return volar_fail(&err);
    if (!volar_json(v)) printf("Plugin %s %s\n", name, said);
    return EXIT_DONE;
}

int plugins_enable(void *ctx, int argc, char *const *argv)
{
    return change(ctx, argc, argv, "POST", "/enabled", "{\"enabled\": true}", "enabled");
}

int plugins_disable(void *ctx, int argc, char *const *argv)
{
    return change(ctx, argc, argv, "POST", "/enabled", "{\"enabled\": false}", "disabled");
}

int plugins_remove(void *ctx, int argc, char *const *argv)
{
    return change(ctx, argc, argv, "DELETE", "", NULL, "removed");
}
