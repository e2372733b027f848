/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of contract section 3 that a table cannot say, on a decoded manifest. Each refusal names field and remedy.
 */
#include <string.h>

#include "model/manifest_rules.h"

#define ID_MAX 4294967294u /* one more is "no change" to chown(2) and setuid(2) */

#define ACCOUNT_CHARS "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.-_"

int text_settle(char **slot, const char *path, struct vl_error *err)
{
    char shown[QUOTED_SIZE];

    trim_field(slot);
    if (!*slot || !has_control(*slot)) return 0;
    return vl_fail(err, VL_INVALID, "%s is %s: remove the control characters", path, quoted(*slot, shown));
}

static int set_default(char **slot, const char *text, struct vl_error *err)
{
    if (!*slot && string_set(slot, text) < 0) return vl_fail_errno(err, ENOMEM, "decode manifest");
    return 0;
}

static int settle_identity(struct manifest *m, struct vl_error *err)
{
    char shown[QUOTED_SIZE];
    const char *problem;
    int r;

    trim_field(&m->name);
    if (!m->name) return vl_fail(err, VL_INVALID, "name must not be empty");
    if ((problem = name_problem(m->name)))
        return vl_fail(err, VL_INVALID, "name %s %s", quoted(m->name, shown), problem);
    if ((r = text_settle(&m->version, "version", err)) < 0) return r;
    if (!m->version) return vl_fail(err, VL_INVALID, "version must not be empty: write one, such as \"1.0.0\"");
    if ((r = text_settle(&m->runtime, "runtime", err)) < 0) return r;
    if ((r = text_settle(&m->schema_version, "schema_version", err)) < 0) return r;
    if ((r = set_default(&m->runtime, m->name, err)) < 0) return r;
    return set_default(&m->schema_version, "1.0", err);
}

static int settle_labels(struct manifest *m, struct vl_error *err)
{
    for (size_t i = 0; i < m->labels.len; i++)
        trim_text(m->labels.items[i].value);
    if (strmap_set(&m->labels, "volant.plugin", m->name) < 0 ||
        strmap_set(&m->labels, "volant.runtime", m->runtime) < 0)
        return vl_fail_errno(err, ENOMEM, "decode manifest");
    return 0;
}

static int settle_type(struct workload *w, struct vl_error *err)
{
    char shown[QUOTED_SIZE];
    struct base_url url;
    int r;

    trim_field(&w->type);
    trim_field(&w->base_url);
    lower_case(w->type);
    if ((r = set_default(&w->type, w->base_url ? "http" : "exec", err)) < 0) return r;
    if (!str_eq(w->type, "http") && !str_eq(w->type, "exec"))
        return vl_fail(err, VL_INVALID, "workload.type is %s, allowed: http, exec", quoted(w->type, shown));
    if (!w->base_url && str_eq(w->type, "http"))
        return vl_fail(
            err, VL_INVALID,
            "workload.base_url is missing: write http://127.0.0.1:PORT, or type \"exec\" if it serves no HTTP");
    if (w->base_url && base_url_parse(w->base_url, &url) < 0)
        return vl_fail(err, VL_INVALID, "workload.base_url is %s, allowed: http://HOST[:PORT][/path]",
                       quoted(w->base_url, shown));
    return 0;
}

/* Arguments stay as they are, spaces and all; only the program is named without them. */
static int settle_entrypoint(struct workload *w, struct vl_error *err)
{
    char *program = w->entrypoint.items[0];

    trim_text(program);
    if (!*program) return vl_fail(err, VL_INVALID, "workload.entrypoint[0] is blank: name the program to run");
    if ((size_t)w->command_index > w->entrypoint.len)
        return vl_fail(err, VL_INVALID, "workload.command_index is %lld, workload.entrypoint has %zu: at most that",
                       (long long)w->command_index, w->entrypoint.len);
    return 0;
}

int env_check(const struct strmap *env, const char *where, struct vl_error *err)
{
    char shown[QUOTED_SIZE];

    for (size_t i = 0; i < env->len; i++) {
        const char *key = env->items[i].key;

        if (!key[strspn(key, " \t")] || strchr(key, '=') || has_control(key))
            return vl_fail(err, VL_INVALID, "%s has the name %s: use one without '=' and control characters", where,
                           quoted(key, shown));
    }
    return 0;
}

bool path_climbs(const char *path)
{
    for (const char *part = path; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (str_starts(part, "..") && (part[2] == '/' || part[2] == '\0')) return true;
    }
    return false;
}

static int settle_workdir(char **slot, struct vl_error *err)
{
    char shown[QUOTED_SIZE];
    int r;

    if ((r = text_settle(slot, "workload.workdir", err)) < 0) return r;
    if (!*slot || ((*slot)[0] == '/' && !path_climbs(*slot))) return 0;
    return vl_fail(err, VL_INVALID, "workload.workdir is %s: write an absolute path without \"..\"",
                   quoted(*slot, shown));
}

/* A decimal id, or a name as useradd allows them and some more. */
static bool is_account(const char *s, size_t len)
{
    char text[65];
    uint64_t id;

    if (len == 0 || len >= sizeof(text)) return false;
    memcpy(text, s, len);
    text[len] = '\0';
    if (strspn(text, "0123456789") == len) return parse_u64(text, 0, ID_MAX, &id) == 0;
    if (text[0] == '-' || text[0] == '.') return false;
    return text[strspn(text, ACCOUNT_CHARS)] == '\0';
}

static int settle_user(char **slot, struct vl_error *err)
{
    char shown[QUOTED_SIZE];
    size_t user_len;

    trim_field(slot);
    if (!*slot) return 0;
    user_len = strcspn(*slot, ":");
    if (is_account(*slot, user_len)) {
        const char *group = *slot + user_len;

        if (!*group || is_account(group + 1, strlen(group + 1))) return 0;
    }
    return vl_fail(err, VL_INVALID, "workload.user is %s, allowed: UID, UID:GID, NAME or NAME:GROUP",
                   quoted(*slot, shown));
}

static int settle_workload(struct manifest *m, struct vl_error *err)
{
    struct workload *w = &m->workload;
    int r;

    if (w->entrypoint.len == 0 && !manifest_has_agent(m)) return 0; /* nobody would run it */
    if (w->entrypoint.len == 0) return vl_fail(err, VL_INVALID, "workload is missing");
    if ((r = settle_type(w, err)) < 0) return r;
    if ((r = settle_entrypoint(w, err)) < 0) return r;
    if ((r = env_check(&w->env, "workload.env", err)) < 0) return r;
    if ((r = settle_workdir(&w->workdir, err)) < 0) return r;
    if ((r = settle_user(&w->user, err)) < 0) return r;
    return image_keys_settle(w, err);
}

int manifest_settle(struct manifest *m, struct vl_error *err)
{
    int r;

    if ((r = settle_identity(m, err)) < 0) return r;
    if ((r = settle_labels(m, err)) < 0) return r;
    if ((r = media_settle(m, err)) < 0) return r;
    if ((r = settle_workload(m, err)) < 0) return r;
    return health_check_settle(m, err);
}
