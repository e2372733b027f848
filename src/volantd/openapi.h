/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API described as OpenAPI 3.0.3, out of what dispatches and decodes: the route table, the field tables of bodies
 * and replies, and one operation for each handler.
 */
#pragma once
#include "model/schema.h"
#include "volantd/router.h"

/* A parameter of the query, or a header. */
struct api_parameter {
    const char *name; /* a header's begins with a capital letter */
    const char *type; /* "string", "integer", "boolean" */
    const char *about;
    int64_t min, max;           /* of an integer; max 0: none. A string with min 1 is required, and not empty */
    const char *const *choices; /* NULL-terminated; NULL: anything */
};

struct api_operation {
    enum api_end (*fn)(struct api *api, struct api_req *req, struct vl_error *err); /* of which route */
    const char *id, *tag, *summary;         /* id NULL: it only refuses, and is not told of */
    const struct api_parameter *parameters; /* up to one without a name; NULL: none */
    const char *body;                       /* component of the request; NULL: none */
    bool body_optional;
    unsigned status;   /* of success */
    const char *reply; /* component; "[X]": an array of X; NULL: no body; a content type for what is no JSON: "a/b", or
                        * "a/b X" where it is made of X; several with ", " between */
    unsigned other_status; /* a second success, such as 202 for "still at it", with other_reply; 0: none */
    const char *other_reply;
};
extern const struct api_operation api_operations[];
extern const size_t api_n_operations;
/* NULL: nobody has described it, which a test does not allow. */
const struct api_operation *api_operation_of(const struct api_route *route);

/* What bodies and replies are called: a field table, or JSON text. */
struct api_component {
    const char *name;
    const struct schema *schema;
    enum schema_use use;
    bool open; /* it may have members beyond those described */
    const char *json;
    struct {
        const char *member, *component;
    } refs[2]; /* members that are described on their own; up to one without a name */
};
extern const struct api_component api_components[];
extern const size_t api_n_components;

/*
 * What a route replies when all is well, without references: they are written out once, an object within is "an
 * object". The pattern is "/api/v1/vms/{name}". NULL: out of memory, no such route, or no JSON.
 */
json_t *openapi_reply(const char *method, const char *target);

/* The document; server: "http://host:port". NULL: out of memory. */
json_t *openapi_document(const struct api_route *routes, size_t n_routes, const char *server);
