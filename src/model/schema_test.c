/* SPDX-License-Identifier: Apache-2.0 */
#include "model/schema.h"

#include <string.h>

#include "base/unit.h"

struct inner {
    int64_t x;
    char *s;
};
static const struct field inner_fields[] = {
    {"x", FIELD_INT, .flags = FIELD_REQUIRED, .offset = offsetof(struct inner, x), .min = 1, .max = 65535},
    {"s", FIELD_STRING, .offset = offsetof(struct inner, s)},
};
static const struct schema inner_schema = {"inner", sizeof(struct inner), inner_fields, ARRAY_LEN(inner_fields)};

struct sample {
    char *name, *kind, *secret;
    bool on, emitted;
    int64_t count, any, zero;
    struct strv tags, free_tags;
    struct strmap env;
    struct inner one;
    struct objects many;
    int64_t undescribed;
};
static const char *const kinds[] = {"reboot", "poweroff", NULL};
#define AT(member) offsetof(struct sample, member)
static const struct field sample_fields[] = {
    {"name", FIELD_STRING, .flags = FIELD_REQUIRED, .offset = AT(name), .min = 1, .max = 8},
    {"kind", FIELD_STRING, .offset = AT(kind), .choices = kinds},
    {"secret", FIELD_STRING, .flags = FIELD_INTERNAL, .offset = AT(secret)},
    {"on", FIELD_BOOL, .offset = AT(on), .def = true},
    {"emitted", FIELD_BOOL, .flags = FIELD_EMIT, .offset = AT(emitted)},
    {"count", FIELD_INT, .offset = AT(count), .min = 48, .max = 1024, .def = 100},
    {"any", FIELD_INT, .offset = AT(any)},
    {"zero", FIELD_INT, .offset = AT(zero), .min = 5, .max = 6},
    {"tags", FIELD_STRINGS, .offset = AT(tags), .min = 1, .max = 3},
    {"free_tags", FIELD_STRINGS, .flags = FIELD_EMIT, .offset = AT(free_tags)},
    {"env", FIELD_MAP, .offset = AT(env), .max = 2},
    {"one", FIELD_OBJECT, .offset = AT(one), .sub = &inner_schema},
    {"many", FIELD_OBJECTS, .offset = AT(many), .max = 2, .sub = &inner_schema},
    {"old", FIELD_OBJECT, .flags = FIELD_IGNORED},
    {"olds", FIELD_OBJECTS, .flags = FIELD_IGNORED},
    {"old_text", FIELD_STRING, .flags = FIELD_IGNORED},
};
static const struct schema sample_schema = {"sample", sizeof(struct sample), sample_fields, ARRAY_LEN(sample_fields)};

static json_t *parse(const char *text)
{
    struct vl_error err = {0};
    json_t *j = NULL;

    if (json_parse(text, strlen(text), "test", &j, &err) < 0) fail_msg("%s: %s", text, err.msg);
    return j;
}

static void assert_zero(const void *at, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(((const unsigned char *)at)[i], 0);
}

static void assert_encodes(const struct sample *s, const char *expected)
{
    json_auto_t *j = schema_encode(&sample_schema, s);
    auto_free char *text = json_text(j);

    assert_non_null(text);
    assert_string_equal(text, expected);
}

#define A61 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
static const struct {
    const char *json, *message;
} bad[] = {
    {"[]", "config must be an object, is an array"},
    {"{}", "config.name is missing"},
    {"{\"name\":null}", "config.name is missing"},
    {"{\"name\":1}", "config.name must be a string, is an integer"},
    {"{\"name\":1.5}", "config.name must be a string, is a number with a fraction"},
    {"{\"name\":true}", "config.name must be a string, is a boolean"},
    {"{\"name\":[\"a\"]}", "config.name must be a string, is an array"},
    {"{\"name\":{}}", "config.name must be a string, is an object"},
    {"{\"name\":\"\"}", "config.name is 0 bytes long, allowed 1 to 8"},
    {"{\"name\":\"123456789\"}", "config.name is 9 bytes long, allowed 1 to 8"},
    {"{\"Name\":\"a\"}", "config.name is missing"},
    {"{\"name\":\"a\",\"kind\":\"foo\"}", "config.kind is \"foo\", allowed: reboot, poweroff"},
    {"{\"name\":\"a\",\"kind\":\"Reboot\"}", "config.kind is \"Reboot\", allowed: reboot, poweroff"},
    {"{\"name\":\"a\",\"kind\":\"a\\u001b[2J\\n\"}", "config.kind is \"a\\x1b[2J\\x0a\", allowed: reboot, poweroff"},
    {"{\"name\":\"a\",\"kind\":\"" A61 "\"}",
     "config.kind is \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\", "
     "allowed: reboot, poweroff"},
    {"{\"name\":\"a\",\"kind\":7}", "config.kind must be a string, is an integer"},
    {"{\"name\":\"a\",\"on\":1}", "config.on must be true or false, is an integer"},
    {"{\"name\":\"a\",\"on\":\"true\"}", "config.on must be true or false, is a string"},
    {"{\"name\":\"a\",\"count\":47}", "config.count is 47, allowed 48 to 1024"},
    {"{\"name\":\"a\",\"count\":1025}", "config.count is 1025, allowed 48 to 1024"},
    {"{\"name\":\"a\",\"count\":0}", "config.count is 0, allowed 48 to 1024"},
    {"{\"name\":\"a\",\"count\":-9223372036854775808}", "config.count is -9223372036854775808, allowed 48 to 1024"},
    {"{\"name\":\"a\",\"count\":\"64\"}", "config.count must be an integer, is a string"},
    {"{\"name\":\"a\",\"count\":64.0}", "config.count must be an integer, is a number with a fraction"},
    {"{\"name\":\"a\",\"count\":6e1}", "config.count must be an integer, is a number with a fraction"},
    {"{\"name\":\"a\",\"count\":true}", "config.count must be an integer, is a boolean"},
    {"{\"name\":\"a\",\"any\":[]}", "config.any must be an integer, is an array"},
    {"{\"name\":\"a\",\"zero\":4}", "config.zero is 4, allowed 5 to 6"},
    {"{\"name\":\"a\",\"zero\":-1}", "config.zero is -1, allowed 5 to 6"},
    {"{\"name\":\"a\",\"tags\":\"x\"}", "config.tags must be an array of strings, is a string"},
    {"{\"name\":\"a\",\"tags\":{}}", "config.tags must be an array of strings, is an object"},
    {"{\"name\":\"a\",\"tags\":[]}", "config.tags has 0 entries, allowed 1 to 3"},
    {"{\"name\":\"a\",\"tags\":[\"1\",\"2\",\"3\",\"4\"]}", "config.tags has 4 entries, allowed 1 to 3"},
    {"{\"name\":\"a\",\"tags\":[\"1\",2]}", "config.tags[1] must be a string, is an integer"},
    {"{\"name\":\"a\",\"tags\":[null]}", "config.tags[0] must be a string, is null"},
    {"{\"name\":\"a\",\"tags\":[[\"x\"]]}", "config.tags[0] must be a string, is an array"},
    {"{\"name\":\"a\",\"env\":[]}", "config.env must be an object of strings, is an array"},
    {"{\"name\":\"a\",\"env\":\"A=b\"}", "config.env must be an object of strings, is a string"},
    {"{\"name\":\"a\",\"env\":{\"A\":1}}", "config.env.A must be a string, is an integer"},
    {"{\"name\":\"a\",\"env\":{\"\\u0007\":{}}}", "config.env.\\x07 must be a string, is an object"},
    {"{\"name\":\"a\",\"env\":{\"A\":\"\",\"B\":\"\",\"C\":\"\"}}", "config.env has 3 entries, allowed 0 to 2"},
    {"{\"name\":\"a\",\"one\":[]}", "config.one must be an object, is an array"},
    {"{\"name\":\"a\",\"one\":{}}", "config.one.x is missing"},
    {"{\"name\":\"a\",\"one\":{\"s\":\"\"}}", "config.one.x is missing"},
    {"{\"name\":\"a\",\"one\":{\"x\":0}}", "config.one.x is 0, allowed 1 to 65535"},
    {"{\"name\":\"a\",\"one\":{\"x\":1,\"s\":false}}", "config.one.s must be a string, is a boolean"},
    {"{\"name\":\"a\",\"many\":{}}", "config.many must be an array of objects, is an object"},
    {"{\"name\":\"a\",\"many\":[1]}", "config.many[0] must be an object, is an integer"},
    {"{\"name\":\"a\",\"many\":[{\"x\":1},{\"x\":70000}]}", "config.many[1].x is 70000, allowed 1 to 65535"},
    {"{\"name\":\"a\",\"many\":[{\"x\":1,\"s\":\"t\"},null]}", "config.many[1] must be an object, is null"},
    {"{\"name\":\"a\",\"many\":[{\"x\":1},{\"x\":1},{\"x\":1}]}", "config.many has 3 entries, allowed 0 to 2"},
    {"{\"name\":\"a\",\"old\":[]}", "config.old must be an object, is an array"},
    {"{\"name\":\"a\",\"olds\":\"\"}", "config.olds must be an array of objects, is a string"},
    {"{\"name\":\"a\",\"old_text\":5}", "config.old_text must be a string, is an integer"},
};

static void bad_input_is_named_and_leaves_zeroes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        json_auto_t *j = parse(bad[i].json);
        struct vl_error err = {0};
        auto_strv notes = {0};
        struct sample s;

        memset(&s, 0x5a, sizeof(s));
        assert_int_equal(schema_decode(&sample_schema, j, "config", &s, &notes, &err), -EINVAL);
        assert_string_equal(err.msg, bad[i].message);
        assert_int_equal(err.kind, VL_INVALID);
        assert_zero(&s, sizeof(s));
        assert_null(notes.items);
    }
}

static void prefixes(void **state)
{
    static const struct {
        const char *prefix, *json, *message;
    } table[] = {
        {NULL, "{}", "sample.name is missing"},
        {"", "{}", "name is missing"},
        {"", "[]", "sample must be an object, is an array"},
        {"", "{\"name\":\"a\",\"tags\":[2]}", "tags[0] must be a string, is an integer"},
        {"/volant/x.json", "{}", "/volant/x.json.name is missing"},
        {NULL, "[]", "sample must be an object, is an array"},
    };
    struct vl_error err;
    struct sample s;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        json_auto_t *j = parse(table[i].json);

        assert_int_equal(schema_decode(&sample_schema, j, table[i].prefix, &s, NULL, &err), -EINVAL);
        assert_string_equal(err.msg, table[i].message);
    }
    assert_int_equal(schema_decode(&sample_schema, NULL, NULL, &s, NULL, &err), -EINVAL);
    assert_string_equal(err.msg, "sample must be an object, is missing");
    assert_int_equal(schema_decode(&sample_schema, NULL, NULL, &s, NULL, NULL), -EINVAL);
}

static void a_string_with_nul_is_refused(void **state)
{
    json_auto_t *j = json_pack("{s:o}", "name", json_stringn("a\0b", 3));
    struct vl_error err;
    struct sample s;

    (void)state;
    assert_int_equal(schema_decode(&sample_schema, j, "", &s, NULL, &err), -EINVAL);
    assert_string_equal(err.msg, "name holds a NUL character: remove it");
}

static void counts_are_bounded_without_a_maximum_too(void **state)
{
    json_auto_t *list = json_array(), *j = json_pack("{s:s, s:O}", "name", "a", "free_tags", list);
    struct vl_error err;
    struct sample s;

    (void)state;
    for (int i = 0; i <= FIELD_ITEMS_MAX; i++)
        assert_int_equal(json_array_append_new(list, json_string("x")), 0);
    assert_int_equal(schema_decode(&sample_schema, j, "", &s, NULL, &err), -EINVAL);
    assert_string_equal(err.msg, "free_tags has 1025 entries, allowed 0 to 1024");
    assert_int_equal(json_array_remove(list, 0), 0);
    assert_int_equal(schema_decode(&sample_schema, j, "", &s, NULL, &err), 0);
    assert_int_equal(s.free_tags.len, FIELD_ITEMS_MAX);
    schema_done(&sample_schema, &s);
}

static void absent_fields_have_their_defaults(void **state)
{
    static const char *const inputs[] = {
        "{\"name\":\"a\"}",
        "{\"name\":\"a\",\"kind\":null,\"on\":null,\"count\":null,\"tags\":null,\"env\":null,\"one\":null,\"many\":"
        "null,"
        "\"old\":null,\"secret\":null}",
        "{\"name\":\"a\",\"kind\":\"\",\"count\":100,\"zero\":0,\"env\":{\"A\":null},\"many\":[]}",
    };
    struct vl_error err;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(inputs); i++) {
        json_auto_t *j = parse(inputs[i]);
        struct sample s;

        memset(&s, 0x5a, sizeof(s));
        assert_int_equal(schema_decode(&sample_schema, j, NULL, &s, NULL, &err), 0);
        assert_true(s.on);
        assert_int_equal(s.count, 100);
        assert_null(s.kind);
        assert_int_equal(s.tags.len + s.env.len + s.many.len + (size_t)s.one.x + (size_t)s.undescribed, 0);
        assert_encodes(&s, "{\"name\":\"a\",\"emitted\":false,\"free_tags\":[]}");
        schema_done(&sample_schema, &s);
        assert_zero(&s, sizeof(s));
    }
}

#define FULL                                                                                                           \
    "{\"name\":\"\xc3\xa9\",\"kind\":\"reboot\",\"on\":false,\"emitted\":true,\"count\":1024,"                         \
    "\"any\":-9223372036854775808,\"zero\":6,\"tags\":[\"\",\"<b>\"],\"free_tags\":[\"x\"],\"env\":{\"B\":\"\",\"A\":" \
    "\"1\"},"                                                                                                          \
    "\"one\":{\"x\":65535,\"s\":\"t\"},\"many\":[{\"x\":1},{\"x\":2,\"s\":\"u\"}]}"

static void a_full_object_comes_back_as_it_was(void **state)
{
    json_auto_t *j = parse(FULL);
    struct vl_error err;
    struct sample s, copy;

    (void)state;
    memset(&copy, 0x5a, sizeof(copy));
    assert_int_equal(schema_decode(&sample_schema, j, NULL, &s, NULL, &err), 0);
    assert_int_equal(s.any, INT64_MIN);
    assert_string_equal(strmap_get(&s.env, "A"), "1");
    assert_null(s.tags.items[2]);
    assert_encodes(&s, FULL);
    assert_int_equal(schema_copy(&sample_schema, &s, &copy), 0);
    assert_true(schema_equal(&sample_schema, &s, &copy));
    schema_done(&sample_schema, &s);
    assert_encodes(&copy, FULL);
    schema_done(&sample_schema, &copy);
    schema_done(&sample_schema, &copy);
    assert_zero(&copy, sizeof(copy));
}

static void a_difference_anywhere_is_seen(void **state)
{
    static const char *const others[] = {
        "{\"name\":\"e\",\"count\":1024}",
        "{\"name\":\"e\",\"count\":1023}",
        "{\"name\":\"e\",\"count\":1024,\"on\":false}",
        "{\"name\":\"e\",\"count\":1024,\"tags\":[\"a\"]}",
        "{\"name\":\"e\",\"count\":1024,\"tags\":[\"b\"]}",
        "{\"name\":\"e\",\"count\":1024,\"env\":{\"A\":\"1\"}}",
        "{\"name\":\"e\",\"count\":1024,\"env\":{\"A\":\"2\"}}",
        "{\"name\":\"e\",\"count\":1024,\"env\":{\"B\":\"1\"}}",
        "{\"name\":\"e\",\"count\":1024,\"one\":{\"x\":1}}",
        "{\"name\":\"e\",\"count\":1024,\"many\":[{\"x\":1}]}",
        "{\"name\":\"e\",\"count\":1024,\"many\":[{\"x\":2}]}",
        "{\"name\":\"e\",\"count\":1024,\"many\":[{\"x\":2,\"s\":\"t\"}]}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        for (size_t k = 0; k < ARRAY_LEN(others); k++) {
            json_auto_t *a = parse(others[i]), *b = parse(others[k]);
            struct sample x, y;

            assert_int_equal(schema_decode(&sample_schema, a, NULL, &x, NULL, NULL), 0);
            assert_int_equal(schema_decode(&sample_schema, b, NULL, &y, NULL, NULL), 0);
            assert_int_equal(schema_equal(&sample_schema, &x, &y), i == k);
            schema_done(&sample_schema, &x);
            schema_done(&sample_schema, &y);
        }
}

static void empty_is_what_absent_would_decode_to(void **state)
{
    struct sample s = {.name = (char *)"", .on = true, .count = 0, .secret = (char *)"s"};

    (void)state;
    assert_encodes(&s, "{\"name\":\"\",\"secret\":\"s\",\"emitted\":false,\"count\":0,\"free_tags\":[]}");
    s.one.s = (char *)"";
    s.count = 100;
    s.secret = NULL;
    assert_encodes(&s, "{\"name\":\"\",\"emitted\":false,\"free_tags\":[]}");
    s.one.s = (char *)"t";
    assert_encodes(&s, "{\"name\":\"\",\"emitted\":false,\"free_tags\":[],\"one\":{\"x\":0,\"s\":\"t\"}}");
}

static void bytes_that_are_no_utf8_are_replaced(void **state)
{
    struct strpair pair = {.key = (char *)"k\xff", .value = (char *)"\xe2\x82"};
    struct sample s = {.name = (char *)"\xffgood\xc0\x80", .on = true, .count = 100, .env = {.items = &pair, .len = 1}};

    (void)state;
    assert_encodes(&s, "{\"name\":\"\xef\xbf\xbdgood\xef\xbf\xbd\xef\xbf\xbd\",\"emitted\":false,\"free_tags\":[],"
                       "\"env\":{\"k\xef\xbf\xbd\":\"\xef\xbf\xbd\xef\xbf\xbd\"}}");
}

static void keys_without_effect_are_noted(void **state)
{
    json_auto_t *j = parse("{\"name\":\"a\",\"new\":1,\"secret\":\"s\",\"old\":{\"a\":{\"b\":2}},\"olds\":[{}],"
                           "\"old_text\":\"\",\"one\":{\"x\":1,\"\\u001b\":null},\"many\":[{\"x\":1,\"y\":[]}]}");
    auto_strv notes = {0};
    struct vl_error err;
    struct sample s;

    (void)state;
    assert_int_equal(strv_add(&notes, "there before"), 0);
    assert_int_equal(schema_decode(&sample_schema, j, "", &s, &notes, &err), 0);
    assert_null(s.secret);
    assert_int_equal(notes.len, 6);
    assert_string_equal(notes.items[1], "'one.\\x1b' is unknown and ignored");
    assert_string_equal(notes.items[2], "'many[0].y' is unknown and ignored");
    assert_string_equal(notes.items[3], "'new' is unknown and ignored");
    assert_string_equal(notes.items[4], "'secret' is unknown and ignored");
    assert_string_equal(notes.items[5], "'old' has no effect in this version");
    schema_done(&sample_schema, &s);
}

static void what_was_never_set_is_not_noted(void **state)
{
    json_auto_t *j =
        parse("{\"name\":\"a\",\"old\":{\"s\":\"\",\"n\":0,\"b\":false,\"z\":null,\"l\":[{}]},\"olds\":[]}");
    auto_strv notes = {0};
    struct vl_error err;
    struct sample s;

    (void)state;
    assert_int_equal(schema_decode(&sample_schema, j, "", &s, &notes, &err), 0);
    assert_int_equal(notes.len, 0);
    schema_done(&sample_schema, &s);
}

static void notes_are_bounded(void **state)
{
    json_auto_t *j = json_pack("{s:s}", "name", "a");
    auto_strv notes = {0};
    struct vl_error err;
    struct sample s;
    char key[120];

    (void)state;
    for (int i = 0; i < 1000; i++) {
        assert_true(strf(key, sizeof(key), "%0100d", i) > 0);
        assert_int_equal(json_object_set_new(j, key, json_null()), 0);
    }
    assert_int_equal(schema_decode(&sample_schema, j, "", &s, &notes, &err), 0);
    assert_int_equal(notes.len, 64);
    assert_true(strlen(notes.items[0]) < 100);
    schema_done(&sample_schema, &s);
}

static void a_long_path_is_cut(void **state)
{
    json_auto_t *j = parse("{\"name\":\"a\",\"many\":[{\"x\":0}]}");
    char prefix[601] = "";
    struct vl_error err;
    struct sample s;

    (void)state;
    memset(prefix, 'p', sizeof(prefix) - 1);
    assert_int_equal(schema_decode(&sample_schema, j, prefix, &s, NULL, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "ppp....many[0].x is 0, allowed 1 to 65535"));
}

static void quoting(void **state)
{
    static const struct {
        const char *text, *shown;
    } table[] = {
        {"", "\"\""},
        {"plain", "\"plain\""},
        {"\x1b]0;x\x07", "\"\\x1b]0;x\\x07\""},
        {A61, "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\""},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3\xa9",
         "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\""},
    };
    char buf[QUOTED_SIZE];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        assert_string_equal(quoted(table[i].text, buf), table[i].shown);
}

static void maps(void **state)
{
    struct strmap m = {0};

    (void)state;
    assert_null(strmap_get(&m, "a"));
    assert_int_equal(strmap_set(&m, "b", "1"), 0);
    assert_int_equal(strmap_set(&m, "a", ""), 0);
    assert_int_equal(strmap_set(&m, "b", "2"), 0);
    assert_int_equal(m.len, 2);
    assert_string_equal(strmap_get(&m, "b"), "2");
    assert_string_equal(m.items[0].key, "b");
    assert_string_equal(strmap_get(&m, "a"), "");
    strmap_done(&m);
    assert_zero(&m, sizeof(m));
    strmap_done(&m);
}

/*
 * Running out of memory: the n-th copy of a string, growth of a vector or allocation of jansson's fails, for every n
 * until nothing fails any more. Leaks and use after free are the sanitizer's to find.
 */
static long allocations_left = -1; /* -1: any number */

static bool may_allocate(void)
{
    if (allocations_left > 0) allocations_left--;
    return allocations_left != 0;
}

char *strdup(const char *s)
{
    size_t len = strlen(s) + 1;
    char *copy = may_allocate() ? malloc(len) : NULL;

    return copy ? memcpy(copy, s, len) : NULL;
}

void *reallocarray(void *p, size_t n, size_t size)
{
    size_t total;

    return may_allocate() && !__builtin_mul_overflow(n, size, &total) ? realloc(p, total) : NULL;
}

static void *scarce_malloc(size_t n)
{
    return may_allocate() ? malloc(n) : NULL;
}

static bool try_all(const json_t *in, struct sample *s, struct sample *copy)
{
    json_auto_t *j = NULL;
    auto_strv notes = {0};
    struct vl_error err = {0};
    int r;

    if ((r = schema_decode(&sample_schema, in, NULL, s, &notes, &err)) < 0) {
        assert_int_equal(r, -ENOMEM);
        assert_int_equal(err.kind, VL_INTERNAL);
        assert_zero(s, sizeof(*s));
        return false;
    }
    if ((r = schema_copy(&sample_schema, s, copy)) < 0) {
        assert_int_equal(r, -ENOMEM);
        assert_zero(copy, sizeof(*copy));
        return false;
    }
    return (j = schema_encode(&sample_schema, s)) != NULL;
}

static void running_out_of_memory_is_survived(void **state)
{
    json_auto_t *in = parse(FULL);
    bool done = false;
    long n;

    (void)state;
    assert_int_equal(json_object_set_new(in, "unknown", json_true()), 0);
    json_set_alloc_funcs(scarce_malloc, free);
    for (n = 1; !done && n < 1000; n++) {
        struct sample s, copy = {0};

        allocations_left = n;
        done = try_all(in, &s, &copy);
        allocations_left = -1;
        schema_done(&sample_schema, &s);
        schema_done(&sample_schema, &copy);
    }
    json_set_alloc_funcs(malloc, free);
    assert_true(done);
    assert_true(n > 50);
}

static void what_is_told_is_not_asked_for(void **state)
{
    static const char *const letters[] = {"a", "b", NULL};
    static const struct field fields[] = {
        {"kind", FIELD_STRING, .flags = FIELD_TOLD, .min = 1, .max = 2, .choices = letters, .pattern = "^[ab]"},
        {"at", FIELD_STRING, .offset = sizeof(char *), .max = 40, .format = "date-time"},
        {"all", FIELD_STRINGS, .offset = 2 * sizeof(char *)},
    };
    static const struct schema schema = {"told", 2 * sizeof(char *) + sizeof(struct strv), fields, ARRAY_LEN(fields)};
    json_auto_t *in = json_pack("{s:s}", "kind", "later"), *input = schema_json(&schema, SCHEMA_INPUT),
                *output = schema_json(&schema, SCHEMA_OUTPUT);
    auto_free char *for_input = json_text(input), *for_output = json_text(output);
    struct {
        char *kind, *at;
        struct strv all;
    } have;
    struct vl_error err = {0};

    (void)state;
    assert_int_equal(schema_decode(&schema, in, NULL, &have, NULL, &err), 0);
    assert_string_equal(have.kind, "later");
    schema_done(&schema, &have);
    assert_string_equal(
        for_output, "{\"type\":\"object\",\"properties\":{\"kind\":{\"type\":\"string\",\"minLength\":1,\"maxLength\""
                    ":2,\"pattern\":\"^[ab]\",\"enum\":[\"a\",\"b\"]},\"at\":{\"type\":\"string\",\"maxLength\":40,"
                    "\"format\":\"date-time\"},\"all\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}}}");
    assert_non_null(strstr(for_input, "\"maxItems\":1024"));
}

static void tables_become_json_schemas(void **state)
{
    static const struct field fields[] = {
        {"name", FIELD_STRING, .flags = FIELD_REQUIRED, .min = 1, .max = 8, .about = "Its name."},
        {"kind", FIELD_STRING, .choices = kinds},
        {"secret", FIELD_STRING, .flags = FIELD_INTERNAL},
        {"on", FIELD_BOOL, .flags = FIELD_EMIT, .def = true},
        {"count", FIELD_INT, .min = 48, .max = 1024, .def = 100},
        {"any", FIELD_INT, .def = INT64_MIN},
        {"tags", FIELD_STRINGS, .max = 3},
        {"env", FIELD_MAP, .max = 2},
        {"one", FIELD_OBJECT, .sub = &inner_schema},
        {"many", FIELD_OBJECTS, .sub = &inner_schema},
        {"raw", FIELD_JSON, .flags = 0},
        {"old", FIELD_OBJECT, .flags = FIELD_IGNORED},
    };
    static const struct schema schema = {"sample", 0, fields, ARRAY_LEN(fields)};
    static const char inner[] = "{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"integer\",\"minimum\":1,"
                                "\"maximum\":65535},\"s\":{\"type\":\"string\"}},\"required\":[\"x\"]";
    static const struct {
        enum schema_use use;
        const char *secret, *bound, *required, *end;
    } table[] = {
        {SCHEMA_INPUT, "", ",\"maxItems\":1024", "\"name\"", ""},
        {SCHEMA_INPUT_CLOSED, "", ",\"maxItems\":1024", "\"name\"", ",\"additionalProperties\":false"},
        {SCHEMA_OUTPUT, "\"secret\":{\"type\":\"string\"},", "", "\"name\",\"on\"", ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        json_auto_t *j = schema_json(&schema, table[i].use);
        auto_free char *have = json_text(j), *want = NULL;

        want = strf_new(
            "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"minLength\":1,"
            "\"maxLength\":8,\"description\":\"Its name.\"},\"kind\":{\"type\":\"string\",\"enum\":["
            "\"reboot\",\"poweroff\"]},%s\"on\":{\"type\":\"boolean\",\"default\":true},\"count\":{\"type\":"
            "\"integer\",\"minimum\":48,\"maximum\":1024,\"default\":100},\"any\":{\"type\":\"integer\"},"
            "\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"maxItems\":3},\"env\":{\"type\":"
            "\"object\",\"additionalProperties\":{\"type\":\"string\"},\"maxProperties\":2},\"one\":%s%s},"
            "\"many\":{\"type\":\"array\",\"items\":%s%s}%s},\"raw\":{\"type\":\"object\"}},"
            "\"required\":[%s]%s}",
            table[i].secret, inner, table[i].end, inner, table[i].end, table[i].bound, table[i].required, table[i].end);
        assert_string_equal(have, want);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_input_is_named_and_leaves_zeroes),
        cmocka_unit_test(prefixes),
        cmocka_unit_test(a_string_with_nul_is_refused),
        cmocka_unit_test(counts_are_bounded_without_a_maximum_too),
        cmocka_unit_test(absent_fields_have_their_defaults),
        cmocka_unit_test(a_full_object_comes_back_as_it_was),
        cmocka_unit_test(a_difference_anywhere_is_seen),
        cmocka_unit_test(empty_is_what_absent_would_decode_to),
        cmocka_unit_test(bytes_that_are_no_utf8_are_replaced),
        cmocka_unit_test(keys_without_effect_are_noted),
        cmocka_unit_test(what_was_never_set_is_not_noted),
        cmocka_unit_test(notes_are_bounded),
        cmocka_unit_test(a_long_path_is_cut),
        cmocka_unit_test(quoting),
        cmocka_unit_test(maps),
        cmocka_unit_test(running_out_of_memory_is_survived),
        cmocka_unit_test(what_is_told_is_not_asked_for),
        cmocka_unit_test(tables_become_json_schemas),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
