/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volar run: from an image to a running VM, with the manners of `docker run`. Attached, it prints what the workload
 * prints and ends as it ends; volantd keeps the VM whatever happens to volar.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "volar/api.h"
#include "volar/create.h"
#include "volar/run_image.h"
#include "volar/vms.h"

#define EXIT_RUN   125 /* not the workload's: what went wrong is on stderr */
#define CALL_S     60
#define STOP_S     1     /* of waiting for the stop: its last words are to be printed meanwhile */
#define VERDICT_MS 30000 /* from the end of the output until it is known why */
#define POLL_MS    50

static struct create_options options;
static const char *vm_name;
static bool detach;
static volatile sig_atomic_t interrupts;
static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
static struct sigaction before[ARRAY_LEN(caught)];

const struct opt run_opts[] = {
    {"name", 'n', OPT_STRING, "NAME", "the VM's name (default: the image's and four digits)", 0, 0, &vm_name},
    {"detach", 'd', OPT_FLAG, NULL, "print the VM's name once it runs, and leave it running", 0, 0, &detach},
    CREATE_OPTS(options),
    WAIT_OPTS,
    VOLAR_GLOBAL,
    {0},
};

static void on_interrupt(int signo)
{
    (void)signo;
    interrupts++;
}

static int fail(const struct vl_error *err)
{
    (void)volar_fail(err);
    return EXIT_RUN;
}

/* --- attached ----------------------------------------------------------------------------------------------------- */

struct attached {
    struct volar *v;
    const char *name;
    bool asked; /* the VM was asked to stop, or is not there to be asked */
    bool told;  /* why it could not be asked */
};

static void ask_stop(struct attached *a)
{
    struct volar other = *a->v;
    struct vl_error err = {0};
    char path[128];
    int r;

    other.api = NULL; /* the other connection is reading */
    (void)strf(path, sizeof(path), "/api/v1/vms/%s/stop?timeout=%d", a->name, STOP_S);
    r = api_call(&other, "POST", path, "", CALL_S, NULL, &err);
    api_close(&other);
    if (r < 0 && !a->told) (void)volar_fail(&err);
    a->told |= r < 0;
    a->asked = r == 0 || err.kind != VL_UNAVAILABLE; /* else once more: it is busy with what it was asked before */
}

/*
 * The first Ctrl-C stops the VM, whose last words are still printed; the second lets go of it, once it has been asked
 * to stop. Who presses a third time does not care.
 */
static int look_at_signals(void *arg)
{
    struct attached *a = arg;

    if (!interrupts) return 0;
    if (!a->asked) ask_stop(a);
    return interrupts > (a->asked ? 1 : 2) ? -EINTR : 0;
}

static int let_go(const struct attached *a, struct vl_error *err)
{
    if (!a->asked)
        return vl_fail(err, VL_UNAVAILABLE, "let go of VM '%s', which was not asked to stop: `volar vms stop %s`",
                       a->name, a->name);
    return vl_fail(err, VL_UNAVAILABLE, "let go of VM '%s', which is being stopped: `volar vms get %s`", a->name,
                   a->name);
}

/* Only as it was when it had ended: one that somebody has started again is not ours to remove. */
static void remove_vm(struct volar *v, const struct vm_view *vm)
{
    struct vl_error err = {0};
    char path[192], time[32];

    format_time(vm->updated_ms, time);
    (void)strf(path, sizeof(path), "/api/v1/vms/%s?updated_at=%s", vm->name, time);
    if (api_call(v, "DELETE", path, NULL, CALL_S, NULL, &err) < 0 && err.kind != VL_NOT_FOUND) (void)volar_fail(&err);
}

/* The output has ended without a word of how the VM did; in a moment it is known. */
static int await_verdict(struct attached *a, struct vm_view *ret, struct vl_error *err)
{
    int64_t deadline = mono_ms() + VERDICT_MS;
    int r;

    while ((r = vm_fetch(a->v, a->name, ret, NULL, err)) == 0 && !vm_has_ended(ret)) {
        if (look_at_signals(a) < 0) return let_go(a, err);
        if (mono_ms() > deadline || (str_eq(ret->status, "pending") && !a->asked))
            return vl_fail(err, VL_UNAVAILABLE, "VM '%s' goes on (%s%s%s): `volar vms logs --follow %s`", a->name,
                           ret->status, ret->reason && *ret->reason ? ": " : "", ret->reason ? ret->reason : "",
                           a->name);
        vm_view_done(ret);
        *ret = (struct vm_view){0};
        pause_ms(POLL_MS);
    }
    return r;
}

static int exit_code(const struct vm_view *vm)
{
    struct vl_error err = {0};

    if (vm->has_exit_code) {
        /* Codes 125 to 127 are not the workload's own as a rule; where they are, it has said so itself. */
        if (vm->exit_code >= EXIT_RUN && vm->exit_code < 128 && vm->reason) {
            (void)vl_fail(&err, VL_INTERNAL, "%s", vm->reason);
            (void)volar_fail(&err);
        }
        return (int)(vm->exit_code & 0xff);
    }
    if (str_eq(vm->status, "stopped")) return EXIT_DONE;
    (void)vl_fail(&err, VL_INTERNAL, "VM '%s' %s: %s", vm->name, vm->status,
                  vm->reason ? vm->reason : "no reason is known");
    return fail(&err);
}

static int attach(struct volar *v, const char *name, bool agentless)
{
    struct attached a = {.v = v, .name = name};
    auto_(vm_view_done) struct vm_view vm = {0};
    struct log_options o = {.query = "follow=1&end=1",
                            .json = volar_json(v),
                            .no_console = !agentless,
                            .end = &vm,
                            .stop = look_at_signals,
                            .arg = &a};
    struct vl_error err = {0};
    int code;

    if (vm_follow_logs(v, name, &o, &err) < 0) {
        if (look_at_signals(&a) < 0) (void)let_go(&a, &err);
        return fail(&err);
    }
    if (!vm_has_ended(&vm)) {
        vm_view_done(&vm);
        if (await_verdict(&a, &vm, &err) < 0) return fail(&err);
    }
    code = exit_code(&vm);
    if (options.auto_remove) remove_vm(v, &vm); /* volantd would, in a moment */
    return code;
}

/* --- the VM ------------------------------------------------------------------------------------------------------- */

static int run_attached(struct volar *v, const char *name, const char *body, bool agentless)
{
    auto_(vm_view_done) struct vm_view vm = {0};
    json_auto_t *j = NULL;
    struct vl_error err = {0};

    if (api_json(v, "POST", "/api/v1/vms", body, CALL_S, &j, &err) < 0 || vm_view_decode(j, &vm, &err) < 0)
        return fail(&err);
    (void)fprintf(stderr, "VM %s; Ctrl-C stops it\n", name);
    vm_print_ports(stderr, &vm);
    return attach(v, name, agentless);
}

static int run_detached(struct volar *v, const char *name, const char *body)
{
    auto_(vm_view_done) struct vm_view vm = {0};
    struct vl_error err = {0};

    if (vm_post_and_wait(v, "/api/v1/vms", body, &vm, &err) < 0) return fail(&err);
    if (volar_json(v)) return vm_print_json(&vm, &err) < 0 ? fail(&err) : EXIT_DONE;
    vm_print_ports(stderr, &vm);
    return puts(name) < 0 ? EXIT_FAILED : EXIT_DONE;
}

/* From here on a terminal that goes away ends volar, as anywhere, and so does any signal where nobody is attached. */
static int end_of_build(struct vl_error *err)
{
    for (size_t i = 0; i < ARRAY_LEN(caught); i++)
        if (detach || caught[i] == SIGHUP || caught[i] == SIGPIPE) (void)sigaction(caught[i], &before[i], NULL);
    return interrupts ? vl_fail(err, VL_INVALID, "interrupted: no VM was made") : 0;
}

static int run_image(struct volar *v, const char *reference)
{
    struct run_plugin plugin = {0};
    auto_free char *body = NULL;
    struct vl_error err = {0};
    char name[64], digits[8];

    if (run_plugin_make(v, reference, &interrupts, &plugin, &err) < 0 || end_of_build(&err) < 0) return fail(&err);
    if (random_hex(digits, 2) < 0 || strf(name, sizeof(name), "%s-%s", plugin.base, digits) < 0) return EXIT_RUN;
    options.plugin = plugin.name;
    if (create_body(vm_name ? vm_name : name, &options, &body, &err) < 0) return volar_misuse(v, &err);
    return detach ? run_detached(v, vm_name ? vm_name : name, body)
                  : run_attached(v, vm_name ? vm_name : name, body, plugin.agentless);
}

/* All that volantd would refuse whatever the image: before anything is built. */
static int check_options(const struct volar *v)
{
    struct create_options o = options;
    auto_free char *body = NULL;
    json_auto_t *j = NULL;
    auto_vm_request request = {0};
    struct vl_error err = {0};

    if (options.auto_remove && options.restart && !str_eq(options.restart, "no")) {
        (void)vl_fail(&err, VL_INVALID, "--rm and --restart %s exclude each other: leave one of them out",
                      options.restart);
        return volar_misuse(v, &err);
    }
    o.plugin = "image";
    if (create_body(vm_name ? vm_name : "image", &o, &body, &err) < 0 ||
        json_parse(body, strlen(body), "request", &j, &err) < 0 || vm_request_decode(j, &request, NULL, &err) < 0)
        return volar_misuse(v, &err);
    return EXIT_DONE;
}

/* While an image is built none of these ends volar before it has removed what fledge wrote. */
static void catch_signals(void)
{
    for (size_t i = 0; i < ARRAY_LEN(caught); i++) {
        struct sigaction act = {.sa_handler = caught[i] == SIGPIPE ? SIG_IGN : on_interrupt};

        (void)sigaction(caught[i], NULL, &before[i]);
        if (caught[i] == SIGHUP && before[i].sa_handler == SIG_IGN) continue; /* nohup */
        (void)sigaction(caught[i], &act, NULL);
    }
}

/* Attached, nothing is waited for but the VM's end. */
static int check_wait(const struct volar *v, const struct wait_options *defaults)
{
    struct vl_error err = {0};
    bool want = vms_wait.want != defaults->want, timeout = vms_wait.timeout_s != 0;

    if (!timeout) vms_wait.timeout_s = defaults->timeout_s;
    if (detach || (!want && !timeout)) return vms_check_wait(v);
    (void)vl_fail(&err, VL_INVALID, "%s has no effect without -d: an attached run lasts until the VM ends",
                  want ? "--wait" : "--timeout");
    return volar_misuse(v, &err);
}

int run(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    int image = opt_first_operand(run_opts, argc, argv);
    const struct wait_options defaults = vms_wait;
    const char *reference;
    size_t n;
    int r;

    vms_wait.timeout_s = 0; /* none is given */
    r = volar_begin(v, image < argc ? image + 1 : argc, argv, &reference, 1, 1, &n);
    if (r < 0 && (r = check_wait(v, &defaults)) == EXIT_DONE &&
        (!vm_name || (r = volar_check_name(v, "VM", vm_name)) == EXIT_DONE)) {
        if (image + 1 < argc && str_eq(argv[image + 1], "--")) image++;
        if (image + 1 < argc) options.command = argv + image + 1;
        catch_signals();
        if ((r = check_options(v)) == EXIT_DONE) r = run_image(v, reference);
    }
    create_options_done(&options);
    return r;
}
