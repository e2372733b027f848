/* SPDX-License-Identifier: Apache-2.0 */
#include "base/unit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/io.h"
#include "vmm/prepare.h"

#define MB       (1024l * 1024)
#define MAGIC_AT 1080 /* of ext4: 0xEF53 */
#define BOOT_MS  60000

static char dir[] = "/tmp/volant-disk-XXXXXX";
static struct prepared made;

static int setup(void **state)
{
    (void)state;
    memset(dir + sizeof(dir) - 7, 'X', 6);
    if (!mkdtemp(dir)) return -1;
    made = PREPARED_INIT;
    return (made.dir = open_dir(dir)) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    closep(&made.root);
    closep(&made.data);
    closep(&made.dir);
    return remove_tree_at(AT_FDCWD, dir);
}

static void open_disks(int64_t mb)
{
    struct vmm_boot b = {.dir = dir, .root_disk = "/dev/null", .data_disk_mb = mb};
    struct vl_error err = {0};

    closep(&made.root);
    closep(&made.data);
    made.root = made.data = -1;
    assert_int_equal(disks_open(&b, 0, mono_ms() + BOOT_MS, &made, &err), 0);
}

static void assert_ext4(int fd, int64_t mb)
{
    unsigned char magic[2] = {0};
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, mb * MB);
    assert_int_equal(pread(fd, magic, sizeof(magic), MAGIC_AT), sizeof(magic));
    assert_int_equal(magic[0] | magic[1] << 8, 0xef53);
}

/* Made once, kept, made larger and never smaller. */
static void a_disk_of_its_own(void **state)
{
    (void)state;
    open_disks(64);
    assert_ext4(made.data, 64);
    assert_int_equal(pwrite(made.data, "kept", 4, 0), 4);
    for (int64_t mb = 65; mb > 63; mb--) {
        char kept[4];

        open_disks(mb);
        assert_ext4(made.data, 65);
        assert_int_equal(pread(made.data, kept, sizeof(kept), 0), sizeof(kept));
        assert_memory_equal(kept, "kept", sizeof(kept));
    }
    assert_int_equal(faccessat(made.dir, ".data.ext4.tmp", F_OK, 0), -1);
}

/* volantd was killed while its mke2fs was at work, which goes on: the disk that is made next is not that file. */
static void an_orphan_writes_elsewhere(void **state)
{
    auto_close int orphan = openat(made.dir, ".data.ext4.tmp", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    (void)state;
    assert_true(orphan >= 0);
    assert_int_equal(ftruncate(orphan, 64 * MB), 0);
    open_disks(64);
    assert_int_equal(pwrite(orphan, "xx", 2, MAGIC_AT), 2);
    assert_int_equal(ftruncate(orphan, 0), 0);
    assert_ext4(made.data, 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_disk_of_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(an_orphan_writes_elsewhere, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
