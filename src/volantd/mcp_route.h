/* SPDX-License-Identifier: Apache-2.0 */
/* A tool of MCP as a route of our API: rows of the table in mcp_tools.c. */
#pragma once
#include "mcp/mcp.h"
#include "model/schema.h"
#include "volantd/request.h"

#define MCP_DEPLOYMENTS "/api/v1/deployments"

/* Where the tables of arguments decode to: only to be checked. */
struct mcp_args {
    char *text[5];
    int64_t number[2];
};

struct mcp_route {
    const char *method, *target; /* "/api/v1/vms/{name}/start" */
    const struct schema *args;   /* go into the path where it names them, else into the query; NULL: none */
    const struct schema *body;   /* arguments that make up the body; NULL: none */
    const char *body_from;       /* one of `args` is the body; NULL: none */
    enum {
        ROUTE_OBJECT, /* the reply's object as it is */
        ROUTE_LIST,   /* {key: the reply's list} */
        ROUTE_LINES,  /* {key: a list of its lines} */
        ROUTE_FLAG,   /* {key: whether it is done already} */
    } shape;
    const char *key;
    const struct schema *line; /* of ROUTE_LINES; objects and lists are described where the route is */
};
json_t *mcp_route_input(const struct mcp_tool *t);
json_t *mcp_route_output(const struct mcp_tool *t);
enum mcp_end mcp_route_call(struct mcp_call *c, const struct mcp_tool *t, const json_t *arguments);
/* What its route needs; ROLE_ADMIN where there is no memory to look. */
enum api_role mcp_route_role(const struct mcp_route *route);
