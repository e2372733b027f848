/* SPDX-License-Identifier: Apache-2.0 */
#include "base/unit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "vmm/vmm.h"

#define BOOT  "00112233445566778899aabbccddeeff"
#define OTHER "ffeeddccbbaa99887766554433221100"
#define WHO   ",\"shim\":{\"pid\":10,\"start\":20},\"vmm\":{\"pid\":11,\"start\":21}}"

static char dir[] = "/tmp/volant-run-XXXXXX";

static void put(const char *name, const char *text)
{
    auto_close int fd = open_dir(dir);

    assert_true(fd >= 0);
    assert_int_equal(write_file_atomic_at(fd, name, text, strlen(text), 0600), 0);
}

static int setup(void **state)
{
    (void)state;
    memset(dir + sizeof(dir) - 7, 'X', 6);
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return remove_tree_at(AT_FDCWD, dir);
}

static void runs(void **state)
{
    static const char *const bad[] = {
        "{",
        "[]",
        "{}",
        "{\"boot\":\"" BOOT "\"}",
        "{\"boot\":\"" BOOT "0\",\"host_boot_id\":\"h\"" WHO,
        "{\"boot\":\"../../etc/x\",\"host_boot_id\":\"h\"" WHO,
        "{\"boot\":7,\"host_boot_id\":\"h\"" WHO,
        "{\"boot\":\"" BOOT "\",\"host_boot_id\":5" WHO,
        "{\"boot\":\"" BOOT "\",\"host_boot_id\":\"0123456789012345678901234567890123456789\"" WHO,
        "{\"boot\":\"" BOOT "\",\"host_boot_id\":\"h\",\"vmm\":{\"pid\":11,\"start\":21}}",
        "{\"boot\":\"" BOOT "\",\"host_boot_id\":\"h\",\"shim\":{\"pid\":10,\"start\":20}}",
        "{\"boot\":\"" BOOT
        "\",\"host_boot_id\":\"h\",\"shim\":{\"pid\":1,\"start\":20},\"vmm\":{\"pid\":11,\"start\":21}}",
        "{\"boot\":\"" BOOT
        "\",\"host_boot_id\":\"h\",\"shim\":{\"pid\":10,\"start\":20},\"vmm\":{\"pid\":-5,\"start\":21}}",
        "{\"boot\":\"" BOOT
        "\",\"host_boot_id\":\"h\",\"shim\":{\"pid\":10,\"start\":20},\"vmm\":{\"pid\":99999999999,\"start\":21}}",
        "{\"boot\":\"" BOOT
        "\",\"host_boot_id\":\"h\",\"shim\":{\"pid\":10,\"start\":20},\"vmm\":{\"pid\":11,\"start\":-1}}",
    };
    struct vmm_run run = {.boot = "untouched"};
    struct vl_error err;

    (void)state;
    assert_int_equal(vmm_run_read(dir, &run, &err), -ENOENT);
    put("run.json", ""); /* not synced when the host went down */
    assert_int_equal(vmm_run_read(dir, &run, &err), -ENOENT);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int r;

        put("run.json", bad[i]);
        r = vmm_run_read(dir, &run, &err);
        if (r == 0 || r == -ENOENT) fail_msg("%zu: %d", i, r);
        assert_string_equal(run.boot, "untouched");
    }
    put("run.json", "{\"boot\":\"" BOOT "\",\"host_boot_id\":\"h-1\",\"later\":1" WHO);
    assert_int_equal(vmm_run_read(dir, &run, &err), 0);
    assert_string_equal(run.boot, BOOT);
    assert_string_equal(run.host_boot_id, "h-1");
    assert_int_equal(run.shim.pid, 10);
    assert_int_equal(run.vmm.pid, 11);
    assert_int_equal(run.vmm.start, 21);
}

static void exits(void **state)
{
    static const char *const bad[] = {
        "{}",
        "{\"boot\":\"" BOOT "\",\"exited_ms\":1,\"code\":0,\"signal\":0}",
        "{\"boot\":\"" BOOT "\",\"exited_ms\":1,\"code\":256,\"signal\":0,\"stderr\":\"\"}",
        "{\"boot\":\"" BOOT "\",\"exited_ms\":1,\"code\":-2,\"signal\":0,\"stderr\":\"\"}",
        "{\"boot\":\"" BOOT "\",\"exited_ms\":1,\"code\":0,\"signal\":-1,\"stderr\":\"\"}",
        "{\"boot\":\"" BOOT "\",\"exited_ms\":\"x\",\"code\":0,\"signal\":0,\"stderr\":\"\"}",
        "{\"boot\":\"" BOOT "\",\"exited_ms\":1,\"code\":0,\"signal\":0,\"stderr\":[]}",
        "{\"boot\":\"\",\"exited_ms\":1,\"code\":0,\"signal\":0,\"stderr\":\"\"}",
    };
    auto_(vmm_exit_done) struct vmm_exit e = {.code = 77};
    struct vl_error err;

    (void)state;
    assert_int_equal(vmm_exit_read(dir, &e, &err), -ENOENT);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        put("exit.json", bad[i]);
        assert_true(vmm_exit_read(dir, &e, &err) < 0);
        assert_int_equal(e.code, 77);
        assert_null(e.stderr_tail);
    }
    put("exit.json",
        "{\"boot\":\"" BOOT "\",\"exited_ms\":1700000000123,\"code\":-1,\"signal\":9,\"stderr\":\"a\\nb\"}\n");
    assert_int_equal(vmm_exit_read(dir, &e, &err), 0);
    assert_int_equal(e.exited_ms, 1700000000123);
    assert_int_equal(e.code, -1);
    assert_int_equal(e.signal, 9);
    assert_string_equal(e.stderr_tail, "a\nb");
}

static void exit_wait(void **state)
{
    auto_(vmm_exit_done) struct vmm_exit e = {0};
    struct vmm_run run = {.boot = BOOT};
    struct vl_error err;
    int status;
    pid_t child = fork();

    (void)state;
    assert_true(child >= 0);
    if (child == 0) {
        (void)poll(NULL, 0, 60000);
        _exit(0);
    }
    assert_int_equal(proc_id_of(child, &run.shim), 0);
    assert_int_equal(vmm_exit_wait(dir, &run, mono_ms() + 20, &e, &err), -ETIMEDOUT);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(vmm_exit_wait(dir, &run, mono_ms() + 10000, &e, &err), -ENOENT); /* killed: no record */
    assert_int_equal(waitpid(child, &status, WNOHANG), -1);                           /* reaped */
    put("exit.json", "{\"boot\":\"" OTHER "\",\"exited_ms\":1,\"code\":0,\"signal\":0,\"stderr\":\"\"}");
    assert_int_equal(vmm_exit_wait(dir, &run, mono_ms() + 10000, &e, &err), -ENOENT); /* of an earlier boot */
    put("exit.json", "{\"boot\":\"" BOOT "\",\"exited_ms\":1,\"code\":0,\"signal\":0,\"stderr\":\"\"}");
    assert_int_equal(vmm_exit_wait(dir, &run, mono_ms() + 10000, &e, &err), 0);
    assert_string_equal(e.stderr_tail, "");
}

/* The console's socket stands for the shim: held means that it will still write its record. */
static void find(void **state)
{
    auto_close int listener = -1;
    struct vmm_run run = {0};
    struct vl_error err;
    char path[64], alive[512], host[40];
    struct proc_id self;
    int64_t begin;

    (void)state;
    assert_true(strf(path, sizeof(path), "%s/console.sock", dir) > 0);
    assert_int_equal(vmm_run_find(dir, BOOT, mono_ms() + 10000, &run, &err), -ENOENT);
    assert_true((listener = unix_listen(path, 4, 0600)) >= 0);
    begin = mono_ms();
    assert_int_equal(vmm_run_find(dir, BOOT, begin + 50, &run, &err), -ETIMEDOUT);
    assert_true(mono_ms() - begin >= 50);
    put("run.json", "{\"boot\":\"" BOOT "\",\"host_boot_id\":\"h\"" WHO);
    assert_int_equal(vmm_run_find(dir, BOOT, mono_ms() + 10000, &run, &err), 0);
    assert_int_equal(run.vmm.pid, 11);
    /* of another boot, which runs */
    assert_int_equal(proc_id_of(getpid(), &self), 0);
    host_boot_id(host);
    assert_true(strf(alive, sizeof(alive),
                     "{\"boot\":\"" OTHER "\",\"host_boot_id\":\"%s\",\"shim\":{\"pid\":%d,\"start\":%llu},"
                     "\"vmm\":{\"pid\":%d,\"start\":%llu}}",
                     host, (int)self.pid, (unsigned long long)self.start, (int)self.pid,
                     (unsigned long long)self.start) > 0);
    put("run.json", alive);
    assert_int_equal(vmm_run_find(dir, BOOT, mono_ms() + 10000, &run, &err), 0);
    assert_string_equal(run.boot, OTHER);
    assert_true(vmm_run_lives(&run));
    run.host_boot_id[0] = 'x';
    assert_false(vmm_run_lives(&run));
    /* the socket is there, nobody holds it */
    closep(&listener);
    listener = -1;
    put("run.json", "{\"boot\":\"" OTHER "\",\"host_boot_id\":\"h\"" WHO);
    assert_int_equal(vmm_run_find(dir, BOOT, mono_ms() + 10000, &run, &err), -ENOENT);
    put("run.json", "{");
    assert_true(vmm_run_find(dir, BOOT, mono_ms() + 10000, &run, &err) < 0);
}

/* It ends without a record while somebody waits for one. */
static void find_dies(void **state)
{
    struct vmm_run run = {0};
    struct vl_error err;
    char path[64];
    int listener;
    pid_t child;

    (void)state;
    assert_true(strf(path, sizeof(path), "%s/console.sock", dir) > 0);
    assert_true((listener = unix_listen(path, 4, 0600)) >= 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)poll(NULL, 0, 100);
        _exit(0);
    }
    (void)close(listener);
    assert_int_equal(vmm_run_find(dir, BOOT, mono_ms() + 10000, &run, &err), -ENOENT);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

/* Also what volantd 0.1.0 wrote, which kept no record. */
static void notes(void **state)
{
    static const char *const bad[] = {
        "{",
        "{}",
        "{\"id\":0,\"name\":\"a\",\"boot\":\"" BOOT "\",\"kernel_cmdline\":\"c\"}",
        "{\"id\":7,\"name\":5,\"boot\":\"" BOOT "\",\"kernel_cmdline\":\"c\"}",
        "{\"id\":7,\"name\":\"a\",\"boot\":\"x\",\"kernel_cmdline\":\"c\"}",
        "{\"id\":7,\"name\":\"a\",\"boot\":\"" BOOT "\"}",
        "{\"id\":7,\"name\":\"a\",\"boot\":\"" BOOT "\",\"kernel_cmdline\":\"c\",\"record\":[]}",
    };
    auto_(vmm_note_done) struct vmm_note n = {.id = 77};
    auto_free char *cmdline = NULL;
    struct vl_error err;

    (void)state;
    assert_int_equal(vmm_note_read(dir, &n, &err), -ENOENT);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        put("vm.json", bad[i]);
        assert_true(vmm_note_read(dir, &n, &err) < 0);
        assert_int_equal(n.id, 77);
    }
    put("vm.json", "{\"id\":7,\"name\":\"a\",\"boot\":\"" BOOT "\",\"kernel_cmdline\":\"c\"}\n");
    assert_int_equal(vmm_note_read(dir, &n, &err), 0);
    assert_int_equal(n.id, 7);
    assert_string_equal(n.name, "a");
    assert_null(n.record);
    vmm_note_done(&n);
    put("vm.json", "{\"id\":7,\"name\":\"a\",\"boot\":\"" BOOT "\",\"kernel_cmdline\":\"c\",\"later\":1,"
                   "\"record\":{\"x\":[1]}}");
    assert_int_equal(vmm_note_read(dir, &n, &err), 0);
    assert_string_equal(n.record, "{\"x\":[1]}");
    assert_int_equal(vmm_cmdline_read(dir, OTHER, &cmdline), -ENOENT);
    assert_int_equal(vmm_cmdline_read(dir, BOOT, &cmdline), 0);
    assert_string_equal(cmdline, "c");
}

static void sockets(void **state)
{
    (void)state;
    assert_int_equal(vmm_sockets_remove(dir), 0);
    put("qmp", "");
    put("console.sock", "");
    put("console.log", "");
    assert_int_equal(vmm_sockets_remove(dir), 2);
    assert_int_equal(vmm_sockets_remove(dir), 0);
}

static void folders(void **state)
{
    char path[64], parent[64];
    struct vl_error err;

    (void)state;
    assert_true(strf(path, sizeof(path), "%s/12/sub", dir) > 0);
    assert_int_equal(mkdir_p(path, 0700), 0);
    assert_int_equal(vmm_folder_remove(dir, 12, &err), 0);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(vmm_folder_remove(dir, 12, &err), 0);
    assert_true(strf(parent, sizeof(parent), "%s/none", dir) > 0);
    assert_true(vmm_folder_remove(parent, 12, &err) < 0);
}

static void end_of_nobody(void **state)
{
    struct vmm_run run = {.boot = BOOT, .host_boot_id = "another boot of the host"};
    struct vl_error err;

    (void)state;
    assert_int_equal(proc_id_of(getpid(), &run.vmm), 0);
    assert_int_equal(vmm_end(dir, &run, 10, 10, &err), VMM_END_NOTHING); /* and the test lives on */
    host_boot_id(run.host_boot_id);
    run.vmm.start++;
    assert_int_equal(vmm_end(dir, &run, 10, 10, &err), VMM_END_NOTHING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(runs, setup, teardown),
        cmocka_unit_test_setup_teardown(exits, setup, teardown),
        cmocka_unit_test_setup_teardown(exit_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(find, setup, teardown),
        cmocka_unit_test_setup_teardown(find_dies, setup, teardown),
        cmocka_unit_test_setup_teardown(notes, setup, teardown),
        cmocka_unit_test_setup_teardown(sockets, setup, teardown),
        cmocka_unit_test_setup_teardown(folders, setup, teardown),
        cmocka_unit_test_setup_teardown(end_of_nobody, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
