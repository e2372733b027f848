/* SPDX-License-Identifier: Apache-2.0 */
/* What fits on the host: judged by the numbers, refused with them, and given back by what stops. */
#include "engine/testhost.h"

#define SPACE_MB 200 /* at least, for VMs; a hundredth of the host's memory more at most */

static int64_t begin_with_memory(struct host *h)
{
    int64_t total_mb = sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) >> 20;
    struct engine_capacity c;

    engine_end(h);
    h->admission.memory_percent = (int)((SPACE_MB * 100L + total_mb - 1) / total_mb);
    engine_begin(h);
    assert_int_equal(install_agentless(h).r, 0);
    engine_capacity(h->engine, &c);
    assert_true(c.memory_mb >= SPACE_MB);
    assert_int_equal(c.memory_taken_mb, 0);
    return c.memory_mb;
}

static int64_t memory_taken(struct host *h)
{
    struct engine_capacity c;

    engine_capacity(h->engine, &c);
    return c.memory_taken_mb;
}

static int try_create(struct host *h, const char *name, int64_t memory_mb, int64_t cpus, struct answer *a,
                      struct vl_error *err)
{
    auto_free char *text = strf_new("{\"name\":\"%s\",\"plugin\":\"q\",\"memory_mb\":%lld,\"cpu_cores\":%lld}", name,
                                    (long long)memory_mb, (long long)cpus);
    auto_vm_request req = {0};

    request_of(text, &req);
    *a = (struct answer){0};
    *err = (struct vl_error){0};
    return engine_vm_create(h->engine, &req, NULL, VM_WANT_RUNNING, WAIT_MS, on_vm, a, err);
}

static void must_create(struct host *h, const char *name, int64_t memory_mb, int64_t cpus)
{
    struct vl_error err;
    struct answer a;

    if (try_create(h, name, memory_mb, cpus, &a, &err) < 0) fail_msg("%s: %s", name, err.msg);
    until(h, &a.done);
    assert_int_equal(a.status, VM_RUNNING);
}

static struct answer start(struct host *h, const char *name)
{
    struct answer a = {0};

    assert_int_equal(engine_vm_start(h->engine, name, VM_WANT_RUNNING, WAIT_MS, on_vm, &a, NULL), 0);
    until(h, &a.done);
    return a;
}

static void memory(void **state)
{
    struct host *h = *state;
    int64_t all = begin_with_memory(h);
    auto_free char *numbers = strf_new("needs 101 MB, 100 MB of %lld MB are left", (long long)all);
    struct vl_error err;
    struct answer a;

    must_create(h, "silent-a", all - 100, 1);
    assert_int_equal(memory_taken(h), all - 100);
    assert_true(try_create(h, "silent-b", 101, 1, &a, &err) < 0);
    assert_int_equal(err.kind, VL_CONFLICT);
    assert_non_null(strstr(err.msg, numbers));
    assert_non_null(strstr(err.msg, "VOLANT_MEMORY_OVERCOMMIT"));
    assert_null(engine_vm_find(h->engine, "silent-b"));
    must_create(h, "silent-b", 100, 1);
    /* What stops gives its share back, and has to get one again to start. */
    assert_int_equal(ask(h, "silent-a", engine_vm_stop).status, VM_STOPPED);
    assert_int_equal(memory_taken(h), 100);
    must_create(h, "silent-c", 64, 1);
    a = start(h, "silent-a");
    assert_true(a.r < 0);
    assert_int_equal(a.err.kind, VL_CONFLICT);
    a = (struct answer){0};
    assert_int_equal(engine_vm_restart(h->engine, "silent-a", VM_WANT_RUNNING, WAIT_MS, on_vm, &a, NULL), 0);
    until(h, &a.done);
    assert_int_equal(a.err.kind, VL_CONFLICT);
    /* One that is up keeps its share when it is restarted, also on a full host. */
    a = (struct answer){0};
    assert_int_equal(engine_vm_restart(h->engine, "silent-b", VM_WANT_RUNNING, WAIT_MS, on_vm, &a, NULL), 0);
    until(h, &a.done);
    assert_int_equal(a.status, VM_RUNNING);
    assert_int_equal(ask(h, "silent-c", engine_vm_delete).r, 0);
    assert_int_equal(start(h, "silent-a").status, VM_RUNNING);
    assert_int_equal(memory_taken(h), all);
}

/* A VM that is to run is judged with what it is to become, one that rests when it is started. */
static void memory_of_another_configuration(void **state)
{
    struct host *h = *state;
    int64_t all = begin_with_memory(h);
    auto_free char *larger =
        strf_new("{\"name\":\"silent-a\",\"plugin\":\"q\",\"memory_mb\":%lld}", (long long)all - 63);
    auto_free char *fits = strf_new("{\"name\":\"silent-a\",\"plugin\":\"q\",\"memory_mb\":%lld}", (long long)all - 64);
    struct answer a;

    must_create(h, "silent-b", 64, 1);
    must_create(h, "silent-a", 64, 1);
    for (int restart = 0; restart < 2; restart++) {
        a = configure(h, larger, restart);
        assert_true(a.r < 0);
        assert_int_equal(a.err.kind, VL_CONFLICT);
        assert_int_equal(memory_taken(h), 128);
    }
    assert_int_equal(configure(h, fits, false).r, 0);
    assert_int_equal(memory_taken(h), all);
    assert_int_equal(ask(h, "silent-a", engine_vm_stop).status, VM_STOPPED);
    assert_int_equal(memory_taken(h), 64);
    assert_int_equal(configure(h, larger, false).r, 0);
    assert_int_equal(start(h, "silent-a").err.kind, VL_CONFLICT);
    assert_int_equal(configure(h, larger, true).err.kind, VL_CONFLICT);
    assert_int_equal(configure(h, fits, true).status, VM_RUNNING);
    assert_int_equal(memory_taken(h), all);
}

static void requests_in_flight_count(void **state)
{
    struct host *h = *state;
    int64_t all = begin_with_memory(h);
    struct answer a, b, one = {0}, two = {0};
    struct vl_error err;

    assert_int_equal(try_create(h, "silent-a", all - 60, 1, &a, &err), 0);
    assert_true(try_create(h, "silent-b", all - 60, 1, &b, &err) < 0); /* before the first is in the registry */
    assert_int_equal(err.kind, VL_CONFLICT);
    until(h, &a.done);
    assert_int_equal(ask(h, "silent-a", engine_vm_stop).status, VM_STOPPED);
    must_create(h, "silent-b", all - 60, 1);
    assert_int_equal(ask(h, "silent-b", engine_vm_stop).status, VM_STOPPED);
    /* Two starts of which one fits. */
    assert_int_equal(engine_vm_start(h->engine, "silent-a", VM_WANT_PROCESS, WAIT_MS, on_vm, &one, NULL), 0);
    assert_int_equal(engine_vm_start(h->engine, "silent-b", VM_WANT_PROCESS, WAIT_MS, on_vm, &two, NULL), 0);
    until(h, &one.done);
    until(h, &two.done);
    assert_int_equal(one.r, 0);
    assert_int_equal(two.err.kind, VL_CONFLICT);
    /* A create that fails in the registry takes nothing. */
    assert_int_equal(ask(h, "silent-a", engine_vm_stop).status, VM_STOPPED);
    assert_int_equal(memory_taken(h), 0);
    assert_int_equal(try_create(h, "twin", 64, 1, &a, &err), 0);
    assert_int_equal(try_create(h, "twin", 64, 1, &b, &err), 0);
    assert_int_equal(memory_taken(h), 128);
    until(h, &a.done);
    until(h, &b.done);
    assert_true(b.r < 0);
    assert_int_equal(memory_taken(h), 64);
}

static void vcpus(void **state)
{
    struct host *h = *state;
    struct engine_capacity c;
    struct vl_error err;
    struct answer a;
    int64_t left;

    engine_end(h);
    h->admission.vcpus_per_core = 1;
    engine_begin(h);
    assert_int_equal(install_agentless(h).r, 0);
    engine_capacity(h->engine, &c);
    left = c.vcpus;
    for (int i = 0; left > 0; i++) {
        char name[32];
        int64_t n = left < CPU_CORES_MAX ? left : CPU_CORES_MAX;

        assert_true(strf(name, sizeof(name), "silent-%d", i) > 0);
        must_create(h, name, 64, n);
        left -= n;
    }
    assert_true(try_create(h, "silent-more", 64, 1, &a, &err) < 0);
    assert_int_equal(err.kind, VL_CONFLICT);
    assert_non_null(strstr(err.msg, "needs 1 vCPUs, 0 of"));
    assert_non_null(strstr(err.msg, "VOLANT_CPU_OVERCOMMIT"));
}

/* Nothing new, and nothing that runs is bothered. */
static void disk(void **state)
{
    struct host *h = *state;
    struct vl_error err;
    struct answer a;

    assert_int_equal(install_agentless(h).r, 0);
    must_create(h, "silent-a", 64, 1);
    must_create(h, "silent-b", 64, 1);
    assert_int_equal(ask(h, "silent-b", engine_vm_stop).status, VM_STOPPED);
    engine_end(h);
    h->admission.disk_floor = UINT64_MAX;
    h->admission.state_dir = h->base;
    engine_begin(h);
    assert_true(try_create(h, "silent-c", 64, 1, &a, &err) < 0);
    assert_int_equal(err.kind, VL_NO_SPACE);
    assert_non_null(strstr(err.msg, "VOLANT_DISK_RESERVE"));
    assert_non_null(strstr(err.msg, h->base));
    assert_int_equal(start(h, "silent-b").err.kind, VL_NO_SPACE);
    assert_int_equal(configure(h, "{\"name\":\"silent-b\",\"plugin\":\"q\"}", false).err.kind, VL_NO_SPACE);
    {
        json_auto_t *m = json_pack("{s:s, s:s, s:s}", "name", "r", "version", "1", "agent", "none");

        assert_true(engine_plugin_install(h->engine, m, NULL, on_plugin, &a, &err) < 0);
        assert_int_equal(err.kind, VL_NO_SPACE);
    }
    assert_int_equal(ask(h, "silent-a", engine_vm_stop).status, VM_STOPPED);
    assert_int_equal(ask(h, "silent-a", engine_vm_delete).r, 0);
    assert_int_equal(ask(h, "silent-b", engine_vm_delete).r, 0);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        ENGINE_TEST(memory),
        ENGINE_TEST(memory_of_another_configuration),
        ENGINE_TEST(requests_in_flight_count),
        ENGINE_TEST(vcpus),
        ENGINE_TEST(disk),
    };
    int code;

    return is_vmm(argc, argv, &code) ? code : cmocka_run_group_tests(tests, NULL, NULL);
}
