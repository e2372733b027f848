/* SPDX-License-Identifier: Apache-2.0 */
/* A database in a temporary folder, and operations written as plain functions; for this folder's tests only. */
#pragma once
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/unit.h"
#include "store/sql_internal.h"
#include "store/store.h"

struct testdb {
    struct loop *loop;
    struct store *store;
    char dir[64], path[96];
    struct vl_error err;
};

static inline void testdb_open(struct testdb *t)
{
    t->err = (struct vl_error){0};
    if (store_open(t->loop, t->path, &t->store, &t->err) < 0) fail_msg("%s", t->err.msg);
}

static inline void testdb_close(struct testdb *t)
{
    store_close(t->store); /* still there for what its operations post */
    t->store = NULL;
}

/* The folder and the path alone. */
static inline void testdb_make_dir(struct testdb *t)
{
    *t = (struct testdb){0};
    assert_int_equal(loop_new(&t->loop), 0);
    (void)snprintf(t->dir, sizeof(t->dir), "/tmp/volant-store-XXXXXX");
    assert_non_null(mkdtemp(t->dir));
    (void)snprintf(t->path, sizeof(t->path), "%s/volant.db", t->dir);
}

static inline void testdb_make(struct testdb *t)
{
    testdb_make_dir(t);
    testdb_open(t);
}

static inline void testdb_remove(struct testdb *t)
{
    testdb_close(t);
    loop_free(take_ptr(t->loop));
    assert_int_equal(remove_tree_at(AT_FDCWD, t->dir), 0);
}

struct test_op {
    struct store_op op;
    int (*fn)(struct store_tx *tx, void *arg, struct vl_error *err);
    void *arg;
};

static inline int test_op_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    struct test_op *o = container_of(op, struct test_op, op);

    return o->fn(tx, o->arg, err);
}

/* In a transaction; t->err says what failed. */
static inline int testdb_run(struct testdb *t, int (*fn)(struct store_tx *tx, void *arg, struct vl_error *err),
                             void *arg)
{
    struct test_op o = {.op.run = test_op_run, .fn = fn, .arg = arg};

    t->err = (struct vl_error){0};
    return store_run(t->store, &o.op, &t->err);
}

static inline int test_number(struct store_tx *tx, void *arg, struct vl_error *err)
{
    int64_t *n = ((void **)arg)[1];

    return sql_number(tx, ((char **)arg)[0], n, err);
}

/* The number that a SELECT gives. */
static inline int64_t testdb_number(struct testdb *t, const char *sql)
{
    int64_t n = -1;
    void *args[] = {(char *)sql, &n};

    if (testdb_run(t, test_number, args) < 0) fail_msg("%s", t->err.msg);
    return n;
}

static inline int test_script(struct store_tx *tx, void *arg, struct vl_error *err)
{
    return sql_script(tx, arg, err);
}
