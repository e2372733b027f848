/* SPDX-License-Identifier: Apache-2.0 */
/* Strings and numbers: bounded formatting, strict parsing, a growable buffer. Nothing here truncates silently. */
#pragma once
#include <stdarg.h>

#include "base/defs.h"

/* snprintf, but truncation is -ENAMETOOLONG; otherwise the length. */
int strf(char *buf, size_t size, const char *fmt, ...) printf_(3, 4);
/* Newly allocated, or NULL (out of memory). */
char *strf_new(const char *fmt, ...) printf_(1, 2);

/* Whole string, digits only, within [min, max]; else -EINVAL or -ERANGE, *ret untouched. */
int parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret);
/* The same with base 16 (no 0x). */
int parse_hex_u64(const char *s, uint64_t *ret);
/* A count of bytes, or of KiB, MiB, GiB, TiB: "500k", "64M", "2G" (K as k). At least 1; else -EINVAL or -ERANGE. */
int parse_size(const char *s, uint64_t *ret);
/* Dotted IPv4 into host byte order. -EINVAL for anything but four plain decimal numbers. */
int parse_ipv4(const char *s, uint32_t *ret);
/* "192.168.127.10" into buf. */
void format_ipv4(uint32_t addr, char buf[static 16]);
/* "a.b.c.d/len" into network address (host bits must be 0) and prefix length. */
int parse_cidr(const char *s, uint32_t *ret_net, unsigned *ret_prefix);

/*
 * Names of VMs and plugins: 1 to 63 of [a-z0-9.-_A-Z], beginning with a letter or digit and without "..".
 * Says why not in a constant text that goes after the name ("must not be empty"), or returns NULL if the name is good.
 */
const char *name_problem(const char *s);
#define NAME_LENGTH  63
#define NAME_PATTERN "^[A-Za-z0-9]([A-Za-z0-9_-]|\\.[A-Za-z0-9_-])*\\.?$" /* the rest of it, for schemas */

bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
bool str_eq(const char *a, const char *b); /* NULL equals only NULL */

/* Lower-case hex of n bytes into buf (2n + 1 bytes). */
void hex_encode(const void *bytes, size_t n, char *buf);
/* Exactly 2n hex digits into n bytes; -EINVAL otherwise. */
int hex_decode(const char *s, void *bytes, size_t n);
/* n random bytes as 2n hex digits plus NUL, from getrandom(2). */
int random_hex(char *buf, size_t n_bytes);

/* Length of the longest prefix of s (at most n bytes) that is whole, valid UTF-8. */
size_t utf8_prefix(const char *s, size_t n);
/* The same of a string, of which at most `max` bytes are wanted: for "%.*s". */
int utf8_cut(const char *s, size_t max);

/*
 * Text as logs and terminals may show it: control bytes (C1 too) and invalid UTF-8 as \xNN, cut before what no longer
 * fits. buf is NUL-terminated (size at least 1); gives how many bytes of s went in.
 */
size_t escape_printable(char *buf, size_t size, const char *s, size_t n);

/* Growable bytes. Zero-initialised is empty; `data` is always NUL-terminated once non-NULL. */
struct strbuf {
    char *data;
    size_t len, cap;
    bool failed; /* an allocation failed; further appends do nothing: check once at the end */
};
void strbuf_done(struct strbuf *b);
void strbuf_add(struct strbuf *b, const void *data, size_t n);
void strbuf_adds(struct strbuf *b, const char *s);
void strbuf_addf(struct strbuf *b, const char *fmt, ...) printf_(2, 3);
/*
 * A JSON string with its quotes; control bytes and quotes are escaped, NUL and each byte of invalid UTF-8 become
 * U+FFFD.
 */
void strbuf_add_json(struct strbuf *b, const char *s, size_t n);
/* Appends what escape_printable makes of all n bytes. */
void strbuf_add_printable(struct strbuf *b, const char *s, size_t n);
/* Drops the first n bytes. */
void strbuf_consume(struct strbuf *b, size_t n);
/*
 * Hands each whole line over, with NUL in the place of its newline, and forgets it; what has no newline yet stays. A
 * negative errno of `line` ends it, behind that line, and is returned. `line` must not touch b.
 */
int strbuf_each_line(struct strbuf *b, int (*line)(void *arg, const char *text, size_t n), void *arg);
/*
 * The NUL-terminated data, now the caller's ("" when empty); NULL if an allocation failed. The buffer is empty after.
 */
char *strbuf_take(struct strbuf *b);
#define auto_strbuf auto_(strbuf_done) struct strbuf

/* NULL-terminated string vectors ("argv"). All zero is empty. */
struct strv {
    char **items; /* NULL or NULL-terminated */
    size_t len;
};
void strv_done(struct strv *v);
int strv_add(struct strv *v, const char *s); /* copies; -ENOMEM */
void strv_cut(struct strv *v, size_t len);   /* forgets what comes after the first len */
int strv_addf(struct strv *v, const char *fmt, ...) printf_(2, 3);
#define auto_strv auto_(strv_done) struct strv
