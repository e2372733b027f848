/* SPDX-License-Identifier: Apache-2.0 */
/* Another configuration for a VM: what stays, what changes when, and that a refusal changes nothing. */
#include "engine/testhost.h"

#define EXPOSE(ports) ",\"config\":{\"expose\":[" ports "]}"

struct picture {
    char text[2048];
};

static int add_port(void *arg, struct port_row *row)
{
    struct picture *p = arg;
    size_t n = strlen(p->text);

    (void)strf(p->text + n, sizeof(p->text) - n, " vm%lld:%s:%lld->%lld", (long long)row->vm_id, row->protocol,
               (long long)row->host_port, (long long)row->port);
    return 0;
}

static int add_vm(void *arg, struct vm_row *row)
{
    struct picture *p = arg;
    size_t n = strlen(p->text);

    (void)strf(p->text + n, sizeof(p->text) - n, " %s %s %s %s %lld %lld %s %zu %s %lld", row->name, row->plugin,
               row->runtime, row->status, (long long)row->cpu_cores, (long long)row->memory_mb, row->config,
               strlen(row->manifest), row->desired, (long long)row->revision);
    return 0;
}

struct read {
    struct store_op op;
    struct picture *picture;
};

static int read_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    struct read *r = container_of(op, struct read, op);
    int code = store_vm_each(tx, add_vm, r->picture, err);

    return code < 0 ? code : store_port_each(tx, add_port, r->picture, err);
}

/* What the registry has of all VMs. */
static struct picture picture_of(struct host *h)
{
    struct picture p = {0};
    struct read r = {.op.run = read_run, .picture = &p};

    assert_int_equal(store_run(h->store, &r.op, NULL), 0);
    return p;
}

/* A row that the engine does not know of, so that it is the transaction that refuses. */
struct steal {
    struct store_op op;
    struct port_row row;
};

static int steal_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    return store_port_insert(tx, &container_of(op, struct steal, op)->row, err);
}

static void steal_port(struct host *h, int64_t vm_id, int64_t host_port)
{
    struct steal s = {
        .op.run = steal_run,
        .row = {
            .vm_id = vm_id, .protocol = "tcp", .host_ip = "127.0.0.1", .name = "", .host_port = host_port, .port = 1}};

    assert_int_equal(store_run(h->store, &s.op, NULL), 0);
}

static const struct port_map *port_of(struct host *h, const char *name, size_t i)
{
    struct vm_view v;

    engine_vm_view(engine_vm_find(h->engine, name), &v);
    assert_true(i < v.ports->len);
    return (const struct port_map *)v.ports->items + i;
}

static struct vm_view view_of(struct host *h, const char *name)
{
    struct vm_view v;

    engine_vm_view(engine_vm_find(h->engine, name), &v);
    return v;
}

static void create_from(struct host *h, const char *text)
{
    auto_vm_request req = {0};
    struct vl_error err = {0};
    struct answer a = {0};

    request_of(text, &req);
    if (engine_vm_create(h->engine, &req, NULL, VM_WANT_RUNNING, WAIT_MS, on_vm, &a, &err) < 0) fail_msg("%s", err.msg);
    until(h, &a.done);
    assert_int_equal(a.status, VM_RUNNING);
}

static void must_configure(struct host *h, const char *text, bool restart)
{
    struct answer a = configure(h, text, restart);

    if (a.r < 0) fail_msg("%s: %s", text, a.err.msg);
    assert_true(a.has_vm);
}

static void ports_that_stay(void **state)
{
    struct host *h = *state;
    int64_t web, dns;

    assert_int_equal(install_agentless(h).r, 0);
    create_from(h, "{\"name\":\"silent\",\"plugin\":\"q\"" EXPOSE(
                       "{\"port\":80},{\"port\":53,\"protocol\":\"udp\"},{\"port\":81}") "}");
    web = port_of(h, "silent", 0)->host_port;
    dns = port_of(h, "silent", 1)->host_port;
    must_configure(h,
                   "{\"name\":\"silent\",\"plugin\":\"q\"" EXPOSE(
                       "{\"port\":53,\"protocol\":\"udp\"},{\"port\":82},{\"port\":80}") "}",
                   true);
    assert_int_equal(port_of(h, "silent", 0)->host_port, dns);
    assert_int_equal(port_of(h, "silent", 2)->host_port, web);
    assert_true(port_of(h, "silent", 1)->host_port > 0);
    /* Named, and the same as it has while its VMM listens there; and the picked one goes to where it is named. */
    {
        auto_free char *text = strf_new(
            "{\"name\":\"silent\",\"plugin\":\"q\"" EXPOSE("{\"port\":80},{\"port\":99,\"host_port\":%lld}") "}",
            (long long)web);

        must_configure(h, text, false);
    }
    assert_int_equal(port_of(h, "silent", 1)->host_port, web);
    assert_int_not_equal(port_of(h, "silent", 0)->host_port, web);
    must_configure(h, "{\"name\":\"silent\",\"plugin\":\"q\"}", false);
    assert_int_equal(view_of(h, "silent").ports->len, 0);
    assert_null(strstr(picture_of(h).text, "->"));
}

static void when_it_counts(void **state)
{
    static const struct vm_owner owner = {.revision = 7};
    struct host *h = *state;
    struct answer a = {0};
    auto_vm_request req = {0};
    int64_t pid;

    assert_int_equal(install_agentless(h).r, 0);
    create_from(h, "{\"name\":\"silent\",\"plugin\":\"q\",\"memory_mb\":64}");
    pid = view_of(h, "silent").pid;
    must_configure(h, "{\"name\":\"silent\",\"plugin\":\"q\",\"memory_mb\":80}", false);
    assert_int_equal(view_of(h, "silent").memory_mb, 80);
    assert_int_equal(view_of(h, "silent").pid, pid);
    assert_string_equal(view_of(h, "silent").status, "running");
    must_configure(h, "{\"name\":\"silent\",\"plugin\":\"q\",\"memory_mb\":96,\"cpu_cores\":2}", true);
    assert_int_not_equal(view_of(h, "silent").pid, pid);
    assert_string_equal(view_of(h, "silent").status, "running");
    assert_int_equal(view_of(h, "silent").revision, 0);
    /* Of one that has ended: at its next start, or at once. */
    assert_int_equal(ask(h, "silent", engine_vm_stop).status, VM_STOPPED);
    request_of("{\"name\":\"silent\",\"plugin\":\"q\"}", &req);
    assert_int_equal(engine_vm_configure(h->engine, &req, &owner, 0, false, VM_WANT_RUNNING, WAIT_MS, on_vm, &a, NULL),
                     0);
    until(h, &a.done);
    assert_int_equal(a.status, VM_STOPPED);
    assert_int_equal(view_of(h, "silent").revision, 7);
    assert_int_equal(view_of(h, "silent").memory_mb, MEMORY_MB_DEFAULT);
    must_configure(h, "{\"name\":\"silent\",\"plugin\":\"q\",\"memory_mb\":64}", true);
    assert_string_equal(view_of(h, "silent").status, "running");
    assert_int_equal(view_of(h, "silent").revision, 7);
    /* And the next engine finds it so. */
    engine_end(h);
    engine_begin(h);
    assert_int_equal(view_of(h, "silent").memory_mb, 64);
    assert_int_equal(view_of(h, "silent").revision, 7);
}

static void it_waits_for_its_turn(void **state)
{
    struct host *h = *state;
    struct answer stopped = {0}, configured = {0}, deleted = {0}, late = {0};
    auto_vm_request req = {0};

    assert_int_equal(install_agentless(h).r, 0);
    create_from(h, "{\"name\":\"silent\",\"plugin\":\"q\"}");
    request_of("{\"name\":\"silent\",\"plugin\":\"q\",\"memory_mb\":99}", &req);
    assert_int_equal(engine_vm_stop(h->engine, "silent", on_vm, &stopped, NULL), 0);
    assert_int_equal(
        engine_vm_configure(h->engine, &req, NULL, 0, true, VM_WANT_RUNNING, WAIT_MS, on_vm, &configured, NULL), 0);
    until(h, &configured.done);
    assert_int_equal(configured.r, 0);
    assert_int_equal(configured.status, VM_RUNNING);
    assert_int_equal(view_of(h, "silent").memory_mb, 99);
    assert_int_equal(engine_vm_delete(h->engine, "silent", on_vm, &deleted, NULL), 0);
    assert_int_equal(engine_vm_configure(h->engine, &req, NULL, 0, true, VM_WANT_RUNNING, WAIT_MS, on_vm, &late, NULL),
                     0);
    until(h, &late.done);
    assert_true(late.r < 0);
    until(h, &deleted.done);
    assert_int_equal(deleted.r, 0);
    assert_true(stopped.done);
}

static void refusals_change_nothing(void **state)
{
    static const struct {
        const char *rest, *says;
        enum vl_kind kind;
    } table[] = {
        {"\"plugin\":\"nobody\"", "plugin 'nobody' is not installed", VL_NOT_FOUND},
        {"\"plugin\":\"off\"", "plugin 'off' is disabled", VL_CONFLICT},
        {"\"plugin\":\"q\",\"runtime\":\"x\"", "runtime is 'x'", VL_INVALID},
        {"\"plugin\":\"q\"" EXPOSE("{\"port\":1},{\"port\":80,\"host_port\":%lld}"), "belongs to VM 'silent-other'",
         VL_CONFLICT},
        {"\"plugin\":\"q\",\"config\":{\"kernel_override\":\"/x\"}", "config.kernel_override", VL_INVALID},
        {"\"plugin\":\"q\"" EXPOSE("{\"port\":80,\"host_port\":54321}"), "belongs to VM", VL_CONFLICT},
    };
    struct host *h = *state;
    struct picture before;
    int64_t port;

    assert_int_equal(install_agentless(h).r, 0);
    install_disabled(h, "off");
    create_from(h, "{\"name\":\"silent-other\",\"plugin\":\"q\"" EXPOSE("{\"port\":80}") "}");
    create_from(h, "{\"name\":\"silent\",\"plugin\":\"q\"" EXPOSE("{\"port\":80},{\"port\":81}") "}");
    port = port_of(h, "silent-other", 0)->host_port;
    steal_port(h, view_of(h, "silent-other").id, 54321);
    before = picture_of(h);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char rest[256];
        auto_free char *text = NULL;
        struct answer a;

        (void)strf(rest, sizeof(rest), "%s", table[i].rest);
        if (strstr(rest, "%lld"))
            (void)strf(rest, sizeof(rest), "\"plugin\":\"q\"" EXPOSE("{\"port\":1},{\"port\":80,\"host_port\":%lld}"),
                       (long long)port);
        assert_non_null(text = strf_new("{\"name\":\"silent\",%s}", rest));
        a = configure(h, text, true);
        if (a.r == 0 || !strstr(a.err.msg, table[i].says)) fail_msg("%s: %d '%s'", text, a.r, a.err.msg);
        assert_int_equal(a.err.kind, table[i].kind);
        assert_string_equal(picture_of(h).text, before.text);
        assert_string_equal(view_of(h, "silent").status, "running");
    }
    {
        auto_vm_request req = {0};
        struct vl_error err = {0};
        struct answer a = {0};

        request_of("{\"name\":\"nobody\",\"plugin\":\"q\"}", &req);
        assert_true(engine_vm_configure(h->engine, &req, NULL, 0, false, VM_WANT_PROCESS, 0, on_vm, &a, &err) < 0);
        assert_int_equal(err.kind, VL_NOT_FOUND);
    }
}

#define OWN(name, hex)                                                                                                 \
    "\"config\":{\"manifest\":{\"name\":\"" name "\",\"version\":\"9\",\"agent\":\"none\",\"resources\":"              \
    "{\"memory_mb\":72},\"initramfs\":{\"url\":\"/x\",\"checksum\":\"" hex "\"}}}"
#define ABSENT "0000000000000000000000000000000000000000000000000000000000000000"

static void a_manifest_of_its_own(void **state)
{
    struct host *h = *state;
    auto_free char *create = strf_new("{\"name\":\"silent\"," OWN("q", "%s") "}", h->hex);
    auto_free char *disabled = strf_new("{\"name\":\"silent\"," OWN("off", "%s") "}", h->hex);
    auto_vm_request absent = {0};
    struct vl_error err = {0};
    struct answer a;

    request_of("{\"name\":\"silent-b\"," OWN("q", ABSENT) "}", &absent);
    assert_true(engine_vm_create(h->engine, &absent, NULL, VM_WANT_PROCESS, 0, on_vm, &a, &err) < 0);
    assert_int_equal(err.kind, VL_CONFLICT);
    assert_non_null(strstr(err.msg, ABSENT));
    /* Of a plugin that is not installed (any more). */
    create_from(h, create);
    assert_int_equal(view_of(h, "silent").memory_mb, 72);
    assert_string_equal(view_of(h, "silent").plugin, "q");
    install_disabled(h, "off");
    a = configure(h, disabled, false);
    assert_int_equal(a.err.kind, VL_CONFLICT);
    assert_non_null(strstr(a.err.msg, "disabled"));
    assert_string_equal(view_of(h, "silent").plugin, "q");
    /* The registry's own instead, and back. */
    assert_int_equal(install_agentless(h).r, 0);
    must_configure(h, "{\"name\":\"silent\",\"plugin\":\"q\"}", false);
    assert_int_equal(view_of(h, "silent").memory_mb, MEMORY_MB_DEFAULT);
    must_configure(h, create, true);
    assert_int_equal(view_of(h, "silent").memory_mb, 72);
}

static bool keeps(void *arg, const char *checksum)
{
    const bool *keep = arg;

    return *keep && strlen(checksum) > SHA256_HEX;
}

static bool gone_after(struct host *h, int rounds)
{
    for (int i = 0; i < rounds && artifact_present(h->artifacts, h->hex, NULL); i++)
        assert_int_equal(loop_step(h->loop, 20), 0);
    return !artifact_present(h->artifacts, h->hex, NULL);
}

/* The artifact of the manifest before goes with the last who refers to it, whoever that is. */
static void artifacts_go_with_their_manifests(void **state)
{
    struct host *h = *state;
    auto_free char *own = strf_new("{\"name\":\"silent\"," OWN("q", "%s") "}", h->hex);
    auto_free char *checksum = strf_new("sha256:%s", h->hex);
    char other[SHA256_HEX + 1];
    bool keep = true;

    engine_keep_artifacts(h->engine, keeps, &keep);
    create_from(h, own);
    put_artifact(h, "070701 another", other);
    assert_int_equal(install_as(h, "q", "none", other).r, 0);
    must_configure(h, "{\"name\":\"silent\",\"plugin\":\"q\"}", true);
    assert_false(gone_after(h, 5));
    keep = false;
    engine_release_artifact(h->engine, checksum);
    assert_false(gone_after(h, 5)); /* the VM's first version can be had again */
    assert_int_equal(ask(h, "silent", engine_vm_delete).r, 0);
    engine_release_artifact(h->engine, checksum);
    assert_true(gone_after(h, 200));
    engine_release_artifact(h->engine, NULL);
    assert_true(artifact_present(h->artifacts, other, NULL));
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        ENGINE_TEST(ports_that_stay),       ENGINE_TEST(when_it_counts),
        ENGINE_TEST(it_waits_for_its_turn), ENGINE_TEST(refusals_change_nothing),
        ENGINE_TEST(a_manifest_of_its_own), ENGINE_TEST(artifacts_go_with_their_manifests),
    };
    int code;

    return is_vmm(argc, argv, &code) ? code : cmocka_run_group_tests(tests, NULL, NULL);
}
