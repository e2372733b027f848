/* SPDX-License-Identifier: Apache-2.0 */
#include "base/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "vmm/host.h"
#include "vmm/tsc.h"

static char root[] = "/tmp/volant-host-XXXXXX";

static void put(const char *name, const char *text)
{
    char path[256];
    auto_close int fd = -1;

    assert_true(strf(path, sizeof(path), "%s/%s", root, name) > 0);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write_all(fd, text, strlen(text), -1), 0);
}

static void make_dir(const char *name)
{
    char path[256];

    assert_true(strf(path, sizeof(path), "%s/%s", root, name) > 0);
    assert_int_equal(mkdir_p(path, 0700), 0);
}

static int setup(void **state)
{
    (void)state;
    memset(root + sizeof(root) - 7, 'X', 6);
    return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return remove_tree_at(AT_FDCWD, root);
}

/* A /dev/kvm that opens is no proof: the flag and its module must be there. */
static void kvm(void **state)
{
    struct vmm_host h = {.kvm = true};

    (void)state;
    host_probe_kvm(root, &h);
    assert_false(h.kvm);
    assert_non_null(strstr(h.accel_reason, "no /dev/kvm"));

    make_dir("dev");
    make_dir("proc");
    put("dev/kvm", "");
    host_probe_kvm(root, &h);
    assert_false(h.kvm);
    put("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu vme svm_lock xsvm\nbugs\t: svm\n");
    make_dir("sys/module/kvm_amd");
    host_probe_kvm(root, &h);
    assert_false(h.kvm);
    assert_non_null(strstr(h.accel_reason, "no hardware virtualisation"));

    put("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu svm vme\n");
    host_probe_kvm(root, &h);
    assert_true(h.kvm);
    put("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu vmx\nbugs\t: none\n");
    host_probe_kvm(root, &h);
    assert_false(h.kvm); /* Intel's flag, AMD's module */
    make_dir("sys/module/kvm_intel");
    host_probe_kvm(root, &h);
    assert_true(h.kvm);
}

static void kernel_facts(void **state)
{
    static const struct {
        const char *json;
        const char *version;
        bool lapic, tsc;
    } table[] = {
        {"{\"version\":\"6.12.117\",\"patches\":[\"lapic_khz\",\"tsc_early_khz\"]}", "6.12.117", true, true},
        {"{\"version\":\"6.1\",\"patches\":[\"tsc_early_khz\", 7, null]}", "6.1", false, true},
        {"{\"version\":\"6.1\",\"patches\":\"lapic_khz\"}", "6.1", false, false},
        {"{\"patches\":[]}", "unknown", false, false},
        {"{\"version\":", "unknown", false, false},
        {"[]", "unknown", false, false},
        {"", "unknown", false, false},
    };
    char kernel[256];
    struct vmm_host h;

    (void)state;
    assert_true(strf(kernel, sizeof(kernel), "%s/vmlinux", root) > 0);
    h.kernel_lapic_khz = true;
    host_read_kernel_facts(kernel, &h);
    assert_false(h.kernel_lapic_khz);
    assert_string_equal(h.kernel_version, "unknown");
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        put("vmlinux.json", table[i].json);
        host_read_kernel_facts(kernel, &h);
        assert_string_equal(h.kernel_version, table[i].version);
        assert_int_equal(h.kernel_lapic_khz, table[i].lapic);
        assert_int_equal(h.kernel_tsc_early_khz, table[i].tsc);
    }
}

static void qemu_version(void **state)
{
    static const char *const bad[] = {"",
                                      "QEMU",
                                      "QEMU emulator version ",
                                      "GPL version 3",
                                      "QEMU emulator version \x1b[31m",
                                      "QEMU emulator version 1.11111111111111111111111111111111111111111111111"};
    char version[64] = "untouched";

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(host_parse_qemu_version(bad[i], version), -EINVAL);
    assert_string_equal(version, "untouched");
    assert_int_equal(host_parse_qemu_version("QEMU emulator version 7.2.22 (Debian 1:7.2)\nCopyright", version), 0);
    assert_string_equal(version, "7.2.22");
}

static void missing_parts(void **state)
{
    struct vmm_host h = {.uid_base = 5};
    char file[256];
    const struct vmm_kernels good = {.vmlinux = file}, bad = {.vmlinux = file, .bzimage = "/nonexistent/bzImage"};
    struct vl_error err;

    (void)state;
    put("file", "");
    assert_true(strf(file, sizeof(file), "%s/file", root) > 0);
    assert_int_not_equal(vmm_host_probe(&bad, "/bin/true", NULL, 0, &h, &err), 0);
    assert_non_null(strstr(err.msg, "/nonexistent/bzImage"));
    assert_int_not_equal(
        vmm_host_probe(&(struct vmm_kernels){.vmlinux = "/nonexistent/vmlinux"}, file, NULL, 0, &h, &err), 0);
    assert_non_null(strstr(err.msg, "make kernel"));
    assert_int_not_equal(vmm_host_probe(&good, "/nonexistent/shim", NULL, 0, &h, &err), 0);
    assert_non_null(strstr(err.msg, "volant-shim"));
    assert_int_not_equal(vmm_host_probe(&good, file, file, 0, &h, &err), 0); /* no program */
    assert_int_equal(err.kind, VL_INVALID);
    assert_int_not_equal(vmm_host_probe(&good, file, "qemu", 0, &h, &err), 0);
    assert_int_equal(h.uid_base, 5);
    assert_int_equal(vmm_host_probe(&good, file, "/bin/true", 7, &h, &err), 0);
    assert_int_equal(h.uid_base, 7);
    assert_string_equal(h.qemu_path, "/bin/true");
    assert_int_not_equal(vmm_host_qemu_version(&h, mono_ms() + 10000, file, &err), 0);
}

static void medians(void **state)
{
    (void)state;
    assert_int_equal(median3(1, 2, 3), 2);
    assert_int_equal(median3(3, 1, 2), 2);
    assert_int_equal(median3(2, 3, 1), 2);
    assert_int_equal(median3(3, 2, 1), 2);
    assert_int_equal(median3(0, 0, 9), 0);
}

/* Two measurements agree: what is off by more would let a guest's clock run wrong. */
static void tsc(void **state)
{
    uint64_t a = tsc_measure_khz(), b = tsc_measure_khz(), apart = a > b ? a - b : b - a;

    (void)state;
    assert_true(apart <= a / 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(kvm, setup, teardown),
        cmocka_unit_test_setup_teardown(kernel_facts, setup, teardown),
        cmocka_unit_test(qemu_version),
        cmocka_unit_test_setup_teardown(missing_parts, setup, teardown),
        cmocka_unit_test(medians),
        cmocka_unit_test(tsc),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
