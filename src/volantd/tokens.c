/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/tokens: who may use the API over TCP. Memory changes when the store has it. */
#include <openssl/crypto.h>
#include <string.h>

#include "base/clock.h"
#include "model/schema.h"
#include "volantd/access.h"
#include "volantd/api.h"

#define TOKENS_MAX 1000

struct token_request {
    char *name, *role;
};
static const char *const roles[] = {"read", "operate", "admin", NULL};
static const struct field request_fields[] = {
    {"name", FIELD_STRING, .flags = FIELD_REQUIRED, .offset = offsetof(struct token_request, name), .min = 1, .max = 63,
     .about = "What it is known by, in lists and logs."},
    {"role", FIELD_STRING, .flags = FIELD_REQUIRED, .offset = offsetof(struct token_request, role), .choices = roles,
     .about = "What it may do."},
};
const struct schema token_request_schema = {"token", sizeof(struct token_request), request_fields,
                                            ARRAY_LEN(request_fields)};

/* A token on its way into or out of the store. */
struct change {
    struct store_op op;
    struct api *api;
    struct api_req *req; /* NULL: nobody waits any more */
    struct access_token *token;
    char text[TOKEN_SIZE]; /* of a new one */
};

static json_t *shown(const struct access_token *t)
{
    char at[32];

    format_time(t->created_ms, at);
    return json_pack("{s:s, s:s, s:s}", "name", t->name, "role", role_name(t->role), "created_at", at);
}

enum api_end tokens_list(struct api *api, struct api_req *req, struct vl_error *err)
{
    json_t *list = json_array();

    for (const struct access_token *t = api->access->tokens; list && t; t = t->next)
        if (json_array_append_new(list, shown(t)) < 0) json_decref(take_ptr(list));
    return api_json(req, 200, list, err);
}

/* --- changes ------------------------------------------------------------------------------------------------------ */

static void nobody_waits(struct api_req *req)
{
    ((struct change *)req->state)->req = NULL;
}

static void change_end(struct change *c)
{
    if (c->req) {
        c->req->release = NULL;
        api_resume(c->req);
    }
    OPENSSL_cleanse(c->text, sizeof(c->text));
    free(c);
}

static struct change *change_new(struct api *api, struct api_req *req, struct access_token *t, struct vl_error *err)
{
    struct change *c = calloc(1, sizeof(*c));

    if (!c) {
        vl_fail_errno(err, ENOMEM, "token");
        return NULL;
    }
    *c = (struct change){.api = api, .req = req, .token = t};
    return c;
}

static enum api_end change_post(struct change *c)
{
    c->req->state = c;
    c->req->release = nobody_waits;
    store_post(c->api->store, &c->op);
    return API_SUSPENDED;
}

/* --- create ------------------------------------------------------------------------------------------------------- */

static int create_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    struct change *c = container_of(op, struct change, op);
    char hash[2 * TOKEN_HASH + 1];
    const struct token_row row = {.name = c->token->name,
                                  .role = (char *)(uintptr_t)role_name(c->token->role),
                                  .hash = hash,
                                  .created_ms = c->token->created_ms};

    hex_encode(c->token->hash, TOKEN_HASH, hash);
    return store_token_insert(tx, &row, err);
}

static void reply_created(struct change *c)
{
    json_t *j = shown(c->token);
    struct vl_error err = {0};

    if (j && json_object_set_new(j, "token", json_string(c->text)) < 0) json_decref(take_ptr(j));
    api_header(c->req, "Cache-Control", "no-store");
    if (api_json(c->req, 201, j, &err) == API_FAILED) api_fail(c->req, &err);
}

static void create_done(struct store_op *op, int r, const struct vl_error *err)
{
    struct change *c = container_of(op, struct change, op);

    if (c->req && r < 0) api_fail(c->req, err);
    if (c->req && r == 0) reply_created(c);
    if (r == 0)
        access_add(c->api->access, c->token);
    else
        free(c->token);
    change_end(c);
}

static int check_request(struct api *api, const struct token_request *t, struct vl_error *err)
{
    const char *problem = name_problem(t->name);
    char shown_text[QUOTED_SIZE];
    size_t n = 0;

    if (problem) return vl_fail(err, VL_INVALID, "name %s %s", quoted(t->name, shown_text), problem);
    if (str_eq(t->name, ACCESS_KEY_NAME))
        return vl_fail(err, VL_CONFLICT, "name '%s' is what the key of the settings is called: choose another",
                       t->name);
    if (access_find(api->access, t->name))
        return vl_fail(err, VL_CONFLICT, "token '%s' already exists: choose another name, or revoke it first", t->name);
    for (const struct access_token *other = api->access->tokens; other; other = other->next)
        n++;
    return n >= TOKENS_MAX ? vl_fail(err, VL_CONFLICT, "there are %d tokens already: revoke some", TOKENS_MAX) : 0;
}

static int decode(struct api_req *req, struct token_request *ret, struct vl_error *err)
{
    json_auto_t *body = NULL;
    auto_strv warnings = {0};
    int r;

    if ((r = api_body_json(req, &body, err)) < 0) return r;
    r = schema_decode(&token_request_schema, body, "", ret, &warnings, err);
    api_warn(req, &warnings);
    return r;
}

static enum api_end create(struct api *api, struct api_req *req, const struct token_request *wanted,
                           struct vl_error *err)
{
    auto_free struct access_token *t = calloc(1, sizeof(*t));
    struct change *c;
    int r;

    if (!t || !(c = change_new(api, req, t, err))) return API_FAILED;
    if ((r = access_token_make(c->text, t->hash)) < 0) {
        free(c);
        vl_fail_errno(err, r, "make a token");
        return API_FAILED;
    }
    (void)strf(t->name, sizeof(t->name), "%s", wanted->name);
    (void)role_parse(wanted->role, &t->role); /* one of the choices */
    t->created_ms = wall_ms();
    c->op = (struct store_op){.run = create_run, .done = create_done};
    (void)take_ptr(t);
    return change_post(c);
}

enum api_end tokens_create(struct api *api, struct api_req *req, struct vl_error *err)
{
    struct token_request wanted = {0};
    enum api_end end = API_FAILED;

    if (decode(req, &wanted, err) < 0) return API_FAILED;
    if (check_request(api, &wanted, err) == 0) end = create(api, req, &wanted, err);
    schema_done(&token_request_schema, &wanted);
    return end;
}

/* --- revoke ------------------------------------------------------------------------------------------------------- */

static int revoke_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    return store_token_delete(tx, container_of(op, struct change, op)->token->name, err);
}

static void revoke_done(struct store_op *op, int r, const struct vl_error *err)
{
    struct change *c = container_of(op, struct change, op);

    c->token->going = false;
    if (c->req && r < 0) api_fail(c->req, err);
    if (c->req && r == 0) (void)api_empty(c->req, 204);
    if (r == 0) {
        c->api->drop_caller(c->api, c->token->name, c->req);
        access_remove(c->api->access, c->token);
    }
    change_end(c);
}

enum api_end token_revoke(struct api *api, struct api_req *req, struct vl_error *err)
{
    struct access_token *t = access_find(api->access, req->params[0]);
    char shown_text[QUOTED_SIZE];
    struct change *c;

    if (!t || t->going) {
        vl_fail(err, VL_NOT_FOUND, "token %s not found: see `volar tokens list`", quoted(req->params[0], shown_text));
        return API_FAILED;
    }
    if (api->open_without_tokens && access_others(api->access, t) == 0) {
        vl_fail(err, VL_CONFLICT,
                "token '%s' is the last one, and without any every user of this host could use the API through %s: "
                "create another one first, or start volantd without --listen",
                t->name, api->listen);
        return API_FAILED;
    }
    if (!(c = change_new(api, req, t, err))) return API_FAILED;
    c->op = (struct store_op){.run = revoke_run, .done = revoke_done};
    t->going = true;
    return change_post(c);
}
