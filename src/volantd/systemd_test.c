/* SPDX-License-Identifier: Apache-2.0 */
#include "volantd/systemd.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "base/unit.h"

/* NOLINTBEGIN(concurrency-mt-unsafe): the environment is this program's to change, it has no other thread then */

#define WAIT_MS 20000

static struct fixture {
    char dir[64];
    struct loop *loop;
    struct store *store;
    struct systemd *systemd;
    int manager;      /* the socket of a service manager */
    char said[65536]; /* all that it was told, a line each */
} f;

static int make(void **state)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct vl_error err = {0};
    char path[96];

    (void)state;
    f = (struct fixture){.manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    (void)snprintf(f.dir, sizeof(f.dir), "/tmp/volant-systemd-XXXXXX");
    assert_non_null(mkdtemp(f.dir));
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/notify", f.dir);
    assert_int_equal(bind(f.manager, (const void *)&addr, sizeof(addr)), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", addr.sun_path, 1), 0);
    assert_int_equal(setenv("WATCHDOG_USEC", "100000", 1), 0);
    (void)unsetenv("WATCHDOG_PID");
    (void)snprintf(path, sizeof(path), "%s/state.db", f.dir);
    assert_int_equal(loop_new(&f.loop), 0);
    if (store_open(f.loop, path, &f.store, &err) < 0) fail_msg("%s", err.msg);
    return 0;
}

static int drop(void **state)
{
    (void)state;
    systemd_free(f.systemd);
    store_close(f.store);
    loop_free(f.loop);
    (void)close(f.manager);
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
    assert_int_equal(remove_tree_at(AT_FDCWD, f.dir), 0);
    return 0;
}

static void status(void *arg, char *buf, size_t size)
{
    (void)strf(buf, size, "%d VMs", *(int *)arg);
}

static void becomes_ready(int *vms)
{
    const struct systemd_config cfg = {.loop = f.loop, .store = f.store, .status = status, .arg = vms};
    struct vl_error err = {0};

    if (systemd_ready(&cfg, &f.systemd, &err) < 0) fail_msg("%s", err.msg);
}

/* How often the manager was told `what`, up to now. */
static int told(const char *what)
{
    size_t len = strlen(f.said);
    ssize_t n;
    int times = 0;

    while ((n = recv(f.manager, f.said + len, sizeof(f.said) - len - 2, 0)) > 0) {
        len += (size_t)n;
        f.said[len++] = '\n';
        f.said[len] = '\0';
    }
    for (const char *at = f.said; (at = strstr(at, what)); at++)
        times++;
    return times;
}

static void runs_until_told(const char *what, int times)
{
    int64_t end = mono_ms() + WAIT_MS;

    while (told(what) < times) {
        if (mono_ms() > end) fail_msg("not told %s %d times, but:\n%s", what, times, f.said);
        (void)loop_step(f.loop, 50);
    }
}

static void runs_for(int ms)
{
    for (int64_t end = mono_ms() + ms; mono_ms() < end;)
        (void)loop_step(f.loop, deadline_left(end));
}

static void readiness_status_and_life_are_told(void **state)
{
    int vms = 3;

    (void)state;
    becomes_ready(&vms);
    assert_int_equal(told("READY=1\nSTATUS=3 VMs\n"), 1);
    vms = 4;
    runs_until_told("WATCHDOG=1\nSTATUS=4 VMs\n", 3);
    assert_int_equal(told("READY=1"), 1);
    systemd_stopping();
    assert_int_equal(told("STOPPING=1"), 1);
}

/* What a restore takes is no reason to be ended; then the unit's own time counts again. */
static void the_watchdog_waits_for_what_takes_long(void **state)
{
    int vms = 0;

    (void)state;
    becomes_ready(&vms);
    systemd_patience(7000);
    assert_int_equal(told("WATCHDOG_USEC=7000000"), 1);
    systemd_free(take_ptr(f.systemd));
    for (int i = 0; i < 2; i++) { /* the second time there is nothing to be put right */
        becomes_ready(&vms);
        systemd_free(take_ptr(f.systemd));
    }
    assert_int_equal(told("READY=1\nWATCHDOG_USEC=100000\nSTATUS="), 1);
    assert_int_equal(told("READY=1"), 3);
}

/* An operation that does not end until somebody writes into the pipe. */
struct stuck {
    struct store_op op;
    int read_fd;
    bool done;
};

static int stuck_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    struct stuck *s = container_of(op, struct stuck, op);
    char c;

    (void)tx;
    (void)err;
    return read(s->read_fd, &c, 1) == 1 ? 0 : -EIO;
}

static void stuck_done(struct store_op *op, int r, const struct vl_error *err)
{
    (void)err;
    assert_int_equal(r, 0);
    container_of(op, struct stuck, op)->done = true;
}

static void a_store_that_hangs_is_not_fed(void **state)
{
    struct stuck s = {.op = {.run = stuck_run, .done = stuck_done}};
    int ends[2], vms = 0, before;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    s.read_fd = ends[0];
    becomes_ready(&vms);
    runs_until_told("WATCHDOG=1", 1);
    store_post(f.store, &s.op);
    runs_for(100); /* for the one that may have been on its way */
    before = told("WATCHDOG=1");
    runs_for(400); /* eight times its turn */
    assert_int_equal(told("WATCHDOG=1"), before);
    assert_int_equal(write(ends[1], "x", 1), 1);
    runs_until_told("WATCHDOG=1", before + 2);
    assert_true(s.done);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* What is on its way when volantd stops ends in store_close. */
static void a_probe_on_its_way_is_no_hindrance(void **state)
{
    struct stuck s = {.op = {.run = stuck_run, .done = stuck_done}};
    int ends[2], vms = 0;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    s.read_fd = ends[0];
    becomes_ready(&vms);
    store_post(f.store, &s.op);
    runs_for(120);
    systemd_free(take_ptr(f.systemd));
    assert_int_equal(write(ends[1], "x", 1), 1);
    store_close(take_ptr(f.store));
    assert_true(s.done);
    assert_int_equal(told("WATCHDOG=1"), 0);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void without_a_watchdog_there_is_no_timer(void **state)
{
    static const char *const values[] = {NULL, "0", "a lot"};
    int vms = 0;

    (void)state;
    log_set_level(LOG_LEVEL_ERR); /* one of them is warned of */
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        if (values[i])
            assert_int_equal(setenv("WATCHDOG_USEC", values[i], 1), 0);
        else
            assert_int_equal(unsetenv("WATCHDOG_USEC"), 0);
        becomes_ready(&vms);
        runs_for(50);
        systemd_free(take_ptr(f.systemd));
    }
    log_set_level(LOG_LEVEL_INFO);
    assert_int_equal(told("WATCHDOG=1"), 0);
    assert_int_equal(told("READY=1"), ARRAY_LEN(values));
}

static void without_a_manager_nothing_happens(void **state)
{
    int vms = 0;

    (void)state;
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
    becomes_ready(&vms);
    systemd_stopping();
    assert_int_equal(told("="), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", "/nonexistent/socket", 1), 0); /* nor where it is gone */
    systemd_free(take_ptr(f.systemd));
    log_set_level(LOG_LEVEL_ERR);
    becomes_ready(&vms);
    log_set_level(LOG_LEVEL_INFO);
}

static void the_status_counts_vms(void **state)
{
    struct engine_summary s = {0};
    char text[128], tiny[8];

    (void)state;
    systemd_status_text(&s, text, sizeof(text));
    assert_string_equal(text, "0 VMs");
    s.vms = 1;
    s.by_status[VM_RUNNING] = 1;
    systemd_status_text(&s, text, sizeof(text));
    assert_string_equal(text, "1 VM: 1 running");
    s.vms = 12;
    s.by_status[VM_RUNNING] = 10;
    s.by_status[VM_CRASHED] = 2;
    systemd_status_text(&s, text, sizeof(text));
    assert_string_equal(text, "12 VMs: 10 running, 2 crashed");
    systemd_status_text(&s, tiny, sizeof(tiny));
    assert_string_equal(tiny, "12 VMs:");
}

#define with_all(test) cmocka_unit_test_setup_teardown(test, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_all(readiness_status_and_life_are_told),     with_all(a_store_that_hangs_is_not_fed),
        with_all(the_watchdog_waits_for_what_takes_long), with_all(a_probe_on_its_way_is_no_hindrance),
        with_all(without_a_watchdog_there_is_no_timer),   with_all(without_a_manager_nothing_happens),
        cmocka_unit_test(the_status_counts_vms),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
/* NOLINTEND(concurrency-mt-unsafe) */
