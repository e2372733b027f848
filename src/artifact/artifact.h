/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content-addressed files: <dir>/sha256/<hex> as shipped, <dir>/boot/<hex> the form VMs boot from. A file is complete
 * and verified, or it is not there. Everything is blocking code for workers; several processes and threads may work on
 * one folder at once.
 */
#pragma once
#include "base/error.h"
#include "base/str.h"

#define SHA256_HEX 64

struct artifacts;
/*
 * Creates the folders (0711; files 0644) and removes what an interrupted put left: of a dead process, or not written to
 * for an hour.
 */
int artifacts_open(const char *dir, struct artifacts **ret, struct vl_error *err);
void artifacts_close(struct artifacts *a);
DEFINE_AUTO(struct artifacts *, artifacts_close)

/* "sha256:<hex>" or bare hex, any case, into lower-case bare hex. VL_INVALID names the form. */
int digest_parse(const char *s, char ret_hex[static SHA256_HEX + 1], struct vl_error *err);

bool artifact_present(struct artifacts *a, const char *hex, uint64_t *ret_size /* may be NULL */);

/* Receiving a blob piece by piece. */
struct artifact_put;
/* expected_size 0: unknown. Refuses (VL_NO_SPACE) what would not leave the floor of 64 MiB free. */
int artifact_put_begin(struct artifacts *a, const char *hex, uint64_t expected_size, struct artifact_put **ret,
                       struct vl_error *err);
int artifact_put_write(struct artifact_put *p, const void *data, size_t n, struct vl_error *err);
/* Verifies, fsyncs and moves into place. Another digest: VL_INVALID with both, nothing is kept. Frees p in any case. */
int artifact_put_finish(struct artifact_put *p, struct vl_error *err);
void artifact_put_abort(struct artifact_put *p); /* NULL is fine */
DEFINE_AUTO(struct artifact_put *, artifact_put_abort)
/*
 * A whole file of the host's (already judged allowed), by descriptor, from its start; the offset is moved. stop_fd
 * readable: VL_UNAVAILABLE; -1: never.
 */
int artifact_put_fd(struct artifacts *a, const char *hex, int fd, int stop_fd, struct vl_error *err);

/* Where an artifact is to be had. */
struct artifact_source {
    const char *url;    /* http or https */
    const char *helper; /* path of volant-fetch */
    uint64_t size;      /* bytes that it must have; 0: any number */
    uint64_t reserve;   /* bytes that stay free beyond the floor; 0: none */
    uint32_t uid;       /* whom the child becomes, where we are root; 0: nobody else */
    int timeout_s;      /* for all of it */
    int stall_s;        /* a connection that brings nothing for so long is given up, and another one made */
    int stop_fd;        /* readable: give up; -1: never */
};
/*
 * Fetches it by a child, over as many connections as it takes, and puts it. VL_INVALID: the URL or what it gives is
 * wrong; VL_UNAVAILABLE: later it may work, or stop_fd; VL_NO_SPACE before the first byte where the size is known. The
 * text has the URL as url_public shows it.
 */
int artifact_fetch(struct artifacts *a, const char *hex, const struct artifact_source *source, struct vl_error *err);
/* A URL as logs and messages show it: without user, password and query, which may be secrets; escaped, cut. "(no URL)".
 */
void url_public(const char *url, char *buf, size_t size);

/*
 * The path of the form to boot from, made at the first call: a zstd archive is unpacked (bounded by max_bytes and by
 * free space), anything else boots as it is. VL_INVALID for what no kernel of ours boots from: neither cpio nor one
 * compressed with zstd, gzip or lz4, damaged, or larger than max_bytes. The caller frees *ret_path.
 */
int artifact_boot_form(struct artifacts *a, const char *hex, uint64_t max_bytes, char **ret_path, struct vl_error *err);

/* The path of the blob as shipped, for what boots as it is. VL_NOT_FOUND. The caller frees *ret_path. */
int artifact_path(struct artifacts *a, const char *hex, char **ret_path, struct vl_error *err);

/* Bytes of the form to boot from if it was made already, else of the blob; 0 where there is neither. One stat(2). */
uint64_t artifact_boot_size(struct artifacts *a, const char *hex);

/* Removes both forms; absent is fine. VMs that run have their own copy. */
int artifact_remove(struct artifacts *a, const char *hex, struct vl_error *err);

/* The digests (bare hex) of which a form is here that nobody has touched for age_s seconds; one may come twice. */
int artifacts_old(struct artifacts *a, int64_t age_s, struct strv *ret);

/* Whether neither form of it was touched within age_s seconds. */
bool artifact_untouched(struct artifacts *a, const char *hex, int64_t age_s);
/* Somebody wants it: it counts as new. */
void artifact_touch(struct artifacts *a, const char *hex);
/* Bytes of both forms; 0: neither is here. */
uint64_t artifact_bytes(struct artifacts *a, const char *hex);

/* SHA-256 of a descriptor's content from its start; the offset is moved. */
int sha256_fd(int fd, char ret_hex[static SHA256_HEX + 1], uint64_t *ret_size, struct vl_error *err);
