/* SPDX-License-Identifier: Apache-2.0 */
/* See image_config.h. */
#include "fledge/image_config.h"

#include <string.h>
#include <sys/stat.h>

#include "base/str.h"
#include "model/manifest.h"

#define PORTS_MAX   256
#define LABELS_MAX_ 200 /* the manifest takes 256, with two of its own */
#define MS_NS       1000000
#define HOUR_MS     3600000

/* Docker's, where the image names a command and no times (its reference, HEALTHCHECK). */
#define INTERVAL_MS 30000
#define TIMEOUT_MS  30000

/* Sets key to value, which is taken; false if anything is missing. */
static bool set(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0;
}

static json_t *strings(const struct strv *first, const struct strv *second)
{
    json_t *array = json_array();

    for (size_t i = 0; i < first->len; i++)
        (void)json_array_append_new(array, json_string(first->items[i]));
    for (size_t i = 0; second && i < second->len; i++)
        (void)json_array_append_new(array, json_string(second->items[i]));
    return array;
}

/* "NAME=value"; what has no name or no "=" means nothing to a program. */
static json_t *environment(const struct strv *env)
{
    json_t *object = json_object();
    char name[256];

    for (size_t i = 0; i < env->len; i++) {
        const char *equals = strchr(env->items[i], '=');

        if (!equals || equals == env->items[i]) continue;
        if (strf(name, sizeof(name), "%.*s", (int)(equals - env->items[i]), env->items[i]) < 0) continue;
        (void)json_object_set_new(object, name, json_string(equals + 1));
    }
    return object;
}

/* "80", "80/tcp" or "80-82/tcp" as ports; *lowest becomes the lowest one of TCP. */
static void add_ports(json_t *array, const char *text, uint64_t *lowest)
{
    size_t len = strcspn(text, "/"), first_len = strcspn(text, "-/");
    const char *protocol = text[len] ? text + len + 1 : "tcp";
    char number[16];
    uint64_t from, to;

    if (strf(number, sizeof(number), "%.*s", (int)first_len, text) < 0 || parse_u64(number, 1, 65535, &from) < 0)
        return;
    to = from;
    if (first_len < len &&
        (strf(number, sizeof(number), "%.*s", (int)(len - first_len - 1), text + first_len + 1) < 0 ||
         parse_u64(number, from, 65535, &to) < 0))
        return;
    if (!str_eq(protocol, "tcp") && !str_eq(protocol, "udp") && !str_eq(protocol, "sctp")) return;
    for (uint64_t port = from; port <= to && json_array_size(array) < PORTS_MAX; port++)
        (void)json_array_append_new(array, json_sprintf("%d/%s", (int)port, protocol));
    if (str_eq(protocol, "tcp") && (*lowest == 0 || from < *lowest)) *lowest = from;
}

static json_t *volumes(const struct strv *paths)
{
    json_t *array = json_array();

    for (size_t i = 0; i < paths->len && json_array_size(array) < 64; i++)
        if (paths->items[i][0] == '/') (void)json_array_append_new(array, json_string(paths->items[i]));
    return array;
}

static bool make_workload(const struct oci_config *c, json_t *w)
{
    json_t *ports = json_array();
    uint64_t lowest = 0;
    bool done = true;

    for (size_t i = 0; i < c->exposed_ports.len; i++)
        add_ports(ports, c->exposed_ports.items[i], &lowest);
    if (lowest > 0)
        done =
            set(w, "type", json_string("http")) && set(w, "base_url", json_sprintf("http://127.0.0.1:%d", (int)lowest));
    done &= set(w, "env", environment(&c->env));
    if (c->entrypoint.len + c->cmd.len > 0) done &= set(w, "entrypoint", strings(&c->entrypoint, &c->cmd));
    if (c->entrypoint.len > 0) done &= set(w, "command_index", json_integer((json_int_t)c->entrypoint.len));
    if (c->workdir && *c->workdir)
        done &= set(w, "workdir", json_sprintf("%s%s", *c->workdir == '/' ? "" : "/", c->workdir));
    if (c->user && *c->user) done &= set(w, "user", json_string(c->user));
    if (c->stop_signal && *c->stop_signal) done &= set(w, "stop_signal", json_string(c->stop_signal));
    if (c->volumes.len > 0) done &= set(w, "volumes", volumes(&c->volumes));
    return json_array_size(ports) > 0 ? set(w, "exposed_ports", ports) && done : (json_decref(ports), done);
}

static json_int_t milliseconds(int64_t ns, int64_t min, int64_t max, int64_t otherwise)
{
    int64_t ms = ns > 0 ? ns / MS_NS : otherwise;

    return ms < min ? min : ms > max ? max : ms;
}

/* ["NONE"], or nothing, is no check. NULL then, too. */
static json_t *health_check(const struct oci_health *h)
{
    json_t *command = NULL, *check;

    if (h->test.len < 2) return NULL;
    if (str_eq(h->test.items[0], "CMD-SHELL")) {
        command = json_pack("[s, s, s]", "/bin/sh", "-c", h->test.items[1]);
    } else if (str_eq(h->test.items[0], "CMD")) {
        command = strings(&h->test, NULL);
        (void)json_array_remove(command, 0);
    }
    if (!command) return NULL;
    check = json_pack("{s:s, s:o, s:I, s:I, s:I}", "type", "exec", "command", command, "interval_ms",
                      milliseconds(h->interval, 100, HOUR_MS, INTERVAL_MS), "check_timeout_ms",
                      milliseconds(h->timeout, 10, 600000, TIMEOUT_MS), "retries",
                      (json_int_t)(h->retries < 1     ? 3
                                   : h->retries > 100 ? 100
                                                      : h->retries));
    if (h->start_period > 0)
        (void)set(check, "start_period_ms", json_integer(milliseconds(h->start_period, 0, HOUR_MS, 0)));
    return check;
}

static json_t *labels(const struct strmap *from)
{
    json_t *object = json_object();

    for (size_t i = 0; i < from->len && i < LABELS_MAX_; i++)
        if (*from->items[i].key)
            (void)json_object_set_new(object, from->items[i].key, json_string(from->items[i].value));
    return object;
}

int image_config_json(const struct oci_image *image, const char *reference, json_t **ret, struct vl_error *err)
{
    const struct oci_config *c = &image->config;
    json_auto_t *j = json_object(), *workload = json_object();
    json_t *check = health_check(&c->health);

    if (!j || !workload || !make_workload(c, workload) || json_object_set(j, "workload", workload) < 0 ||
        !set(j, "image", json_string(reference)) || !set(j, "image_digest", json_sprintf("sha256:%s", image->hex)) ||
        (c->labels.len > 0 && !set(j, "labels", labels(&c->labels)))) {
        json_decref(check);
        return vl_fail_errno(err, ENOMEM, "read the image's configuration");
    }
    if (check && !set(j, "health_check", check)) return vl_fail_errno(err, ENOMEM, "read the image's configuration");
    *ret = take_ptr(j);
    return 0;
}

/* --- the program ------------------------------------------------------------------------------------------------- */

bool image_is_program(const struct oci_index *x, const char *path)
{
    uint32_t node = oci_index_find(x, path);
    const struct oci_inode *inode = node == OCI_NONE ? NULL : oci_inode(x, oci_node(x, node)->inode);

    return inode && S_ISREG(inode->mode) && (inode->mode & 0111);
}

int image_program_check(const struct oci_index *x, const struct workload *w, const char *reference,
                        struct vl_error *err)
{
    const char *program = w->entrypoint.items[0], *path = strmap_get(&w->env, "PATH");
    const char *folder = *program == '/' ? "" : w->workdir ? w->workdir : "/";
    char full[OCI_PATH_MAX + 1], shown[QUOTED_SIZE];

    if (!folder) folder = "/";
    if (strchr(program, '/')) {
        if (strf(full, sizeof(full), "%s/%s", folder, program) > 0 && image_is_program(x, full)) return 0;
    } else {
        const char *end;

        for (const char *entry = path && *path ? path : WORKLOAD_PATH; *entry; entry = *end ? end + 1 : end) {
            end = strchrnul(entry, ':');
            if (strf(full, sizeof(full), "%.*s/%s", (int)(end - entry), entry, program) > 0 &&
                image_is_program(x, full))
                return 0;
        }
    }
    return vl_fail(err, VL_INVALID,
                   "the image '%s' holds no program %s to start: name another with entrypoint = [...] below [workload]",
                   reference, quoted(program, shown));
}
