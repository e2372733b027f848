/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"
#include "store/testdb.h"

static struct testdb db;

#define HASH_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HASH_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static int make(void **state)
{
    (void)state;
    testdb_make(&db);
    return 0;
}

static int drop(void **state)
{
    (void)state;
    testdb_remove(&db);
    return 0;
}

static int insert(struct store_tx *tx, void *arg, struct vl_error *err)
{
    return store_token_insert(tx, arg, err);
}

static int delete (struct store_tx *tx, void *arg, struct vl_error *err)
{
    return store_token_delete(tx, arg, err);
}

static int add_text(void *arg, struct token_row *row)
{
    strbuf_addf(arg, "%s %s %.4s %lld; ", row->name, row->role, row->hash, (long long)row->created_ms);
    return 0;
}

static int read_tokens(struct store_tx *tx, void *arg, struct vl_error *err)
{
    return store_token_each(tx, add_text, arg, err);
}

static void assert_tokens(const char *wanted)
{
    auto_strbuf text = {0};

    assert_int_equal(testdb_run(&db, read_tokens, &text), 0);
    assert_string_equal(text.data ? text.data : "", wanted);
}

static void tokens_are_kept_by_name(void **state)
{
    struct token_row ops = {.name = "ops", .role = "admin", .hash = HASH_A, .created_ms = 5},
                     ci = {.name = "ci", .role = "read", .hash = HASH_B, .created_ms = 6};

    (void)state;
    assert_tokens("");
    assert_int_equal(testdb_run(&db, insert, &ops), 0);
    assert_int_equal(testdb_run(&db, insert, &ci), 0);
    assert_tokens("ci read bbbb 6; ops admin aaaa 5; ");
    ci.role = "admin";
    assert_true(testdb_run(&db, insert, &ci) < 0);
    assert_int_equal(db.err.kind, VL_CONFLICT);
    assert_int_equal(testdb_run(&db, delete, "ops"), 0);
    assert_true(testdb_run(&db, delete, "ops") < 0);
    assert_int_equal(db.err.kind, VL_NOT_FOUND);
    testdb_close(&db);
    testdb_open(&db);
    assert_tokens("ci read bbbb 6; ");
}

static void what_is_no_token_is_refused(void **state)
{
    struct token_row bad[] = {{.name = "a", .role = "root", .hash = HASH_A},
                              {.name = "a", .role = "read", .hash = "short"},
                              {.name = "", .role = "read", .hash = HASH_A}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_true(testdb_run(&db, insert, &bad[i]) < 0);
    assert_tokens("");
}

#define with_db(test) cmocka_unit_test_setup_teardown(test, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_db(tokens_are_kept_by_name),
        with_db(what_is_no_token_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
