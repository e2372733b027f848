/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deployments on the real engine and store, with VMs whose VMM is this program and that run as soon as it does: what is
 * asked for, refused, remembered and given back. What plan.c decides is tested in its own place.
 */
#include "engine/testhost.h"

#include "deploy/deploy.h"

struct group {
    struct host *h;
    struct deploy *dp;
};

struct reply {
    bool done, there; /* `there`: the deployment */
    int r;
    char status[16];
    long long replicas, ready, version;
    struct vl_error err;
};

static void deploy_begin(struct group *g)
{
    const struct deploy_config cfg = {
        .loop = g->h->loop, .store = g->h->store, .engine = g->h->engine, .addresses = 245, .boot_ms = 1000};

    assert_int_equal(deploy_new(&cfg, &g->dp, NULL), 0);
    deploy_start(g->dp);
}

static void deploy_end(struct group *g)
{
    deploy_free(g->dp);
    g->dp = NULL;
}

static int setup_group(void **state)
{
    struct group *g = calloc(1, sizeof(*g));
    void *host = NULL;

    assert_non_null(g);
    assert_int_equal(setup(&host), 0);
    g->h = host;
    assert_int_equal(install_agentless(g->h).r, 0);
    deploy_begin(g);
    *state = g;
    return 0;
}

static bool add_name(void *arg, struct deployment *d)
{
    struct deployment_view v;

    assert_int_equal(deploy_view(d, &v), 0);
    assert_int_equal(strv_add(arg, v.name), 0);
    deployment_view_done(&v);
    return true;
}

static void answered(void *arg, int r, const struct vl_error *err, struct deployment *d)
{
    struct reply *a = arg;
    struct deployment_view v;

    assert_false(a->done);
    a->done = true;
    a->r = r;
    if (err) a->err = *err;
    if (!(a->there = d != NULL)) return;
    assert_int_equal(deploy_view(d, &v), 0);
    (void)strf(a->status, sizeof(a->status), "%s", v.status);
    a->replicas = v.replicas;
    a->ready = v.ready;
    a->version = v.version;
    deployment_view_done(&v);
}

static struct deploy_wait wait_for(struct reply *a, enum deploy_want want)
{
    *a = (struct reply){0};
    return (struct deploy_wait){.want = want, .timeout_ms = WAIT_MS, .done = answered, .arg = a};
}

static int make_begin(struct group *g, const char *text, struct reply *a, struct vl_error *err)
{
    const struct deploy_wait wait = wait_for(a, DEPLOY_WANT_READY);
    auto_(deployment_request_done) struct deployment_request req = {0};
    json_auto_t *j = json_loads(text, 0, NULL);
    int r;

    assert_non_null(j);
    if ((r = deployment_request_decode(j, &req, NULL, err)) < 0) return r;
    return deploy_create(g->dp, &req, &wait, err);
}

static struct reply make(struct group *g, const char *text)
{
    struct vl_error err = {0};
    struct reply a;

    if (make_begin(g, text, &a, &err) < 0) fail_msg("%s: %s", text, err.msg);
    until(g->h, &a.done);
    return a;
}

static void update_begin(struct group *g, const char *name, const char *text, enum deploy_want want, struct reply *a)
{
    const struct deploy_wait wait = wait_for(a, want);
    auto_(deployment_patch_done) struct deployment_patch patch = {0};
    json_auto_t *j = json_loads(text, 0, NULL);

    assert_int_equal(deployment_patch_decode(j, &patch, NULL, NULL), 0);
    assert_int_equal(deploy_update(g->dp, name, &patch, &wait, NULL), 0);
}

static struct reply update(struct group *g, const char *text)
{
    struct reply a;

    update_begin(g, "web", text, DEPLOY_WANT_READY, &a);
    until(g->h, &a.done);
    return a;
}

static struct reply rollback(struct group *g, int64_t version)
{
    struct reply a;
    const struct deploy_wait wait = wait_for(&a, DEPLOY_WANT_READY);

    assert_int_equal(deploy_rollback(g->dp, "web", version, &wait, NULL), 0);
    until(g->h, &a.done);
    return a;
}

static struct reply drop(struct group *g, const char *name)
{
    struct reply a;
    const struct deploy_wait wait = wait_for(&a, DEPLOY_WANT_READY);

    assert_int_equal(deploy_delete(g->dp, name, &wait, NULL), 0);
    until(g->h, &a.done);
    return a;
}

static int teardown_group(void **state)
{
    struct group *g = *state;
    void *host = g->h;
    auto_strv names = {0};

    (void)deploy_each(g->dp, add_name, &names);
    for (size_t i = 0; i < names.len; i++)
        (void)drop(g, names.items[i]);
    deploy_end(g);
    free(g);
    return teardown(&host);
}

/* "web-1 64 r1, web-2 …": names, memory, revisions. */
static bool add_vm(void *arg, struct vm *vm)
{
    struct strbuf *b = arg;
    struct vm_view v;

    engine_vm_view(vm, &v);
    strbuf_addf(b, "%s%s %lld r%lld", b->len ? ", " : "", v.name, (long long)v.memory_mb, (long long)v.revision);
    return true;
}

static void assert_vms(struct group *g, const char *expected)
{
    auto_strbuf b = {0};

    strbuf_adds(&b, "");
    (void)engine_vm_each(g->h->engine, add_vm, &b);
    assert_string_equal(b.data ? b.data : "", expected);
}

#define WEB(n) "{\"name\":\"web\",\"replicas\":" #n ",\"config\":{\"plugin\":\"q\",\"resources\":{\"memory_mb\":64}}}"

/* --- tests -------------------------------------------------------------------------------------------------------- */

static void it_is_scaled(void **state)
{
    struct group *g = *state;
    struct reply a = make(g, WEB(3));

    assert_int_equal(a.r, 0);
    assert_string_equal(a.status, "ready");
    assert_int_equal(a.ready, 3);
    assert_vms(g, "web-1 64 r1, web-2 64 r1, web-3 64 r1");
    a = update(g, "{\"replicas\":1}");
    assert_string_equal(a.status, "ready");
    assert_int_equal(a.version, 1);
    assert_vms(g, "web-1 64 r1");
    a = update(g, "{\"replicas\":2}");
    assert_vms(g, "web-1 64 r1, web-2 64 r1");
    a = update(g, "{\"replicas\":0}");
    assert_string_equal(a.status, "ready");
    assert_vms(g, "");
}

static bool add_version(void *arg, int64_t version, int64_t created_ms, json_t *config)
{
    struct strbuf *b = arg;
    const json_t *resources = json_object_get(config, "resources");

    assert_true(created_ms > 0);
    assert_string_equal(json_string_value(json_object_get(config, "restart")), "always");
    assert_string_equal(json_string_value(json_object_get(json_object_get(config, "manifest"), "name")), "q");
    strbuf_addf(b, "%lld:%lld ", (long long)version,
                (long long)json_integer_value(json_object_get(resources, "memory_mb")));
    json_decref(config);
    return true;
}

static void assert_history(struct group *g, const char *expected)
{
    auto_strbuf b = {0};

    assert_int_equal(deploy_history(deploy_find(g->dp, "web"), add_version, &b), 0);
    assert_string_equal(b.data, expected);
}

static void versions_come_and_are_gone_back_to(void **state)
{
    struct group *g = *state;
    struct reply a = make(g, WEB(2));

    a = update(g, "{\"config\":{\"resources\":{\"memory_mb\":80}}}");
    assert_string_equal(a.status, "ready");
    assert_int_equal(a.version, 2);
    assert_vms(g, "web-1 80 r2, web-2 80 r2");
    a = update(g, "{\"config\":{\"resources\":{\"memory_mb\":80}},\"replicas\":2}"); /* as it is */
    assert_int_equal(a.version, 2);
    a = update(g, "{\"config\":{\"plugin\":\"q\"}}"); /* the manifest is still the same */
    assert_int_equal(a.version, 2);
    a = rollback(g, 0);
    assert_int_equal(a.version, 3);
    assert_vms(g, "web-1 64 r3, web-2 64 r3");
    assert_history(g, "3:64 2:80 1:64 ");
    a = rollback(g, 3);
    assert_true(a.r < 0 && strstr(a.err.msg, "present"));
    a = rollback(g, 9);
    assert_true(a.r < 0 && strstr(a.err.msg, "1 to 3"));
    a = rollback(g, 2);
    assert_vms(g, "web-1 80 r4, web-2 80 r4");
    a = rollback(g, 2); /* it has that already: nobody is restarted */
    assert_int_equal(a.version, 4);
    a = rollback(g, 0);
    assert_vms(g, "web-1 64 r5, web-2 64 r5");
    a = rollback(g, 0); /* and back: the version before the present one is the other */
    assert_vms(g, "web-1 80 r6, web-2 80 r6");
}

static struct reply update_of(struct group *g, const char *name, const char *text)
{
    struct reply a;

    update_begin(g, name, text, DEPLOY_WANT_READY, &a);
    until(g->h, &a.done);
    return a;
}

static void until_ended(struct group *g, const char *name, struct deployment_view *ret)
{
    int64_t deadline = mono_ms() + WAIT_MS;

    for (;;) {
        assert_int_equal(deploy_view(deploy_find(g->dp, name), ret), 0);
        if (str_eq(ret->status, "ended")) return;
        deployment_view_done(ret);
        assert_true(mono_ms() < deadline);
        assert_int_equal(loop_step(g->h->loop, 20), 0);
    }
}

/* The VMM plays its part by the name: it says that its workload has ended. It may have been running before that. */
static void what_has_done_its_work_is_left(void **state)
{
    struct group *g = *state;
    struct reply a =
        make(g, "{\"name\":\"exit\",\"replicas\":2,\"config\":{\"plugin\":\"q\",\"restart\":\"on-failure\","
                "\"resources\":{\"memory_mb\":64}}}");
    struct deployment_view v;

    until_ended(g, "exit", &v);
    assert_true(v.ended == 2 && v.ready == 0);
    assert_true(str_starts(v.reason, "every replica has ended, and its restart policy leaves it so; 'exit-1'"));
    assert_string_equal(v.members[0].reason, "the workload ended with exit code 0");
    deployment_view_done(&v);
    a = update_of(g, "exit", "{\"config\":{\"resources\":{\"memory_mb\":80}}}"); /* does it anew */
    assert_int_equal(a.version, 2);
    until_ended(g, "exit", &v);
    assert_int_equal(v.updated, 2);
    deployment_view_done(&v);
    assert_vms(g, "exit-1 80 r2, exit-2 80 r2");
    update_begin(g, "exit", "{\"replicas\":2}", DEPLOY_WANT_READY, &a); /* nobody waits for what has ended */
    until(g->h, &a.done);
    assert_string_equal(a.status, "ended");
}

/* Plugin "p" has an agent, which does not answer in time. */
static void a_failed_rollout_is_tried_again(void **state)
{
    static const char bad[] = "{\"config\":{\"plugin\":\"p\",\"restart\":\"no\"}}";
    struct group *g = *state;
    struct reply a;

    assert_int_equal(install(g->h, g->h->hex).r, 0);
    (void)make(g, WEB(1));
    a = update(g, bad);
    assert_string_equal(a.status, "failed");
    assert_int_equal(a.version, 2);
    a = update(g, bad);
    assert_string_equal(a.status, "failed"); /* again */
    assert_int_equal(a.version, 3);
    assert_vms(g, "web-1 64 r3");
}

/* It would go on with what it was booted with. */
static void a_paused_replica_has_its_turn_later(void **state)
{
    struct group *g = *state;
    struct reply a;

    (void)make(g, WEB(2));
    assert_int_equal(ask(g->h, "web-1", engine_vm_pause).status, VM_PAUSED);
    update_begin(g, "web", "{\"config\":{\"resources\":{\"memory_mb\":80}}}", DEPLOY_WANT_READY, &a);
    for (int i = 0; i < 30; i++)
        assert_int_equal(loop_step(g->h->loop, 20), 0);
    assert_vms(g, "web-1 64 r1, web-2 80 r2");
    assert_false(a.done);
    assert_int_equal(ask(g->h, "web-1", engine_vm_resume).status, VM_RUNNING);
    until(g->h, &a.done);
    assert_string_equal(a.status, "ready");
    assert_vms(g, "web-1 80 r2, web-2 80 r2");
}

static void a_replica_has_the_configuration_of_all(void **state)
{
    struct group *g = *state;
    struct answer a;

    (void)make(g, WEB(1));
    a = configure(g->h, "{\"name\":\"web-1\",\"plugin\":\"q\",\"memory_mb\":80}", false);
    assert_true(a.r < 0);
    assert_int_equal(a.err.kind, VL_CONFLICT);
    assert_non_null(strstr(a.err.msg, "replica of deployment 'web'"));
    assert_vms(g, "web-1 64 r1");
}

static void it_is_still_there_after_a_restart(void **state)
{
    struct group *g = *state;
    struct reply a = make(g, WEB(2)), other;

    a = update(g, "{\"config\":{\"resources\":{\"memory_mb\":80}}}");
    /* Committed and no more: the rest is for the next one. */
    update_begin(g, "web", "{\"replicas\":3,\"config\":{\"resources\":{\"memory_mb\":96}}}", DEPLOY_WANT_COMMITTED, &a);
    until(g->h, &a.done);
    assert_int_equal(a.version, 3);
    deploy_end(g);
    engine_end(g->h);
    engine_begin(g->h);
    deploy_begin(g);
    other = update(g, "{\"replicas\":3}"); /* no change: it only waits */
    assert_string_equal(other.status, "ready");
    assert_int_equal(other.version, 3);
    assert_vms(g, "web-1 96 r3, web-2 96 r3, web-3 96 r3");
    assert_history(g, "3:96 2:80 1:64 ");
}

static void requests_have_their_turn(void **state)
{
    struct group *g = *state;
    struct reply a[5];
    const struct deploy_wait gone = wait_for(&a[3], DEPLOY_WANT_READY);
    struct vl_error err = {0};

    (void)make(g, WEB(1));
    update_begin(g, "web", "{\"replicas\":2}", DEPLOY_WANT_COMMITTED, &a[0]);
    update_begin(g, "web", "{\"config\":{\"resources\":{\"memory_mb\":80}}}", DEPLOY_WANT_COMMITTED, &a[1]);
    update_begin(g, "web", "{\"replicas\":300}", DEPLOY_WANT_COMMITTED, &a[2]);
    assert_int_equal(deploy_delete(g->dp, "web", &gone, NULL), 0);
    update_begin(g, "web", "{\"replicas\":3}", DEPLOY_WANT_COMMITTED, &a[4]);
    for (size_t i = 0; i < ARRAY_LEN(a); i++)
        until(g->h, &a[i].done);
    assert_int_equal(a[0].replicas, 2);
    assert_int_equal(a[1].version, 2);
    assert_true(a[2].r < 0 && a[2].err.kind == VL_CONFLICT && strstr(a[2].err.msg, "at most 245"));
    assert_true(a[3].r == 0 && !a[3].there);
    assert_true(a[4].r < 0 && a[4].err.kind == VL_CONFLICT && strstr(a[4].err.msg, "being deleted"));
    assert_vms(g, "");
    assert_null(deploy_find(g->dp, "web"));
    assert_true(make_begin(g, WEB(0), &a[0], &err) == 0); /* the name is free again */
    assert_true(make_begin(g, WEB(0), &a[1], &err) < 0);  /* and taken at once */
    assert_int_equal(err.kind, VL_CONFLICT);
    until(g->h, &a[0].done);
}

static void nobody_is_told_who_does_not_wait(void **state)
{
    struct group *g = *state;
    struct reply a, b;

    (void)make(g, WEB(1));
    update_begin(g, "web", "{\"replicas\":2}", DEPLOY_WANT_READY, &a);
    deploy_forget(g->dp, &a);
    b = update(g, "{\"replicas\":2}");
    assert_int_equal(b.ready, 2);
    assert_false(a.done);
}

static void what_cannot_be_is_refused(void **state)
{
    static const struct {
        const char *text;
        enum vl_kind kind;
        const char *word;
    } table[] = {
        {"{\"name\":\"x\",\"config\":{}}", VL_INVALID, "plugin is required"},
        {"{\"name\":\"x\",\"config\":{\"plugin\":\"none\"}}", VL_NOT_FOUND, "not installed"},
        {"{\"name\":\"x\",\"config\":{\"plugin\":\"off\"}}", VL_CONFLICT, "disabled"},
        {"{\"name\":\"x\",\"config\":{\"plugin\":\"q\",\"runtime\":\"z\"}}", VL_INVALID, "runtime"},
        {"{\"name\":\"x\",\"replicas\":2,\"config\":{\"plugin\":\"q\",\"expose\":[{\"port\":1,\"host_port\":2}]}}",
         VL_INVALID, "config.expose[0].host_port is 2"},
        {"{\"name\":\"x\",\"replicas\":246,\"config\":{\"plugin\":\"q\"}}", VL_CONFLICT, "245"},
        {"{\"name\":\"web\",\"config\":{\"plugin\":\"q\"}}", VL_CONFLICT, "exists already"},
        {"{\"name\":\"vm\",\"replicas\":1,\"config\":{\"plugin\":\"q\"}}", VL_CONFLICT, "'vm-1'"},
    };
    struct group *g = *state;
    struct answer vm = {0};
    auto_vm_request req = {0};
    struct reply a;

    (void)make(g, WEB(0));
    install_disabled(g->h, "off");
    request_of("{\"name\":\"vm-1\",\"plugin\":\"q\"}", &req);
    assert_int_equal(engine_vm_create(g->h->engine, &req, NULL, VM_WANT_RUNNING, WAIT_MS, on_vm, &vm, NULL), 0);
    until(g->h, &vm.done);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct vl_error err = {0};

        if (make_begin(g, table[i].text, &a, &err) >= 0) fail_msg("%s was not refused", table[i].text);
        if (err.kind != table[i].kind || !strstr(err.msg, table[i].word)) fail_msg("%s: %s", table[i].text, err.msg);
    }
    assert_int_equal(deploy_each(g->dp, NULL, NULL), 1);
    a = update(g, "{\"config\":{\"plugin\":\"off\"},\"replicas\":2}");
    assert_true(a.r < 0 && a.err.kind == VL_CONFLICT);
    assert_vms(g, "vm-1 256 r0");
    assert_history(g, "1:64 ");
}

static void old_versions_are_forgotten(void **state)
{
    struct group *g = *state;
    auto_strbuf b = {0};
    char text[96];

    (void)make(g, WEB(0));
    for (int i = 1; i <= 104; i++) {
        (void)strf(text, sizeof(text), "{\"config\":{\"resources\":{\"memory_mb\":%d}}}", 64 + i);
        assert_int_equal(update(g, text).version, i + 1);
    }
    assert_int_equal(deploy_history(deploy_find(g->dp, "web"), add_version, &b), 0);
    assert_true(str_starts(b.data, "105:168 104:167 "));
    assert_true(str_ends(b.data, " 7:70 6:69 "));
    deploy_end(g);
    deploy_begin(g);
    assert_history(g, b.data);
}

/* Also where plugin and VMs have long had another one. */
static void what_a_version_boots_is_kept(void **state)
{
    struct group *g = *state;
    char other[SHA256_HEX + 1];

    (void)make(g, WEB(1));
    put_artifact(g->h, "070701 is how another one begins", other);
    assert_int_equal(install_as(g->h, "q", "none", other).r, 0);
    assert_int_equal(update(g, "{\"config\":{\"plugin\":\"q\"}}").version, 2);
    assert_true(artifact_present(g->h->artifacts, g->h->hex, NULL));
    assert_int_equal(rollback(g, 1).version, 3);
    assert_int_equal(drop(g, "web").r, 0);
    while (artifact_present(g->h->artifacts, g->h->hex, NULL))
        assert_int_equal(loop_step(g->h->loop, 100), 0);
    assert_true(artifact_present(g->h->artifacts, other, NULL));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_is_scaled, setup_group, teardown_group),
        cmocka_unit_test_setup_teardown(versions_come_and_are_gone_back_to, setup_group, teardown_group),
        cmocka_unit_test_setup_teardown(what_has_done_its_work_is_left, setup_group, teardown_group),
        cmocka_unit_test_setup_teardown(a_failed_rollout_is_tried_again, setup_group, teardown_group),
        cmocka_unit_test_setup_teardown(a_paused_replica_has_its_turn_later, setup_group, teardown_group),
        cmocka_unit_test_setup_teardown(a_replica_has_the_configuration_of_all, setup_group, teardown_group),
        cmocka_unit_test_setup_teardown(it_is_still_there_after_a_restart, setup_group, teardown_group),
        cmocka_unit_test_setup_teardown(requests_have_their_turn, setup_group, teardown_group),
        cmocka_unit_test_setup_teardown(nobody_is_told_who_does_not_wait, setup_group, teardown_group),
        cmocka_unit_test_setup_teardown(what_cannot_be_is_refused, setup_group, teardown_group),
        cmocka_unit_test_setup_teardown(old_versions_are_forgotten, setup_group, teardown_group),
        cmocka_unit_test_setup_teardown(what_a_version_boots_is_kept, setup_group, teardown_group),
    };

    int code;

    return is_vmm(argc, argv, &code) ? code : cmocka_run_group_tests(tests, NULL, NULL);
}
