/* SPDX-License-Identifier: Apache-2.0 */
/* Error objects: texts are built in a local buffer first, as arguments often include the message being replaced. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MSG_MAX sizeof(((struct vl_error *)0)->msg)

const char *vl_strerror(int errnum)
{
    const char *text = strerrordesc_np(errnum < 0 ? -errnum : errnum);

    return text ? text : "unknown error";
}

static int kind_errno(enum vl_kind kind)
{
    switch (kind) {
    case VL_INVALID:
        return EINVAL;
    case VL_NOT_FOUND:
        return ENOENT;
    case VL_CONFLICT:
        return EEXIST;
    case VL_CHANGED:
        return ESTALE;
    case VL_TOO_LARGE:
        return EFBIG;
    case VL_NO_SPACE:
        return ENOSPC;
    case VL_UNAVAILABLE:
        return EAGAIN;
    case VL_INTERNAL:
        break;
    }
    return EIO;
}

/* Drops a character that truncation left incomplete: at most its first three bytes stand at the end. */
static void drop_partial_char(char *s)
{
    size_t len = strlen(s), tail = 0;
    unsigned char lead;

    while (tail < 3 && tail < len && ((unsigned char)s[len - 1 - tail] & 0xc0) == 0x80)
        tail++;
    if (tail == len) return;
    lead = (unsigned char)s[len - 1 - tail];
    if ((lead >= 0xc0 && tail < 1) || (lead >= 0xe0 && tail < 2) || (lead >= 0xf0 && tail < 3))
        s[len - 1 - tail] = '\0';
}

static printf_(2, 0) void format_cut(char text[static MSG_MAX], const char *fmt, va_list ap)
{
    int n = vsnprintf(text, MSG_MAX, fmt, ap);

    if (n < 0) text[0] = '\0';
    if (n >= (int)MSG_MAX) drop_partial_char(text);
}

static printf_(2, 3) void set_msg(struct vl_error *err, const char *fmt, ...)
{
    char text[MSG_MAX];
    va_list ap;

    va_start(ap, fmt);
    format_cut(text, fmt, ap);
    va_end(ap);
    memcpy(err->msg, text, sizeof(text));
}

int vl_fail(struct vl_error *err, enum vl_kind kind, const char *fmt, ...)
{
    char text[MSG_MAX];
    va_list ap;

    if (!err) return -kind_errno(kind);
    va_start(ap, fmt);
    format_cut(text, fmt, ap);
    va_end(ap);
    memcpy(err->msg, text, sizeof(text));
    err->kind = kind;
    err->errnum = 0;
    return -kind_errno(kind);
}

int vl_fail_errno(struct vl_error *err, int errnum, const char *fmt, ...)
{
    char text[MSG_MAX];
    va_list ap;

    if (errnum < 0) errnum = -errnum;
    if (errnum == 0) errnum = EIO; /* a caller that lost its errno must still fail */
    if (!err) return -errnum;
    va_start(ap, fmt);
    format_cut(text, fmt, ap);
    va_end(ap);
    set_msg(err, "%s: %s", text, vl_strerror(errnum));
    err->kind = errnum == ENOSPC || errnum == EDQUOT ? VL_NO_SPACE : VL_INTERNAL;
    err->errnum = errnum;
    return -errnum;
}

int vl_wrap(struct vl_error *err, const char *fmt, ...)
{
    char text[MSG_MAX];
    va_list ap;

    if (!err) return -EIO;
    va_start(ap, fmt);
    format_cut(text, fmt, ap);
    va_end(ap);
    set_msg(err, "%s: %s", text, err->msg);
    return err->errnum ? -err->errnum : -kind_errno(err->kind);
}
