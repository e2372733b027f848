/* SPDX-License-Identifier: Apache-2.0 */
#include "model/vm.h"

#include <string.h>

#include "base/unit.h"

static json_t *parse(const char *text)
{
    struct vl_error err = {0};
    json_t *j = NULL;

    if (json_parse(text, strlen(text), "test", &j, &err) < 0) fail_msg("%s: %s", text, err.msg);
    return j;
}

#define WITH(part)   "{\"name\":\"web\",\"plugin\":\"nginx\"," part "}"
#define CONFIG(part) WITH("\"config\":{" part "}")
#define PORT(part)   CONFIG("\"expose\":[{" part "}]")

#define KERNEL_ONLY(name) "{\"name\":\"" name "\",\"version\":\" 1 \",\"agent\":\"none\"}"

static const struct {
    const char *json, *message;
} bad[] = {
    {"[]", "request must be an object, is an array"},
    {"{}", "name is missing"},
    {"{\"name\":\"web\"}", "plugin is required: name an installed plugin"},
    {"{\"name\":\"web\",\"plugin\":\"\",\"config\":{\"plugin\":\"\"}}", "plugin is required: name an installed plugin"},
    {"{\"name\":\"\",\"plugin\":\"a\"}", "name \"\" must not be empty"},
    {"{\"name\":\"a/b\",\"plugin\":\"a\"}", "name \"a/b\" may hold letters, digits, '.', '-' and '_' only"},
    {"{\"name\":\" web\",\"plugin\":\"a\"}", "name \" web\" may hold letters, digits, '.', '-' and '_' only"},
    {"{\"name\":\"\xc3\xa9\",\"plugin\":\"a\"}", "name \"\xc3\xa9\" may hold letters, digits, '.', '-' and '_' only"},
    {"{\"name\":\".\",\"plugin\":\"a\"}", "name \".\" must begin with a letter or digit"},
    {"{\"name\":7,\"plugin\":\"a\"}", "name must be a string, is an integer"},
    {"{\"name\":\"web\",\"plugin\":\"../x\"}", "plugin \"../x\" may hold letters, digits, '.', '-' and '_' only"},
    {"{\"name\":\"web\",\"plugin\":[]}", "plugin must be a string, is an array"},
    {CONFIG("\"plugin\":\"caddy\""),
     "plugin mismatch between request and config: plugin is \"nginx\", config.plugin is \"caddy\""},
    {WITH("\"runtime\":1"), "runtime must be a string, is an integer"},
    {WITH("\"cpu_cores\":65"), "cpu_cores is 65, allowed 1 to 64"},
    {WITH("\"cpu_cores\":-1"), "cpu_cores is -1, allowed 1 to 64"},
    {WITH("\"cpu_cores\":\"2\""), "cpu_cores must be an integer, is a string"},
    {WITH("\"cpu_cores\":2.0"), "cpu_cores must be an integer, is a number with a fraction"},
    {WITH("\"memory_mb\":16"), "memory_mb is 16, allowed 48 to 1048576"},
    {WITH("\"memory_mb\":1048577"), "memory_mb is 1048577, allowed 48 to 1048576"},
    {WITH("\"config\":[]"), "config must be an object, is an array"},
    {CONFIG("\"resources\":{\"memory_mb\":47}"), "config.resources.memory_mb is 47, allowed 48 to 1048576"},
    {CONFIG("\"resources\":{\"cpu_cores\":100}"), "config.resources.cpu_cores is 100, allowed 1 to 64"},
    {CONFIG("\"resources\":4"), "config.resources must be an object, is an integer"},
    {CONFIG("\"manifest\":\"x\""), "config.manifest must be an object, is a string"},
    {CONFIG("\"manifest\":{\"name\":\"nginx\"}"), "config.manifest: version is missing"},
    {CONFIG("\"manifest\":" KERNEL_ONLY("caddy")), "config.manifest.name is \"caddy\", the plugin is \"nginx\""},
    {CONFIG("\"metadata\":7"), "config.metadata must be an object, is an integer"},
    {CONFIG("\"restart\":\"sometimes\""), "config.restart is \"sometimes\", allowed: no, on-failure, always"},
    {CONFIG("\"expose\":{}"), "config.expose must be an array of objects, is an object"},
    {CONFIG("\"expose\":[80]"), "config.expose[0] must be an object, is an integer"},
    {WITH("\"kernel_cmdline\":\"a rdinit=/x\""),
     "kernel_cmdline has 'rdinit=/x': what a VM boots from is its plugin's to say, leave it out"},
    {CONFIG("\"kernel_cmdline\":\"volant.plugin=x\""), "config.kernel_cmdline has 'volant.plugin=x'"},
    {CONFIG("\"kernel_cmdline\":\"-- x\""), "config.kernel_cmdline has '--'"},
    {CONFIG("\"kernel_cmdline\":\"a\\nb\""), "config.kernel_cmdline is \"a\\x0ab\", allowed: words of printable ASCII"},
    {CONFIG("\"kernel_cmdline\":7"), "config.kernel_cmdline must be a string, is an integer"},
    {CONFIG("\"api\":7"), "config.api must be an object, is an integer"},
    {PORT(""), "config.expose[0].port is missing"},
    {PORT("\"port\":0"), "config.expose[0].port is 0, allowed 1 to 65535"},
    {PORT("\"port\":65536"), "config.expose[0].port is 65536, allowed 1 to 65535"},
    {PORT("\"port\":\"80\""), "config.expose[0].port must be an integer, is a string"},
    {PORT("\"port\":80,\"host_port\":-1"), "config.expose[0].host_port is -1, allowed 0 to 65535"},
    {PORT("\"port\":80,\"host_port\":70000"), "config.expose[0].host_port is 70000, allowed 0 to 65535"},
    {PORT("\"port\":80,\"protocol\":\"sctp\""), "config.expose[0].protocol is \"sctp\", allowed: tcp, udp"},
    {PORT("\"port\":80,\"protocol\":\"TCP\""), "config.expose[0].protocol is \"TCP\", allowed: tcp, udp"},
    {PORT("\"port\":80,\"host_ip\":\"0.0.0.0\""),
     "config.expose[0].host_ip is \"0.0.0.0\", allowed: an IPv4 loopback address such as 127.0.0.1, as user networking "
     "publishes on loopback only"},
    {PORT("\"port\":80,\"host_ip\":\"::1\""), "config.expose[0].host_ip is \"::1\", allowed: an IPv4 loopback"},
    {PORT("\"port\":80,\"host_ip\":\"localhost\""),
     "config.expose[0].host_ip is \"localhost\", allowed: an IPv4 loopback"},
    {PORT("\"port\":80,\"host_ip\":\"192.168.0.1\""), "config.expose[0].host_ip is \"192.168.0.1\", allowed: an IPv4"},
    {CONFIG("\"expose\":[{\"port\":80,\"host_port\":8080},{\"port\":81},{\"port\":82,\"host_port\":8080}]"),
     "config.expose[2].host_port: 127.0.0.1:8080/tcp is published by config.expose[0] already, choose another"},
};

static void bad_requests_are_refused_by_field(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        json_auto_t *in = parse(bad[i].json);
        struct vl_error err = {0};
        auto_strv notes = {0};
        struct vm_request req, before;

        memset(&req, 0x5a, sizeof(req));
        before = req;
        assert_int_equal(vm_request_decode(in, &req, &notes, &err), -EINVAL);
        assert_int_equal(err.kind, VL_INVALID);
        assert_memory_equal(&req, &before, sizeof(req));
        assert_null(notes.items);
        if (!str_starts(err.msg, bad[i].message))
            fail_msg("%s: %s\nexpected: %s", bad[i].json, err.msg, bad[i].message);
    }
}

static void ports_are_bounded(void **state)
{
    json_auto_t *in = parse(CONFIG("\"expose\":[]"));
    json_t *list = json_object_get(json_object_get(in, "config"), "expose");
    auto_vm_request req = {0};
    struct vl_error err = {0};

    (void)state;
    for (int i = 0; i < 65; i++)
        assert_int_equal(json_array_append_new(list, json_pack("{s:i}", "port", 80)), 0);
    assert_int_equal(vm_request_decode(in, &req, NULL, &err), -EINVAL);
    assert_string_equal(err.msg, "config.expose has 65 entries, allowed 0 to 64");
    assert_int_equal(json_array_remove(list, 0), 0);
    assert_int_equal(vm_request_decode(in, &req, NULL, &err), 0);
}

static void the_configuration_wins(void **state)
{
    json_auto_t *in = parse("{\"name\":\"web\",\"plugin\":\"NGINX\",\"runtime\":\"r\",\"cpu_cores\":1,\"memory_mb\":64,"
                            "\"config\":{\"plugin\":\"nginx\",\"runtime\":\"s\",\"resources\":{\"cpu_cores\":2}}}");
    auto_vm_request req = {0};
    struct vl_error err = {0};

    (void)state;
    assert_int_equal(vm_request_decode(in, &req, NULL, &err), 0);
    assert_string_equal(req.plugin, "nginx");
    assert_string_equal(req.runtime, "s");
    assert_int_equal(req.cpu_cores, 2);
    assert_int_equal(req.memory_mb, 64);
}

static void a_manifest_names_its_plugin(void **state)
{
    json_auto_t *in =
        parse("{\"name\":\"web\",\"config\":{\"kernel_override\":\" \",\"manifest\":" KERNEL_ONLY("caddy") "}}");
    json_auto_t *blank = parse(CONFIG("\"manifest\":{}"));
    auto_vm_request req = {0}, none = {0};

    (void)state;
    assert_int_equal(vm_request_decode(in, &req, NULL, NULL), 0);
    assert_string_equal(req.plugin, "caddy");
    assert_non_null(strstr(req.config.manifest, "\"version\":\"1\"")); /* settled */
    assert_null(req.config.kernel_override);
    assert_int_equal(vm_request_decode(blank, &none, NULL, NULL), 0);
    assert_null(none.config.manifest);
}

static void what_the_original_client_sends(void **state)
{
    json_auto_t *in =
        parse("{\"name\":\"web\",\"plugin\":\"nginx\",\"cpu_cores\":0,\"memory_mb\":0,\"kernel_cmdline\":\"\","
              "\"api_host\":\"10.0.0.1\",\"api_port\":\"7777\",\"config\":{\"plugin\":\"\",\"runtime\":\"\","
              "\"resources\":{\"cpu_cores\":0,\"memory_mb\":0},\"api\":{},\"expose\":[{\"name\":\"\","
              "\"protocol\":\"\",\"port\":80,\"host_port\":8080,\"mode\":\"\"}]}}");
    auto_vm_request req = {0};
    auto_strv notes = {0};
    struct vl_error err = {0};
    const struct port_map *port;

    (void)state;
    assert_int_equal(vm_request_decode(in, &req, &notes, &err), 0);
    assert_int_equal(notes.len, 2);
    assert_string_equal(notes.items[0], "'api_host' has no effect in this version");
    assert_string_equal(req.plugin, "nginx");
    assert_int_equal(req.cpu_cores + req.memory_mb, 0);
    assert_int_equal(req.config.expose.len, 1);
    port = req.config.expose.items;
    assert_string_equal(port->protocol, "tcp");
    assert_string_equal(port->host_ip, "127.0.0.1");
}

static void an_encoded_request_means_the_same(void **state)
{
    json_auto_t *in = parse(CONFIG("\"expose\":[{\"port\":80,\"host_port\":8080},{\"port\":81},{\"port\":82},"
                                   "{\"port\":80,\"host_port\":8080,\"protocol\":\"udp\"},"
                                   "{\"port\":80,\"host_port\":8080,\"host_ip\":\"127.0.0.2\",\"name\":\"n\"}]"));
    json_auto_t *once = NULL;
    auto_free char *text = NULL;
    auto_vm_request req = {0}, again = {0};
    struct vl_error err = {0};

    (void)state;
    assert_int_equal(vm_request_decode(in, &req, NULL, &err), 0);
    once = schema_encode(&vm_request_schema, &req);
    text = json_text(once);
    assert_string_equal(
        text, "{\"name\":\"web\",\"plugin\":\"nginx\",\"config\":{\"expose\":["
              "{\"protocol\":\"tcp\",\"host_ip\":\"127.0.0.1\",\"host_port\":8080,\"port\":80},"
              "{\"protocol\":\"tcp\",\"host_ip\":\"127.0.0.1\",\"host_port\":0,\"port\":81},"
              "{\"protocol\":\"tcp\",\"host_ip\":\"127.0.0.1\",\"host_port\":0,\"port\":82},"
              "{\"protocol\":\"udp\",\"host_ip\":\"127.0.0.1\",\"host_port\":8080,\"port\":80},"
              "{\"name\":\"n\",\"protocol\":\"tcp\",\"host_ip\":\"127.0.0.2\",\"host_port\":8080,\"port\":80}]}}");
    assert_int_equal(vm_request_decode(once, &again, NULL, &err), 0);
    assert_int_equal(again.config.expose.len, 5);
}

static void statuses(void **state)
{
    static const struct {
        const char *name;
        enum vm_status status;
        bool ended;
    } table[] = {
        {"pending", VM_PENDING, false},   {"starting", VM_STARTING, false}, {"running", VM_RUNNING, false},
        {"stopping", VM_STOPPING, false}, {"stopped", VM_STOPPED, true},    {"crashed", VM_CRASHED, true},
        {"failed", VM_FAILED, true},
    };
    enum vm_status s = VM_CRASHED;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        assert_string_equal(vm_status_name(table[i].status), table[i].name);
        assert_int_equal(vm_status_parse(table[i].name, &s), 0);
        assert_int_equal(s, table[i].status);
        assert_int_equal(vm_status_ended(s), table[i].ended);
    }
    assert_int_equal(vm_status_parse("Running", &s), -EINVAL);
    assert_int_equal(vm_status_parse("", &s), -EINVAL);
    assert_int_equal(vm_status_parse(NULL, &s), -EINVAL);
    assert_int_equal(s, VM_FAILED);
}

static void published_ports_as_text(void **state)
{
    static const struct {
        const char *text, *host_ip, *protocol;
        int host_port, port;
    } good[] = {
        {"8080:80", "127.0.0.1", "tcp", 8080, 80},
        {"127.0.0.2:8080:80/tcp", "127.0.0.2", "tcp", 8080, 80},
        {"80", "127.0.0.1", "tcp", 0, 80},
        {"80/udp", "127.0.0.1", "udp", 0, 80},
        {"65535:1/udp", "127.0.0.1", "udp", 65535, 1},
    };
    static const struct {
        const char *text, *message;
    } wrong[] = {
        {"", "published port \"\": guest port is \"\", allowed 1 to 65535: write [IP:]HOST:GUEST[/tcp|udp], or "
             "GUEST[/tcp|udp] for any free host port"},
        {"0", "published port \"0\": guest port is \"0\""},
        {"65536", "published port \"65536\": guest port is \"65536\""},
        {"http", "published port \"http\": guest port is \"http\""},
        {"-1", "published port \"-1\": guest port is \"-1\""},
        {"8080:", "published port \"8080:\": guest port is \"\""},
        {":80", "published port \":80\": host port is \"\""},
        {"0:80", "published port \"0:80\": host port is \"0\""},
        {"70000:80", "published port \"70000:80\": host port is \"70000\""},
        {" 8080:80", "published port \" 8080:80\": host port is \" 8080\""},
        {"127.0.0.1::80", "published port \"127.0.0.1::80\": host port is \"\""},
        {":8080:80", "published port \":8080:80\": host address is empty: write"},
        {"localhost:8080:80", "published port \"localhost:8080:80\": host_ip is \"localhost\", allowed"},
        {"0.0.0.0:8080:80", "published port \"0.0.0.0:8080:80\": host_ip is \"0.0.0.0\", allowed"},
        {"1:127.0.0.1:8080:80", "published port \"1:127.0.0.1:8080:80\": host_ip is \"1:127.0.0.1\", allowed"},
        {"[::1]:8080:80", "published port \"[::1]:8080:80\": host_ip is \"[::1]\", allowed"},
        {"8080:80/", "published port \"8080:80/\": protocol is \"\", allowed: tcp, udp"},
        {"8080:80/TCP", "published port \"8080:80/TCP\": protocol is \"TCP\", allowed: tcp, udp"},
        {"8080/tcp:80", "published port \"8080/tcp:80\": protocol is \"tcp:80\", allowed: tcp, udp"},
        {"/tcp", "published port \"/tcp\": guest port is \"\""},
        {"\x1b[2J", "published port \"\\x1b[2J\": guest port is \"\\x1b[2J\""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct vl_error err = {0};
        struct port_map p;

        assert_int_equal(port_map_parse(good[i].text, &p, &err), 0);
        assert_string_equal(p.host_ip, good[i].host_ip);
        assert_string_equal(p.protocol, good[i].protocol);
        assert_int_equal(p.host_port, good[i].host_port);
        assert_int_equal(p.port, good[i].port);
        assert_null(p.name);
        port_map_done(&p);
    }
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct port_map p = {.port = 4711};
        struct vl_error err = {0};

        assert_int_equal(port_map_parse(wrong[i].text, &p, &err), -EINVAL);
        assert_int_equal(p.port, 4711);
        if (!str_starts(err.msg, wrong[i].message)) fail_msg("%s\nexpected: %s", err.msg, wrong[i].message);
    }
}

static char *view_text(const struct vm_view *v)
{
    json_auto_t *j = vm_view_encode(v);

    return json_text(j);
}

#define TEXT(s) ((char *)(s))

static void a_view_has_the_contracts_keys(void **state)
{
    struct port_map ports[] = {
        {.protocol = TEXT("tcp"), .host_ip = TEXT("127.0.0.1"), .host_port = 8080, .port = 80},
        {.name = TEXT("dns"), .protocol = TEXT("udp"), .host_ip = TEXT("127.0.0.1"), .host_port = 5353, .port = 53},
    };
    struct objects list = {.items = ports, .len = 2};
    struct vm_view v = {
        .id = 7,
        .name = TEXT("web"),
        .status = TEXT("crashed"),
        .runtime = TEXT("nginx"),
        .plugin = TEXT("nginx"),
        .reason = TEXT("exited"),
        .ip_address = TEXT("192.168.127.10"),
        .mac_address = TEXT("02:f9:e8:54:fb:c4"),
        .kernel_cmdline = TEXT("quiet"),
        .serial_socket = TEXT("/run/volant/vms/7/console.sock"),
        .ready = true,
        .pid = 4711,
        .cpu_cores = 1,
        .memory_mb = 64,
        .disk_mb = 128,
        .exit_code = 137,
        .has_exit_code = true,
        .created_ms = 1767225600000,
        .updated_ms = 1767225600123,
        .ports = &list,
    };
    auto_free char *text = view_text(&v), *again = NULL;
    json_auto_t *j = NULL;
    struct vl_error err = {0};
    struct vm_view back;

    (void)state;
    assert_string_equal(
        text,
        "{\"id\":7,\"name\":\"web\",\"status\":\"crashed\",\"ready\":true,\"reason\":\"exited\",\"exit_code\":137,"
        "\"plugin\":\"nginx\",\"runtime\":\"nginx\",\"pid\":4711,\"ip_address\":\"192.168.127.10\","
        "\"mac_address\":\"02:f9:e8:54:fb:c4\",\"cpu_cores\":1,\"memory_mb\":64,\"disk_mb\":128,\"kernel_cmdline\":"
        "\"quiet\","
        "\"serial_socket\":\"/run/volant/vms/7/console.sock\",\"ports\":["
        "{\"protocol\":\"tcp\",\"host_ip\":\"127.0.0.1\",\"host_port\":8080,\"port\":80},"
        "{\"name\":\"dns\",\"protocol\":\"udp\",\"host_ip\":\"127.0.0.1\",\"host_port\":5353,\"port\":53}],"
        "\"created_at\":\"2026-01-01T00:00:00Z\",\"updated_at\":\"2026-01-01T00:00:00.123Z\"}");
    j = parse(text);
    assert_int_equal(vm_view_decode(j, &back, &err), 0);
    assert_int_equal(back.created_ms, v.created_ms);
    assert_int_equal(back.updated_ms, v.updated_ms);
    assert_int_equal(back.exit_code, 137);
    assert_int_equal(back.ports->len, 2);
    again = view_text(&back);
    assert_string_equal(again, text);
    vm_view_done(&back);
    assert_null(back.ports);
    vm_view_done(&back);
}

static void an_empty_view_keeps_its_shape(void **state)
{
    struct vm_view v = {.name = TEXT("a"), .status = TEXT("stopped"), .has_exit_code = true}, back;
    auto_free char *with_code = view_text(&v), *without = NULL;
    json_auto_t *j = NULL;
    struct vl_error err = {0};

    (void)state;
    assert_non_null(strstr(with_code, "\"exit_code\":0,"));
    v.has_exit_code = false;
    without = view_text(&v);
    assert_string_equal(
        without, "{\"id\":0,\"name\":\"a\",\"status\":\"stopped\",\"ready\":false,\"plugin\":\"\",\"runtime\":\"\","
                 "\"ip_address\":\"\",\"mac_address\":\"\",\"cpu_cores\":0,\"memory_mb\":0,"
                 "\"kernel_cmdline\":\"\",\"serial_socket\":\"\",\"ports\":[]}");
    j = parse(without);
    assert_int_equal(vm_view_decode(j, &back, &err), 0);
    assert_false(back.has_exit_code);
    assert_int_equal(back.created_ms, 0);
    assert_int_equal(back.ports->len, 0);
    vm_view_done(&back);
}

/* Asked for again after each change of a member: the text is always what the view encodes to. */
static void a_kept_text_is_never_stale(void **state)
{
    char name[] = "web";
    struct port_map port = {.protocol = TEXT("tcp"), .host_ip = TEXT("127.0.0.1"), .host_port = 8080, .port = 80};
    struct objects ports = {.items = &port, .len = 1};
    struct vm_view v = {.id = 7, .name = name, .status = TEXT("running"), .ports = &ports};
    struct vm_text kept = {0};
    const char *first = vm_text_of(&kept, &v);
    char **const texts[] = {&v.status,      &v.runtime,        &v.plugin,        &v.reason, &v.ip_address,
                            &v.mac_address, &v.kernel_cmdline, &v.serial_socket, &v.health, &v.deployment};
    int64_t *const numbers[] = {&v.id,        &v.disk_mb,   &v.revision,   &v.restarts,   &v.pid,
                                &v.cpu_cores, &v.memory_mb, &v.created_ms, &v.updated_ms, &v.started_ms};

    (void)state;
    assert_non_null(first);
    assert_ptr_equal(vm_text_of(&kept, &v), first); /* not rendered again */
    for (size_t i = 0; i < ARRAY_LEN(texts) + ARRAY_LEN(numbers) + 6; i++) {
        auto_free char *before = strdup(kept.text), *wanted = NULL;

        if (i < ARRAY_LEN(texts))
            *texts[i] = TEXT("other");
        else if (i < ARRAY_LEN(texts) + ARRAY_LEN(numbers))
            *numbers[i - ARRAY_LEN(texts)] += 1001;
        else if (!v.ready)
            v.ready = true;
        else if (!v.has_exit_code)
            v.has_exit_code = true;
        else if (v.exit_code == 0)
            v.exit_code = 3;
        else if (*name == 'w')
            *name = 'W'; /* in place */
        else if (port.host_port == 8080)
            port.host_port = 8081;
        else
            v.ports = NULL;
        wanted = view_text(&v);
        assert_string_equal(vm_text_of(&kept, &v), wanted);
        assert_int_equal(kept.len, strlen(wanted));
        assert_string_not_equal(before, wanted);
    }
    vm_text_done(&kept);
    assert_null(kept.text);
    vm_text_done(&kept);
}

static void views_of_others_are_checked(void **state)
{
    static const struct {
        const char *json, *message; /* NULL: accepted, created at 1 ms past 1767225600 */
    } table[] = {
        {"{\"name\":\"a\",\"status\":\"s\",\"created_at\":\"2026-01-01T00:00:00.001Z\"}", NULL},
        {"{\"name\":\"a\",\"status\":\"s\",\"created_at\":\"2026-01-01T00:00:00.001999999Z\",\"vsock_cid\":3}", NULL},
        {"[]", "vm must be an object, is an array"},
        {"{\"name\":\"a\"}", "vm.status is missing"},
        {"{\"name\":\"a\",\"status\":5}", "vm.status must be a string, is an integer"},
        {"{\"name\":\"a\",\"status\":\"s\",\"pid\":\"1\"}", "vm.pid must be an integer, is a string"},
        {"{\"name\":\"a\",\"status\":\"s\",\"exit_code\":\"1\"}", "vm.exit_code must be an integer, is a string"},
        {"{\"name\":\"a\",\"status\":\"s\",\"ports\":{}}", "vm.ports must be an array of objects, is an object"},
        {"{\"name\":\"a\",\"status\":\"s\",\"ports\":[{}]}", "vm.ports[0].port is missing"},
        {"{\"name\":\"a\",\"status\":\"s\",\"created_at\":\"2026\"}", "vm.created_at is \"2026\", a time such as"},
        {"{\"name\":\"a\",\"status\":\"s\",\"created_at\":\"2026-01-01T00:00:00\"}", "vm.created_at is "},
        {"{\"name\":\"a\",\"status\":\"s\",\"created_at\":\"2026-01-01T00:00:00.Z\"}", "vm.created_at is "},
        {"{\"name\":\"a\",\"status\":\"s\",\"created_at\":\"2026-13-01T00:00:00Z\"}", "vm.created_at is "},
        {"{\"name\":\"a\",\"status\":\"s\",\"created_at\":\"2026-01-01 00:00:00Z\"}", "vm.created_at is "},
        {"{\"name\":\"a\",\"status\":\"s\",\"updated_at\":\"2026-01-01T25:00:00Z\"}", "vm.updated_at is "},
        {"{\"name\":\"a\",\"status\":\"s\",\"updated_at\":\"1969-01-01T00:00:00Z\"}", "vm.updated_at is "},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        json_auto_t *j = parse(table[i].json);
        struct vm_view v = {.id = 4711};
        struct vl_error err = {0};

        assert_int_equal(vm_view_decode(j, &v, &err), table[i].message ? -EINVAL : 0);
        if (table[i].message) {
            assert_int_equal(v.id, 4711);
            if (!str_starts(err.msg, table[i].message)) fail_msg("%s\nexpected: %s", err.msg, table[i].message);
        } else {
            assert_int_equal(v.created_ms, 1767225600001);
            vm_view_done(&v);
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_requests_are_refused_by_field),
        cmocka_unit_test(ports_are_bounded),
        cmocka_unit_test(the_configuration_wins),
        cmocka_unit_test(a_manifest_names_its_plugin),
        cmocka_unit_test(what_the_original_client_sends),
        cmocka_unit_test(an_encoded_request_means_the_same),
        cmocka_unit_test(statuses),
        cmocka_unit_test(published_ports_as_text),
        cmocka_unit_test(a_view_has_the_contracts_keys),
        cmocka_unit_test(an_empty_view_keeps_its_shape),
        cmocka_unit_test(a_kept_text_is_never_stale),
        cmocka_unit_test(views_of_others_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
