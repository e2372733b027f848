/* SPDX-License-Identifier: Apache-2.0 */
/* What QEMU is told, word by word where a boot hangs on it, and what it must never be told. */
#include "base/unit.h"

#include <stdio.h>
#include <string.h>

#include "vmm/driver.h"

#define KERNEL_WORDS                                                                                                   \
    "console=ttyS0 quiet panic=-1 reboot=t pci=off acpi=off mitigations=off tsc_early_khz=2596120 lapic_khz=1000000 "  \
    "noreplace-smp"

static struct vmm_host host(void)
{
    return (struct vmm_host){.tsc_khz = 2596120,
                             .qemu_path = "/usr/bin/qemu-system-x86_64",
                             .kernel_path = "/k",
                             .kernel_lapic_khz = true,
                             .kernel_tsc_early_khz = true};
}

static struct vmm_boot boot(const struct vmm_host *h)
{
    return (struct vmm_boot){.host = h,
                             .vm_id = 7,
                             .name = "web",
                             .runtime = "nginx",
                             .plugin = "nginx",
                             .boot = "00112233445566778899aabbccddeeff",
                             .dir = "/vms/7",
                             .cpu_cores = 1,
                             .memory_mb = 64,
                             .initrd_source = "/archive",
                             .ip_address = "192.168.127.10",
                             .gateway = "192.168.127.1",
                             .subnet = "192.168.127.0/24",
                             .mac_address = "02:0a:1b:2c:3d:4e"};
}

/* The value behind an option, NULL if it is not there. */
static const char *value_of(const struct vmm_command *c, const char *option, const char *begins)
{
    for (size_t i = 0; i + 1 < c->argv.len; i++)
        if (str_eq(c->argv.items[i], option) && str_starts(c->argv.items[i + 1], begins)) return c->argv.items[i + 1];
    return NULL;
}

static const char *argument_of(const struct vmm_command *c, const char *option)
{
    const char *value = value_of(c, option, "");

    if (!value) fail_msg("there is no %s", option);
    return value ? value : "";
}

static void golden(void **state)
{
    static const char append[] = KERNEL_WORDS " volant.runtime=nginx volant.plugin=nginx";
    static const char *const expected[] = {
        "/usr/bin/qemu-system-x86_64",
        "-name",
        "guest=web,debug-threads=on",
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
        "-display",
        "none",
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        "-M",
        "microvm,rtc=on,acpi=off,pit=off,pic=off",
        "-accel",
        "tcg,tb-size=64",
        "-cpu",
        "max,erms=off",
        "-smp",
        "1",
        "-m",
        "64",
        "-kernel",
        "/proc/self/fd/14",
        "-initrd",
        "/proc/self/fd/15",
        "-append",
        append,
        "-chardev",
        "socket,id=con,fd=13",
        "-serial",
        "chardev:con",
        "-chardev",
        "socket,id=qmp,fd=12,server=on,wait=off",
        "-mon",
        "chardev=qmp,mode=control",
        "-device",
        "virtio-serial-device,max_ports=3",
        "-chardev",
        "socket,id=ctl,fd=10,server=on,wait=off",
        "-device",
        "virtserialport,chardev=ctl,nr=1,name=volant.ctl",
        "-chardev",
        "socket,id=sync,fd=11,server=on,wait=off",
        "-device",
        "virtserialport,chardev=sync,nr=2,name=volant.sync",
        "-netdev",
        ("user,id=n0,restrict=on,ipv6=off,net=192.168.127.0/24,host=192.168.127.1,"
         "hostfwd=tcp:127.0.0.1:8080-192.168.127.10:80,hostfwd=udp:127.0.0.2:53-192.168.127.10:5353"),
        "-device",
        "virtio-net-device,netdev=n0,mac=02:0a:1b:2c:3d:4e",
        "-device",
        "virtio-rng-device"};
    struct port_map ports[] = {{.protocol = "tcp", .host_ip = "127.0.0.1", .host_port = 8080, .port = 80},
                               {.protocol = "udp", .host_ip = "127.0.0.2", .host_port = 53, .port = 5353}};
    struct vmm_host h = host();
    struct vmm_boot b = boot(&h);
    auto_(vmm_command_done) struct vmm_command c = {0};
    struct vl_error err;

    (void)state;
    b.ports = ports;
    b.n_ports = ARRAY_LEN(ports);
    assert_int_equal(qemu_driver.command(&b, &c, &err), 0);
    for (size_t i = 0; i < ARRAY_LEN(expected) && i < c.argv.len; i++)
        assert_string_equal(c.argv.items[i], expected[i]);
    assert_int_equal(c.argv.len, ARRAY_LEN(expected));
    assert_string_equal(c.cmdline, KERNEL_WORDS);
}

/* A kernel that lacks a patch asks the PIT; only one with both can do without it. */
static void other_kernels(void **state)
{
    static const struct {
        uint64_t khz;
        bool lapic, tsc, pit_off;
    } table[] = {{2000000, true, true, true},
                 {2000000, true, false, false},
                 {2000000, false, true, false},
                 {2000000, false, false, false},
                 {0, true, true, false}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct vmm_host h = host();
        struct vmm_boot b = boot(&h);
        auto_(vmm_command_done) struct vmm_command c = {0};

        h.kernel_lapic_khz = table[i].lapic;
        h.kernel_tsc_early_khz = table[i].tsc;
        h.tsc_khz = table[i].khz;
        assert_int_equal(qemu_driver.command(&b, &c, NULL), 0);
        assert_int_equal(strstr(argument_of(&c, "-M"), "pit=off") != NULL, table[i].pit_off);
        assert_int_equal(strstr(c.cmdline, "lapic_khz=") != NULL, table[i].lapic);
        assert_int_equal(strstr(c.cmdline, "tsc_early_khz=") != NULL, table[i].khz != 0);
    }
}

/* What our kernel is patched for is not expected of another, and there need not be an initrd. */
static void kernel_of_a_client(void **state)
{
    struct vmm_host h = host();
    struct vmm_boot b = boot(&h);
    auto_(vmm_command_done) struct vmm_command c = {0};

    (void)state;
    b.kernel = "/kernels/tiny";
    b.initrd_source = NULL;
    assert_int_equal(qemu_driver.command(&b, &c, NULL), 0);
    assert_null(strstr(argument_of(&c, "-M"), "pit=off"));
    assert_null(strstr(c.cmdline, "lapic_khz="));
    assert_string_equal(value_of(&c, "-kernel", ""), "/proc/self/fd/14"); /* never the client's path */
    assert_null(value_of(&c, "-initrd", ""));
}

static void kvm_and_cores(void **state)
{
    struct vmm_host h = host();
    struct vmm_boot b = boot(&h);
    auto_(vmm_command_done) struct vmm_command c = {0}, smp = {0};

    (void)state;
    b.cpu_cores = 4;
    assert_int_equal(qemu_driver.command(&b, &smp, NULL), 0);
    assert_null(strstr(smp.cmdline, "noreplace-smp"));
    assert_string_equal(value_of(&smp, "-smp", ""), "4");
    h.kvm = true;
    assert_int_equal(qemu_driver.command(&b, &c, NULL), 0);
    assert_string_equal(value_of(&c, "-accel", ""), "kvm");
    assert_string_equal(value_of(&c, "-cpu", ""), "host");
    assert_null(strstr(c.cmdline, "khz="));
    assert_null(strstr(c.cmdline, "mitigations")); /* a real CPU needs them */
    assert_null(strstr(argument_of(&c, "-M"), "pit=off"));
}

/* By descriptor, the shared one read-only and last, as that makes it vda; a data disk only beside it. */
static void disks(void **state)
{
    struct guest_config guest = {0};
    struct vmm_host h = host();
    struct vmm_boot b = boot(&h);
    auto_(vmm_command_done) struct vmm_command both = {0}, alone = {0}, foreign = {0}, none = {0};
    size_t data = 0, root = 0;

    (void)state;
    b.initrd_source = NULL;
    b.data_disk_mb = 64;
    assert_int_equal(qemu_driver.command(&b, &none, NULL), 0);
    assert_null(value_of(&none, "-blockdev", ""));
    b.guest = &guest;
    b.root_disk = "/somewhere/image,x=y"; /* never on the command line */
    b.root_fstype = "squashfs";
    assert_int_equal(qemu_driver.command(&b, &both, NULL), 0);
    assert_string_equal(value_of(&both, "-blockdev", "driver=raw,node-name=root"),
                        "driver=raw,node-name=root,read-only=on,file.driver=file,file.locking=off,"
                        "file.filename=/proc/self/fd/16");
    assert_non_null(strstr(value_of(&both, "-blockdev", "driver=raw,node-name=data"), "/proc/self/fd/17"));
    assert_null(strstr(value_of(&both, "-blockdev", "driver=raw,node-name=data"), "read-only=on"));
    for (size_t i = 0; i < both.argv.len; i++) {
        assert_null(strstr(both.argv.items[i], "/somewhere"));
        if (str_eq(both.argv.items[i], "virtio-blk-device,drive=data,serial=volant-data")) data = i;
        if (str_eq(both.argv.items[i], "virtio-blk-device,drive=root,serial=volant-root")) root = i;
    }
    assert_true(data > 0 && root > data);
    assert_string_equal(value_of(&both, "-initrd", ""), "/proc/self/fd/15"); /* the configuration */
    assert_non_null(strstr(argument_of(&both, "-append"), " volant.rootfs_device=vda volant.rootfs_fstype=squashfs"));
    assert_null(strstr(both.cmdline, "volant."));
    assert_null(strstr(both.cmdline, "root="));
    b.data_disk_mb = 0;
    assert_int_equal(qemu_driver.command(&b, &alone, NULL), 0);
    assert_null(value_of(&alone, "-blockdev", "driver=raw,node-name=data"));
    b.guest = NULL;
    assert_int_equal(qemu_driver.command(&b, &foreign, NULL), 0);
    assert_non_null(strstr(foreign.cmdline, " root=/dev/vda ro rootfstype=squashfs"));
    assert_null(value_of(&foreign, "-initrd", ""));
}

static void without_network(void **state)
{
    struct vmm_host h = host();
    struct vmm_boot b = boot(&h);
    auto_(vmm_command_done) struct vmm_command c = {0};

    (void)state;
    b.ip_address = b.gateway = b.subnet = b.mac_address = b.runtime = b.plugin = NULL;
    assert_int_equal(qemu_driver.command(&b, &c, NULL), 0);
    assert_null(value_of(&c, "-netdev", ""));
    assert_null(value_of(&c, "-device", "virtio-net"));
    assert_string_equal(value_of(&c, "-append", ""), c.cmdline);
}

static void refused(void **state)
{
    struct port_map good = {.protocol = "tcp", .host_ip = "127.0.0.1", .host_port = 1, .port = 1};
    struct port_map ports[] = {
        {.protocol = "sctp", .host_ip = "127.0.0.1", .host_port = 1, .port = 1},
        {.protocol = "tcp,x=y", .host_ip = "127.0.0.1", .host_port = 1, .port = 1},
        {.protocol = NULL, .host_ip = "127.0.0.1", .host_port = 1, .port = 1},
        {.protocol = "tcp", .host_ip = "::1", .host_port = 1, .port = 1},
        {.protocol = "tcp", .host_ip = "127.0.0.1,restrict=off", .host_port = 1, .port = 1},
        {.protocol = "tcp", .host_ip = NULL, .host_port = 1, .port = 1},
        {.protocol = "tcp", .host_ip = "127.0.0.1", .host_port = 0, .port = 1},
        {.protocol = "tcp", .host_ip = "127.0.0.1", .host_port = 65536, .port = 1},
        {.protocol = "tcp", .host_ip = "127.0.0.1", .host_port = 1, .port = -1},
    };
    struct vmm_host h = host();
    struct vmm_boot bad[64];
    size_t n = 0;

    (void)state;
#define BAD(change)                                                                                                    \
    do {                                                                                                               \
        bad[n] = boot(&h);                                                                                             \
        bad[n].change;                                                                                                 \
        n++;                                                                                                           \
    } while (0)
    BAD(name = "web,process=x");
    BAD(name = "web x");
    BAD(name = "");
    BAD(runtime = "a b");
    BAD(runtime = "x init=/bin/sh");
    BAD(plugin = "a\nb");
    BAD(cpu_cores = 0);
    BAD(cpu_cores = 65);
    BAD(memory_mb = 47);
    BAD(memory_mb = -1);
    BAD(memory_mb = INT64_MAX);
    BAD(ip_address = "192.168.127.10,restrict=off");
    BAD(ip_address = "");
    BAD(gateway = NULL);
    BAD(gateway = "1.2.3");
    BAD(subnet = NULL);
    BAD(subnet = "192.168.127.0/24,x");
    BAD(subnet = "192.168.127.1");
    BAD(mac_address = NULL);
    BAD(mac_address = "02:0a:1b:2c:3d:4e,x=y");
    BAD(mac_address = "02-0a-1b-2c-3d-4e");
    BAD(mac_address = "02:0A:1b:2c:3d:4e");
    for (size_t i = 0; i < ARRAY_LEN(ports); i++) {
        BAD(ports = &ports[i]);
        bad[n - 1].n_ports = 1;
    }
    BAD(ip_address = NULL); /* and a port */
    bad[n - 1].ports = &good;
    bad[n - 1].n_ports = 1;
    for (size_t i = 0; i < n; i++) {
        struct vmm_command c = {0};
        struct vl_error err = {0};

        if (qemu_driver.command(&bad[i], &c, &err) == 0) fail_msg("case %zu was accepted", i);
        assert_int_equal(err.kind, VL_INVALID);
        assert_null(c.argv.items);
        assert_null(c.cmdline);
    }
}

/* The longest that can be asked for stays below the kernel's limit, QEMU's own additions included. */
static void longest_cmdline(void **state)
{
    static const char longest[] = "a23456789012345678901234567890123456789012345678901234567890123";
    struct vmm_host h = host();
    struct vmm_boot b = boot(&h);
    auto_(vmm_command_done) struct vmm_command c = {0};

    (void)state;
    assert_int_equal(strlen(longest), 63);
    h.tsc_khz = UINT64_MAX;
    b.name = b.runtime = b.plugin = longest;
    assert_int_equal(qemu_driver.command(&b, &c, NULL), 0);
    assert_true(strlen(argument_of(&c, "-append")) < 2048 - 256);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden),          cmocka_unit_test(other_kernels),   cmocka_unit_test(kernel_of_a_client),
        cmocka_unit_test(kvm_and_cores),   cmocka_unit_test(without_network), cmocka_unit_test(refused),
        cmocka_unit_test(longest_cmdline), cmocka_unit_test(disks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
