/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one error object. Base code returns -errno and has no `err`; domain code takes `err` and adds what it was doing;
 * the edge (main, router, job runner) logs once and maps `kind` to a status or an exit code.
 */
#pragma once
#include "base/defs.h"

enum vl_kind {
    VL_INTERNAL,    /* a fault of ours or of the host: 500, exit 1 */
    VL_INVALID,     /* the caller's input: 400, exit 1 (2 where it was an option) */
    VL_NOT_FOUND,   /* 404 */
    VL_CONFLICT,    /* 409 */
    VL_CHANGED,     /* it is not any more what the caller took it for: 412 */
    VL_TOO_LARGE,   /* 413 */
    VL_NO_SPACE,    /* the disk is full: 507 */
    VL_UNAVAILABLE, /* later it may work: 503 */
};

struct vl_error {
    enum vl_kind kind; /* what a client may be told; VL_INTERNAL unless a domain function says otherwise */
    int errnum;        /* errno behind it, 0 if none */
    char msg[512];     /* "outer: inner: cause", cut at a UTF-8 boundary rather than allocated */
};

/*
 * All three return a negative errno (never 0), so that `return vl_fail(...)` is the whole failure path; `err` may be
 * NULL.
 */
int vl_fail(struct vl_error *err, enum vl_kind kind, const char *fmt, ...) printf_(3, 4);
/* `errnum` may be positive or negative; ENOSPC and EDQUOT give VL_NO_SPACE, all else VL_INTERNAL. Appends strerror. */
int vl_fail_errno(struct vl_error *err, int errnum, const char *fmt, ...) printf_(3, 4);
/* Puts "fmt: " in front of a message that is already there. */
int vl_wrap(struct vl_error *err, const char *fmt, ...) printf_(2, 3);

/* strerror without its static buffer; the text is a constant of libc. */
const char *vl_strerror(int errnum);
