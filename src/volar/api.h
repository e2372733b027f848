/* SPDX-License-Identifier: Apache-2.0 */
/* The client of volantd's REST API: libcurl over the Unix socket, TCP or TLS, bounded answers, a deadline on every
 * call. */
#pragma once
#include <jansson.h>

#include "base/error.h"
#include "base/str.h"

struct volar;

/* Where volantd answers: a Unix socket, http://host:port, or https://host:port. */
struct api_address {
    char socket[108]; /* "" for TCP */
    char base[256];   /* "http://localhost" or "http://host:port" */
    char token[256];  /* "" none */
    char ca[512];     /* file of certificates to trust; "" those of the system */
};
/* "unix:///path", "/path", "http://host[:port][/ignored]", "https://..."; VL_INVALID names the forms. */
int api_address_parse(const char *url, struct api_address *ret, struct vl_error *err);
/*
 * --api, VOLANT_API_BASE, the user's own socket, then /run/volant/volantd.sock: the first that exists (else the
 * user's). For TCP with the token of VOLANT_API_TOKEN or VOLANT_API_TOKEN_FILE, and VOLANT_API_CA.
 */
int api_address_find(const char *url, struct api_address *ret, struct vl_error *err);

struct api_answer {
    long status;
    struct strbuf body;
};
void api_answer_done(struct api_answer *a);
#define auto_answer auto_(api_answer_done) struct api_answer

/*
 * One exchange. body NULL: none. A status of 300 or more is an error whose text and kind come from the answer; no
 * volantd there: VL_UNAVAILABLE with how to start it. Warnings of volantd are shown on stderr. timeout_s bounds the
 * whole.
 */
int api_call(struct volar *v, const char *method, const char *path, const char *body, int timeout_s,
             struct api_answer *ret, struct vl_error *err);
/* The same with the answer as JSON, the caller's. */
int api_json(struct volar *v, const char *method, const char *path, const char *body, int timeout_s, json_t **ret,
             struct vl_error *err);
/* Hands the body over as it comes, for as long as it comes; `take` returning a negative errno ends it with that, and so
 * does `stop` (NULL: none), which is asked ten times a second. */
int api_stream(struct volar *v, const char *path, int (*take)(void *arg, const char *data, size_t n), void *take_arg,
               int (*stop)(void *arg), void *stop_arg, struct vl_error *err);
/* PUTs a file; `label` begins its progress line. Ends with an error when v->stop is set. */
int api_upload(struct volar *v, const char *path, int fd, uint64_t size, const char *label, struct vl_error *err);
/* HEAD: 1 there, 0 not there. */
int api_exists(struct volar *v, const char *path, struct vl_error *err);
void api_close(struct volar *v);
