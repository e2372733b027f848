/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /api/v1/plugins/:plugin/artifacts (contract 1.7): what builders write down of a plugin's media. Bookkeeping alone: no
 * VM is made from it, and a local_path is a text that nobody opens.
 */
#include <string.h>

#include "base/clock.h"
#include "volantd/api.h"

#define SHORT_MAX   128
#define TEXT_LENGTH 4096
#define SHOWN_MAX   (4UL << 20) /* bytes of one answer, about */
#define ROW_BYTES   512         /* of a row without its texts */

struct request {
    char *version, *name, *kind, *source_url, *checksum, *format, *local_path;
    int64_t size_bytes;
};
#define TEXT(key, member, most, ...)                                                                                   \
    {                                                                                                                  \
        key, FIELD_STRING, .offset = offsetof(struct request, member), .max = (most), __VA_ARGS__                      \
    }
static const struct field request_fields[] = {
    TEXT("version", version, SHORT_MAX, .flags = FIELD_REQUIRED),
    TEXT("artifact_name", name, SHORT_MAX, .flags = FIELD_REQUIRED),
    TEXT("kind", kind, SHORT_MAX),
    TEXT("source_url", source_url, TEXT_LENGTH),
    TEXT("checksum", checksum, SHORT_MAX),
    TEXT("format", format, SHORT_MAX),
    TEXT("local_path", local_path, TEXT_LENGTH, .about = "Kept as it is, never opened"),
    {"size_bytes", FIELD_INT, .offset = offsetof(struct request, size_bytes), .max = INT64_MAX},
};
const struct schema artifact_request_schema = {"request", sizeof(struct request), request_fields,
                                               ARRAY_LEN(request_fields)};

/* --- one request's transaction ------------------------------------------------------------------------------------ */

struct artifact_op {
    struct store_op op;
    struct api_req *req;     /* NULL: nobody waits any more */
    struct artifact_row row; /* what is put, or plugin, version and name of what is looked for; NULL: any */
    json_t *found;           /* an array */
    size_t found_bytes;
    enum api_end (*answer)(struct artifact_op *o, struct vl_error *err); /* NULL: an empty reply of that status */
};

static void op_free(struct artifact_op *o)
{
    artifact_row_done(&o->row);
    json_decref(o->found);
    free(o);
}
DEFINE_AUTO(struct artifact_op *, op_free)

static void op_release(struct api_req *req)
{
    ((struct artifact_op *)req->state)->req = NULL;
}

static void op_done(struct store_op *op, int r, const struct vl_error *err)
{
    auto_(op_freep) struct artifact_op *o = container_of(op, struct artifact_op, op);
    struct api_req *req = o->req;
    struct vl_error own = {0};

    if (!req) return;
    req->release = NULL;
    if (r < 0)
        api_fail(req, err);
    else if (o->answer && o->answer(o, &own) == API_FAILED)
        api_fail(req, &own);
    api_resume(req);
}

static enum api_end post(struct api *api, struct api_req *req, struct artifact_op *o, unsigned status)
{
    o->req = req;
    o->op.done = op_done;
    req->reply.status = status;
    req->state = o;
    req->release = op_release;
    store_post(api->store, &o->op);
    return API_SUSPENDED;
}

/* For the plugin of the path, which need not be installed. NULL: err says why. */
static struct artifact_op *op_new(const struct api_req *req,
                                  int (*run)(struct store_op *op, struct store_tx *tx, struct vl_error *err),
                                  struct vl_error *err)
{
    const char *problem = name_problem(req->params[0]), *version = api_query(req, "version");
    auto_(op_freep) struct artifact_op *o = NULL;
    char shown[QUOTED_SIZE];

    if (problem) {
        vl_fail(err, VL_INVALID, "the plugin's name %s %s", quoted(req->params[0], shown), problem);
        return NULL;
    }
    if ((o = calloc(1, sizeof(*o))) && string_set(&o->row.plugin, req->params[0]) == 0 &&
        string_set(&o->row.version, version && *version ? version : NULL) == 0) {
        o->op.run = run;
        return take_ptr(o);
    }
    vl_fail_errno(err, ENOMEM, "artifacts of plugin '%s'", req->params[0]);
    return NULL;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* The original's struct has no tags: these are its members' names. */
static json_t *encode(const struct artifact_row *row)
{
    char created[32], updated[32];

    format_time(row->created_ms, created);
    format_time(row->updated_ms, updated);
    return json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:s}", "ID", (json_int_t)row->id,
                     "PluginName", row->plugin, "Version", row->version, "ArtifactName", row->name, "Kind", row->kind,
                     "SourceURL", row->source_url, "Checksum", row->checksum, "Format", row->format, "LocalPath",
                     row->local_path, "SizeBytes", (json_int_t)row->size_bytes, "CreatedAt", created, "UpdatedAt",
                     updated);
}

static int add_row(void *arg, struct artifact_row *row)
{
    struct artifact_op *o = arg;
    const char *const texts[] = {row->plugin,     row->version,  row->name,   row->kind,
                                 row->source_url, row->checksum, row->format, row->local_path};

    o->found_bytes += ROW_BYTES;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        o->found_bytes += strlen(texts[i]);
    if (o->found_bytes > SHOWN_MAX) return -E2BIG;
    return json_array_append_new(o->found, encode(row)) < 0 ? -ENOMEM : 0;
}

static int read_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    struct artifact_op *o = container_of(op, struct artifact_op, op);
    int r;

    if (!(o->found = json_array())) return vl_fail_errno(err, ENOMEM, "artifacts");
    r = store_artifact_each(tx, o->row.plugin, o->row.version, o->row.name, add_row, o, err);
    if (r == -E2BIG)
        return vl_fail(
            err, VL_TOO_LARGE,
            "the artifacts of plugin '%s' have more than %lu bytes: ask for those of one ?version=, or delete "
            "those of earlier ones",
            o->row.plugin, SHOWN_MAX);
    return r;
}

/* null where there are none: the original's nil slice. */
static enum api_end answer_all(struct artifact_op *o, struct vl_error *err)
{
    return api_json(o->req, 200, json_array_size(o->found) > 0 ? json_incref(o->found) : json_null(), err);
}

static enum api_end answer_one(struct artifact_op *o, struct vl_error *err)
{
    json_t *first = json_array_get(o->found, 0);
    char name[QUOTED_SIZE], version[QUOTED_SIZE];

    if (first) return api_json(o->req, 200, json_incref(first), err);
    vl_fail(err, VL_NOT_FOUND, "artifact not found: plugin '%s' has none called %s of version %s", o->row.plugin,
            quoted(o->row.name, name), quoted(o->row.version, version));
    return API_FAILED;
}

enum api_end artifacts_list(struct api *api, struct api_req *req, struct vl_error *err)
{
    struct artifact_op *o = op_new(req, read_run, err);

    if (!o) return API_FAILED;
    o->answer = answer_all;
    return post(api, req, o, 200);
}

enum api_end artifact_get(struct api *api, struct api_req *req, struct vl_error *err)
{
    auto_(op_freep) struct artifact_op *o = op_new(req, read_run, err);

    if (!o) return API_FAILED;
    if (!o->row.version) {
        vl_fail(err, VL_INVALID, "version query required: add ?version= with the plugin's version");
        return API_FAILED;
    }
    if (string_set(&o->row.name, req->params[1]) < 0) {
        vl_fail_errno(err, ENOMEM, "artifact");
        return API_FAILED;
    }
    o->answer = answer_one;
    return post(api, req, take_ptr(o), 200);
}

/* --- changing ----------------------------------------------------------------------------------------------------- */

static bool is_blank(const json_t *value)
{
    const char *s = json_string_value(value);

    return !value || json_is_null(value) || (s && s[strspn(s, " \t\r\n")] == '\0');
}

/* Takes the white space off both ends; a name is also part of a path. */
static int settle_name(char *s, const char *field, struct vl_error *err)
{
    size_t lead = strspn(s, " \t\r\n"), n = strlen(s + lead);
    char shown[QUOTED_SIZE];

    while (n > 0 && strchr(" \t\r\n", s[lead + n - 1]))
        n--;
    memmove(s, s + lead, n);
    s[n] = '\0';
    return strchr(s, '/') ? vl_fail(err, VL_INVALID, "%s is %s: it may not have a '/'", field, quoted(s, shown)) : 0;
}

static int check_texts(const struct request *q, struct vl_error *err)
{
    const char *const texts[] = {q->version, q->name, q->kind, q->source_url, q->checksum, q->format, q->local_path};

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        for (const char *s = texts[i]; s && *s; s++)
            if ((unsigned char)*s < 0x20 || *s == 0x7f)
                return vl_fail(err, VL_INVALID, "%s has a control character: leave it out", request_fields[i].name);
    return 0;
}

static int decode(struct api_req *req, struct request *ret, struct vl_error *err)
{
    json_auto_t *body = NULL;
    auto_strv unknown = {0};
    int r;

    if ((r = api_body_json(req, &body, err)) < 0) return r;
    if (json_is_object(body) &&
        (is_blank(json_object_get(body, "version")) || is_blank(json_object_get(body, "artifact_name"))))
        return vl_fail(err, VL_INVALID, "version and artifact_name required: write both, as texts that are not empty");
    if ((r = schema_decode(&artifact_request_schema, body, "", ret, &unknown, err)) < 0) return r;
    api_warn(req, &unknown);
    if ((r = settle_name(ret->version, "version", err)) < 0 || (r = settle_name(ret->name, "artifact_name", err)) < 0)
        return r;
    return check_texts(ret, err);
}

static void request_done(struct request *q)
{
    schema_done(&artifact_request_schema, q);
}

/* Takes what q has; the table has no NULLs but the original's. */
static int fill_row(struct artifact_row *row, struct request *q)
{
    char **const from[] = {&q->version, &q->name, &q->kind, &q->source_url, &q->checksum, &q->format, &q->local_path};
    char **const to[] = {&row->version,  &row->name,   &row->kind,      &row->source_url,
                         &row->checksum, &row->format, &row->local_path};

    for (size_t i = 0; i < ARRAY_LEN(from); i++) {
        free(*to[i]);
        if (!(*to[i] = *from[i] ? take_ptr(*from[i]) : strdup(""))) return -ENOMEM;
    }
    row->size_bytes = q->size_bytes;
    row->created_ms = row->updated_ms = wall_ms();
    return 0;
}

static int put_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    return store_artifact_put(tx, &container_of(op, struct artifact_op, op)->row, err);
}

enum api_end artifact_put_row(struct api *api, struct api_req *req, struct vl_error *err)
{
    auto_(op_freep) struct artifact_op *o = op_new(req, put_run, err);
    auto_(request_done) struct request q = {0};

    if (!o || decode(req, &q, err) < 0 || engine_disk_check(api->engine, err) < 0) return API_FAILED;
    if (fill_row(&o->row, &q) < 0) {
        vl_fail_errno(err, ENOMEM, "artifact");
        return API_FAILED;
    }
    return post(api, req, take_ptr(o), 201);
}

static int delete_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    const struct artifact_op *o = container_of(op, struct artifact_op, op);

    return store_artifact_delete(tx, o->row.plugin, o->row.version, err);
}

enum api_end artifacts_delete(struct api *api, struct api_req *req, struct vl_error *err)
{
    struct artifact_op *o = op_new(req, delete_run, err);

    return o ? post(api, req, o, 204) : API_FAILED;
}
