/* SPDX-License-Identifier: Apache-2.0 */
/* Clean-up by attribute, and the handful of macros every file uses. See CONTRIBUTING.md for how they are meant. */
#pragma once
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_LEN(a)             (sizeof(a) / sizeof((a)[0]))
#define printf_(fmt_at, args_at) __attribute__((format(printf, fmt_at, args_at)))

#define auto_(fn)  __attribute__((cleanup(fn)))
#define auto_free  auto_(freep)
#define auto_close auto_(closep)

/* Defines the clean-up function `fn##p` for variables of `type` that `fn` releases; NULL is never passed on. */
#define DEFINE_AUTO(type, fn)                                                                                          \
    static inline void fn##p(type *p)                                                                                  \
    {                                                                                                                  \
        if (*p) fn(*p);                                                                                                \
    }

/* Moves a pointer out of its variable, so that the variable's clean-up has nothing left to do. */
#define take_ptr(p)                                                                                                    \
    ({                                                                                                                 \
        __typeof__(p) *slot_ = &(p);                                                                                   \
        __typeof__(p) val_ = *slot_;                                                                                   \
        *slot_ = NULL;                                                                                                 \
        val_;                                                                                                          \
    })

static inline void freep(void *p)
{
    free(*(void **)p);
}

/* Keeps errno and never retries: on Linux the descriptor is gone even after EINTR. */
static inline void closep(const int *fd)
{
    int saved = errno;

    if (*fd >= 0) (void)close(*fd);
    errno = saved;
}

/* Moves a descriptor out of its variable. */
static inline int take_fd(int *fd)
{
    int val = *fd;

    *fd = -1;
    return val;
}
