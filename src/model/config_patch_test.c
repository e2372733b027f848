/* SPDX-License-Identifier: Apache-2.0 */
#include "model/config_patch.h"

#include <string.h>

#include "base/unit.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define MANIFEST(name)                                                                                                 \
    "{'name':'" name "','version':'1','initramfs':{'url':'/a','checksum':'sha256:" HEX "'},"                           \
    "'workload':{'entrypoint':['/a']}}"

/* Single quotes stand for double ones. */
static json_t *parse(const char *text)
{
    auto_free char *copy = strdup(text);
    json_t *j = NULL;
    struct vl_error err = {0};

    assert_non_null(copy);
    for (char *c = copy; *c; c++)
        if (*c == '\'') *c = '"';
    if (json_parse(copy, strlen(copy), "test", &j, &err) < 0) fail_msg("%s: %s", text, err.msg);
    return j;
}

#define WHOLE                                                                                                          \
    "{'plugin':'web','runtime':'rt','resources':{'cpu_cores':2,'memory_mb':128},'kernel_override':'/k/a',"             \
    "'kernel_cmdline':'x','restart':'always','metadata':{'a':1},'api':{'host':'h','port':'1'},"                        \
    "'network':{'mode':'dhcp'},'devices':{'allowlist':['d']},'cloud_init':{'a':'b'},"                                  \
    "'initramfs':{'url':'/i'},'rootfs':{'url':'/r'},"                                                                  \
    "'expose':[{'protocol':'tcp','host_ip':'127.0.0.1','host_port':8080,'port':80}]}"

/* Each row of contract 4.3: the patch, and what the key it names is afterwards (NULL: not there). */
static const struct {
    const char *patch, *key, *after;
} rows[] = {
    {"{}", "runtime", "'rt'"},
    {"{'runtime':null}", "runtime", "'rt'"},
    {"{'runtime':'other'}", "runtime", "'other'"},
    {"{'runtime':''}", "runtime", NULL},
    {"{'kernel_cmdline':'y'}", "kernel_cmdline", "'y'"},
    {"{'kernel_cmdline':''}", "kernel_cmdline", NULL},
    {"{'kernel_override':' /k/b '}", "kernel_override", "'/k/b'"},
    {"{'kernel_override':''}", "kernel_override", NULL},
    {"{'restart':'no'}", "restart", "'no'"},
    {"{'restart':''}", "restart", NULL},
    {"{'resources':{'cpu_cores':3}}", "resources", "{'cpu_cores':3,'memory_mb':128}"},
    {"{'resources':{'memory_mb':256,'cpu_cores':null}}", "resources", "{'cpu_cores':2,'memory_mb':256}"},
    {"{'resources':{'cpu_cores':0,'memory_mb':0}}", "resources",
     "{'cpu_cores':2,'memory_mb':128}"}, /* the original's */
    {"{'resources':{}}", "resources", "{'cpu_cores':2,'memory_mb':128}"},
    {"{'api':{'port':'2'}}", "api", "{'host':'h','port':'2'}"},
    {"{'api':null}", "api", "{'host':'h','port':'1'}"},
    {"{'metadata':{'b':2}}", "metadata", "{'b':2}"},
    {"{'metadata':null}", "metadata", "{'a':1}"},
    {"{'metadata':{}}", "metadata", NULL},
    {"{'expose':[]}", "expose", NULL},
    {"{'expose':null}", "expose", "[{'protocol':'tcp','host_ip':'127.0.0.1','host_port':8080,'port':80}]"},
    {"{'expose':[{'port':81}]}", "expose", "[{'protocol':'tcp','host_ip':'127.0.0.1','host_port':0,'port':81}]"},
    {"{'network':{'mode':'vsock'}}", "network", "{'mode':'vsock'}"},
    {"{'network':{}}", "network", NULL},
    {"{'devices':{'pci_passthrough':['p']}}", "devices", "{'pci_passthrough':['p']}"},
    {"{'devices':{}}", "devices", NULL},
    {"{'cloud_init':{'c':'d'}}", "cloud_init", "{'c':'d'}"},
    {"{'initramfs':{'url':'/j'}}", "initramfs", "{'url':'/j'}"},
    {"{'rootfs':{'checksum':'c'}}", "rootfs", "{'checksum':'c'}"},
    {"{'rootfs':null}", "rootfs", "{'url':'/r'}"},
    {"{'plugin':'web'}", "plugin", "'web'"},
    {"{'plugin':''}", "plugin", "'web'"},
    {"{'plugin':null}", "plugin", "'web'"},
    {"{'unheard':1}", "unheard", NULL},
};

static void each_row_of_the_contract(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_auto_t *config = parse(WHOLE), *before = parse(WHOLE), *patch = parse(rows[i].patch), *ret = NULL;
        auto_free char *wrapped = rows[i].after ? strf_new("[%s]", rows[i].after) : NULL;
        json_auto_t *after = wrapped ? parse(wrapped) : NULL;
        struct vl_error err = {0};

        if (vm_config_patch(config, patch, false, &ret, NULL, &err) < 0) fail_msg("%s: %s", rows[i].patch, err.msg);
        assert_true(json_equal(config, before));
        if (after && !json_equal(json_object_get(ret, rows[i].key), json_array_get(after, 0)))
            fail_msg("%s: %s", rows[i].patch, json_dumps(ret, 0));
        if (!after) assert_null(json_object_get(ret, rows[i].key));
        /* Nothing else changed. */
        (void)json_object_del(ret, rows[i].key);
        (void)json_object_del(before, rows[i].key);
        if (!json_equal(ret, before)) fail_msg("%s: %s", rows[i].patch, json_dumps(ret, 0));
    }
}

static void a_manifest_replaces_as_a_whole(void **state)
{
    json_auto_t *config = parse("{'plugin':'web','manifest':" MANIFEST("web") "}"), *first = NULL, *second = NULL;
    json_auto_t *patch = parse("{'manifest':" MANIFEST("web") "}"), *clear = parse("{'manifest':{}}");
    json_t *m = json_object_get(patch, "manifest");

    (void)state;
    assert_int_equal(json_object_set_new(m, "version", json_string(" 2 ")), 0);
    assert_int_equal(vm_config_patch(config, patch, false, &first, NULL, NULL), 0);
    m = json_object_get(first, "manifest");
    assert_string_equal(json_string_value(json_object_get(m, "version")), "2");
    assert_string_equal(json_string_value(json_object_get(m, "runtime")), "web"); /* settled */
    assert_int_equal(vm_config_patch(first, clear, false, &second, NULL, NULL), 0);
    assert_null(json_object_get(second, "manifest"));
}

static void another_plugin_where_allowed(void **state)
{
    json_auto_t *config = parse("{'plugin':'web','runtime':'web','manifest':" MANIFEST("web") "}"), *ret = NULL;
    json_auto_t *patch = parse("{'plugin':'db'}"), *with = parse("{'plugin':'db','manifest':" MANIFEST("db") "}");
    json_auto_t *full = NULL;
    struct vl_error err = {0};

    (void)state;
    assert_true(vm_config_patch(config, patch, false, &ret, NULL, &err) < 0);
    assert_int_equal(err.kind, VL_INVALID);
    assert_non_null(strstr(err.msg, "config.plugin is \"db\""));
    assert_null(ret);
    assert_int_equal(vm_config_patch(config, patch, true, &ret, NULL, NULL), 0);
    assert_string_equal(json_string_value(json_object_get(ret, "plugin")), "db");
    assert_null(json_object_get(ret, "manifest"));
    assert_null(json_object_get(ret, "runtime"));
    assert_int_equal(vm_config_patch(config, with, true, &full, NULL, NULL), 0);
    assert_non_null(json_object_get(full, "manifest"));
}

static void what_has_no_effect_is_named(void **state)
{
    json_auto_t *config = parse(WHOLE), *patch = parse("{'unheard':1,'network':{'mode':'dhcp'}}"), *ret = NULL;
    auto_strv notes = {0};

    (void)state;
    assert_int_equal(vm_config_patch(config, patch, false, &ret, &notes, NULL), 0);
    assert_int_equal(notes.len, 2);
    assert_string_equal(notes.items[0], "'config.unheard' is unknown and ignored");
    assert_string_equal(notes.items[1], "'config.network' has no effect in this version");
}

static const struct {
    const char *patch, *says;
} bad[] = {
    {"[]", "config must be an object, is an array"},
    {"{'resources':5}", "config.resources must be an object, is an integer"},
    {"{'resources':{'memory_mb':1}}", "config.resources.memory_mb is 1, allowed 48"},
    {"{'api':'x'}", "config.api must be an object, is a string"},
    {"{'runtime':[]}", "config.runtime must be a string, is an array"},
    {"{'metadata':[]}", "config.metadata must be an object, is an array"},
    {"{'restart':'never'}", "config.restart is \"never\", allowed: no, on-failure, always"},
    {"{'expose':{}}", "config.expose must be an array"},
    {"{'expose':[{}]}", "config.expose[0].port is missing"},
    {"{'expose':[{'port':1,'host_ip':'10.0.0.1'}]}", "config.expose[0].host_ip is \"10.0.0.1\""},
    {"{'expose':[{'port':1,'host_port':5},{'port':2,'host_port':5}]}", "config.expose[1].host_port"},
    {"{'manifest':{'name':'web'}}", "config.manifest: version is missing"},
    {"{'manifest':" MANIFEST("db") "}", "config.manifest.name is \"db\", the plugin is \"web\""},
    {"{'plugin':7}", "config.plugin must be a string, is an integer"},
    {"{'plugin':'db'}", "config.plugin is \"db\""},
};

static void bad_patches_change_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        json_auto_t *config = parse(WHOLE), *before = parse(WHOLE), *patch = parse(bad[i].patch);
        json_t *const untouched = (json_t *)&bad[i], *ret = untouched;
        auto_strv notes = {0};
        struct vl_error err = {0};

        if (vm_config_patch(config, patch, false, &ret, &notes, &err) == 0) fail_msg("%s is accepted", bad[i].patch);
        assert_int_equal(err.kind, VL_INVALID);
        if (!str_starts(err.msg, bad[i].says)) fail_msg("%s: '%s' is not '%s'", bad[i].patch, err.msg, bad[i].says);
        assert_ptr_equal(ret, untouched);
        assert_int_equal(notes.len, 0);
        assert_true(json_equal(config, before));
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_of_the_contract),     cmocka_unit_test(a_manifest_replaces_as_a_whole),
        cmocka_unit_test(another_plugin_where_allowed), cmocka_unit_test(what_has_no_effect_is_named),
        cmocka_unit_test(bad_patches_change_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
