/* SPDX-License-Identifier: Apache-2.0 */
/* The real thing is tested end to end, on a cgroup v2 mounted for it. */
#include "base/unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/str.h"
#include "vmm/cgroup.h"
#include "vmm/vmm.h"

#define SYSTEMD "24 18 0:22 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
#define HYBRID                                                                                                         \
    "30 25 0:26 / /sys/fs/cgroup/memory rw shared:10 - cgroup cgroup rw,memory\n"                                      \
    "31 25 0:27 / /sys/fs/cgroup/unified rw shared:11 - cgroup2 none rw\n"
#define BOUND "40 1 0:22 /machine/x /cg rw - cgroup2 cgroup2 rw\n"

static void folders(void **state)
{
    static const struct {
        const char *own, *mounts, *folder; /* NULL: none */
    } table[] = {
        {"0::/system.slice/volantd.service\n", SYSTEMD, "/sys/fs/cgroup/system.slice/volantd.service"},
        {"0::/\n", SYSTEMD, "/sys/fs/cgroup"},
        {"12:memory:/a\n1:name=systemd:/b\n0::/c\n", HYBRID, "/sys/fs/cgroup/unified/c"},
        {"0::/machine/x/volantd\n", BOUND, "/cg/volantd"},
        {"0::/machine/x\n", BOUND, "/cg"},
        {"0::/machine/xy\n", BOUND, NULL},
        {"0::/other\n", BOUND, NULL},
        {"4:memory:/a\n", SYSTEMD, NULL},
        {"10::/a\n", SYSTEMD, NULL},
        {"", SYSTEMD, NULL},
        {"0::/a\n", "", NULL},
        {"0::/a\n", "30 25 0:26 / /sys/fs/cgroup rw - cgroup cgroup rw\n", NULL},
        {"0::/a\n", "30 25\n", NULL},
        {"0::/a\n", " - cgroup2 \n", NULL},
        {"0::/a\n", "24 18 0:22 / /with\\040blank rw - cgroup2 cgroup2 rw\n", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char buf[128] = "untouched";
        int r = cgroup_folder(table[i].own, table[i].mounts, buf, sizeof(buf));

        if (r != (table[i].folder ? 0 : -ENOENT)) fail_msg("%zu: %d", i, r);
        assert_string_equal(buf, table[i].folder ? table[i].folder : "untouched");
    }
}

static void settings(void **state)
{
    static const char *const bad[] = {"/proc/self", "/nowhere"};
    struct vl_error err = {0};
    char dir[256] = "x";
    const char *why = NULL;

    (void)state;
    assert_int_equal(vmm_cgroups_begin("off", dir, &why, &err), 0);
    assert_string_equal(dir, "");
    assert_non_null(why);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_true(vmm_cgroups_begin(bad[i], dir, &why, &err) < 0);
        assert_int_equal(err.kind, VL_INVALID);
        assert_non_null(strstr(err.msg, bad[i]));
        assert_string_equal(dir, "");
    }
}

static void vms(void **state)
{
    struct vmm_host h = {0};
    struct vl_error err = {0};
    int64_t *ids = NULL;
    char path[300];
    int fd = 7;
    size_t n;

    (void)state;
    /* none have one */
    assert_int_equal(vmm_cgroup_make(&h, 3, &fd, &err), 0);
    assert_int_equal(fd, -1);
    assert_int_equal(vmm_cgroup_remove(&h, 3), 0);
    assert_int_equal(vmm_cgroups_list(&h, &ids, &n), 0);
    assert_int_equal(n, 0);
    free(ids);
    /* an ordinary folder does not have the file that a cgroup has */
    assert_true(strf(h.cgroup, sizeof(h.cgroup), "/tmp/volant-cgroup-XXXXXX") > 0);
    assert_non_null(mkdtemp(h.cgroup));
    assert_true(vmm_cgroup_make(&h, 3, &fd, &err) < 0);
    assert_non_null(strstr(err.msg, "VOLANT_CGROUP"));
    assert_true(strf(path, sizeof(path), "%s/vm-x", h.cgroup) > 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(vmm_cgroups_list(&h, &ids, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(ids[0], 3);
    free(ids);
    assert_int_equal(vmm_cgroup_remove(&h, 3), 1);
    assert_int_equal(vmm_cgroup_remove(&h, 3), 0);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(h.cgroup), 0);
    assert_true(vmm_cgroup_make(&h, 3, &fd, &err) < 0);
    assert_true(vmm_cgroups_list(&h, &ids, &n) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders),
        cmocka_unit_test(settings),
        cmocka_unit_test(vms),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
