/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's microvm machine, by software emulation (TCG) or KVM. What stands here was measured: which devices, which
 * clock, which options a boot's reliability and speed hang on.
 *
 * QEMU opens no file and binds no control socket itself: all come as descriptors, so that it can run as a user who may
 * enter no folder of ours. Whatever is spliced into an option was checked to hold no comma or other character QEMU
 * reads.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "vmm/driver.h"
#include "vmm/qmp.h"

#define CMDLINE_MAX     2048    /* COMMAND_LINE_SIZE of x86 */
#define CMDLINE_DEVICES 256     /* room for QEMU's virtio_mmio.device= of each device */
#define LAPIC_KHZ       1000000 /* QEMU's local APIC counts at 1 GHz */
#define TB_SIZE         "64"    /* MB of translated code at most; the default of 1 GB would not stay bounded */
#define IPV4_ANY_PORT   65535
#define ROOT_DEVICE     "vda"

/* On every kernel command line. */
static const char *const cmdline_always[] = {
    "console=ttyS0", "quiet",
    "panic=-1", /* a panic restarts at once, which with -no-reboot ends the VM; our kernel has it built in, others not
                 */
    "reboot=t", /* restart by triple fault: without ACPI all other ways are tried in vain first (3 s) */
    "pci=off",  /* microvm has none */
    "acpi=off", /* nor this, as it is made here; looking for it ends in a false alarm on the console */
};

/* Under TCG alone. */
static const char *const cmdline_tcg[] = {
    /* Speculation happens in a CPU; the emulated one has none, and its host does not see the guest's own mitigations.
     */
    "mitigations=off",
};

void vmm_command_done(struct vmm_command *c)
{
    strv_done(&c->argv);
    free(c->cmdline);
    *c = (struct vmm_command){0};
}

bool vmm_has_initrd(const struct vmm_boot *b)
{
    return b->initrd_source || b->guest;
}

/* --- checks ------------------------------------------------------------------------------------------------------- */

static bool mac_good(const char *mac)
{
    if (!mac || strlen(mac) != 17) return false;
    for (size_t i = 0; i < 17; i++) {
        if (i % 3 == 2 ? mac[i] != ':' : !strchr("0123456789abcdef", mac[i])) return false;
    }
    return true;
}

static int check_port(const struct port_map *p, struct vl_error *err)
{
    uint32_t addr;

    if (!str_eq(p->protocol, "tcp") && !str_eq(p->protocol, "udp"))
        return vl_fail(err, VL_INVALID, "published port: protocol '%s' is not tcp or udp",
                       p->protocol ? p->protocol : "");
    if (!p->host_ip || parse_ipv4(p->host_ip, &addr) < 0)
        return vl_fail(err, VL_INVALID, "published port: host address '%s' is not IPv4", p->host_ip ? p->host_ip : "");
    if (p->host_port < 1 || p->host_port > IPV4_ANY_PORT || p->port < 1 || p->port > IPV4_ANY_PORT)
        return vl_fail(err, VL_INVALID, "published port %" PRId64 ":%" PRId64 " is not within 1 to 65535", p->host_port,
                       p->port);
    return 0;
}

static int check_network(const struct vmm_boot *b, struct vl_error *err)
{
    uint32_t addr;
    unsigned prefix;

    if (!b->ip_address)
        return b->n_ports == 0 ? 0 : vl_fail(err, VL_INVALID, "ports are published but the VM has no network");
    if (parse_ipv4(b->ip_address, &addr) < 0)
        return vl_fail(err, VL_INVALID, "address '%s' is not IPv4", b->ip_address);
    if (!b->gateway || parse_ipv4(b->gateway, &addr) < 0)
        return vl_fail(err, VL_INVALID, "gateway '%s' is not IPv4", b->gateway ? b->gateway : "");
    if (!b->subnet || parse_cidr(b->subnet, &addr, &prefix) < 0)
        return vl_fail(err, VL_INVALID, "subnet '%s' is not IPv4 with a prefix length", b->subnet ? b->subnet : "");
    if (!mac_good(b->mac_address))
        return vl_fail(err, VL_INVALID, "MAC address '%s' is not six pairs of hex digits",
                       b->mac_address ? b->mac_address : "");
    for (size_t i = 0; i < b->n_ports; i++) {
        int r = check_port(&b->ports[i], err);

        if (r < 0) return r;
    }
    return 0;
}

static int check_key(const char *key, const char *value, struct vl_error *err)
{
    const char *problem = value ? name_problem(value) : NULL;

    return problem ? vl_fail(err, VL_INVALID, "%s cannot be on a kernel command line: %s", key, problem) : 0;
}

static int check(const struct vmm_boot *b, struct vl_error *err)
{
    int r;

    if ((r = check_key("name", b->name, err)) < 0 || (r = check_key("runtime", b->runtime, err)) < 0 ||
        (r = check_key("plugin", b->plugin, err)) < 0)
        return r;
    if (b->cpu_cores < 1 || b->cpu_cores > CPU_CORES_MAX)
        return vl_fail(err, VL_INVALID, "cpu_cores is %" PRId64 ", allowed 1 to %d", b->cpu_cores, CPU_CORES_MAX);
    if (b->memory_mb < MEMORY_MB_MIN || b->memory_mb > MEMORY_MB_MAX)
        return vl_fail(err, VL_INVALID, "memory_mb is %" PRId64 ", allowed %d to %d", b->memory_mb, MEMORY_MB_MIN,
                       MEMORY_MB_MAX);
    return check_network(b, err);
}

/* --- kernel command line ------------------------------------------------------------------------------------------ */

static void add_words(struct strbuf *s, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        strbuf_addf(s, "%s%s", s->len ? " " : "", words[i]);
}

/* The machine needs neither PIT nor PIC if its kernel asks neither for a frequency: ours, with its patches. */
static bool no_legacy_timers(const struct vmm_boot *b)
{
    const struct vmm_host *h = b->host;

    return !b->kernel && !h->kvm && h->tsc_khz > 0 && h->kernel_lapic_khz && h->kernel_tsc_early_khz;
}

static void cmdline_base(const struct vmm_boot *b, struct strbuf *s)
{
    const struct vmm_host *h = b->host;

    add_words(s, cmdline_always, ARRAY_LEN(cmdline_always));
    if (h->kvm) return; /* kvm-clock and the TSC deadline timer need no help */
    add_words(s, cmdline_tcg, ARRAY_LEN(cmdline_tcg));
    if (h->tsc_khz) strbuf_addf(s, " tsc_early_khz=%" PRIu64, h->tsc_khz);
    if (!b->kernel && h->kernel_lapic_khz) strbuf_addf(s, " lapic_khz=%d", LAPIC_KHZ);
    /* Rewriting the kernel's lock prefixes for one CPU costs the translator more than they do. */
    if (b->cpu_cores == 1) strbuf_adds(s, " noreplace-smp");
}

/* Without a bootloader, Linux does what it does with a disk. */
static void cmdline_root(const struct vmm_boot *b, struct strbuf *s)
{
    if (!b->root_disk || b->guest) return;
    strbuf_addf(s, " root=/dev/%s ro", ROOT_DEVICE);
    if (b->root_fstype) strbuf_addf(s, " rootfstype=%s", b->root_fstype);
}

/* The contract's keys for foreign agents; ours reads its configuration from the initramfs. */
static void cmdline_keys(const struct vmm_boot *b, struct strbuf *s)
{
    if (b->runtime) strbuf_addf(s, " volant.runtime=%s", b->runtime);
    if (b->plugin) strbuf_addf(s, " volant.plugin=%s", b->plugin);
    if (!b->root_disk) return;
    strbuf_addf(s, " volant.rootfs_device=%s", ROOT_DEVICE);
    if (b->root_fstype) strbuf_addf(s, " volant.rootfs_fstype=%s", b->root_fstype);
}

/* --- command line ------------------------------------------------------------------------------------------------- */

/* Collects arguments; the first failure is kept. */
struct args {
    struct strv *v;
    int r;
};

static void add(struct args *a, const char *arg)
{
    if (a->r == 0) a->r = strv_add(a->v, arg);
}

static void add2(struct args *a, const char *option, const char *value)
{
    add(a, option);
    add(a, value);
}

static void add2f(struct args *a, const char *option, const char *fmt, ...) printf_(3, 4);
static void add2f(struct args *a, const char *option, const char *fmt, ...)
{
    auto_free char *value = NULL;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&value, fmt, ap);
    va_end(ap);
    if (n < 0) {
        value = NULL;
        a->r = -ENOMEM;
        return;
    }
    add2(a, option, value);
}

static void add_machine(const struct vmm_boot *b, struct args *a)
{
    const struct vmm_host *h = b->host;

    add(a, h->qemu_path);
    add2f(a, "-name", "guest=%s,debug-threads=on", b->name);
    add(a, "-nodefaults");
    add(a, "-no-user-config");
    add(a, "-no-reboot");
    add2(a, "-display", "none");
    add2(a, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
    /* rtc=on: without it the kernel waits a second for a clock; acpi=off: 25 ms less, and `reboot=t` ends the machine.
     */
    add2f(a, "-M", "microvm,rtc=on,acpi=off%s", no_legacy_timers(b) ? ",pit=off,pic=off" : "");
    if (h->kvm) {
        add2(a, "-accel", "kvm");
        add2(a, "-cpu", "host");
    } else {
        add2(a, "-accel", "tcg,tb-size=" TB_SIZE);
        add2(a, "-cpu",
             "max,erms=off"); /* TCG steps through `rep movsb` byte by byte: the kernel had better not use it */
    }
    add2f(a, "-smp", "%" PRId64, b->cpu_cores);
    add2f(a, "-m", "%" PRId64, b->memory_mb);
}

/* fds that listen already: QEMU accepts on them, and neither makes nor removes a file. */
static void add_socket(struct args *a, const char *id, enum vmm_fd fd)
{
    add2f(a, "-chardev", "socket,id=%s,fd=%d,server=on,wait=off", id, (int)fd);
}

static void add_channels(struct args *a)
{
    add2f(a, "-chardev", "socket,id=con,fd=%d", VMM_FD_CONSOLE);
    add2(a, "-serial", "chardev:con");
    add_socket(a, "qmp", VMM_FD_QMP);
    add2(a, "-mon", "chardev=qmp,mode=control");
    add2(a, "-device", "virtio-serial-device,max_ports=3");
    add_socket(a, "ctl", VMM_FD_CTL);
    add2(a, "-device", "virtserialport,chardev=ctl,nr=1,name=" GUEST_CTL_PORT);
    add_socket(a, "sync", VMM_FD_SYNC);
    add2(a, "-device", "virtserialport,chardev=sync,nr=2,name=" GUEST_SYNC_PORT);
}

/*
 * Linux names microvm's disks from the last to the first: the shared one comes last, and is vda. Many VMs have it open:
 * nobody writes, so nobody has to lock it.
 */
static void add_disks(const struct vmm_boot *b, struct args *a)
{
    if (b->root_disk && b->data_disk_mb > 0) {
        add2f(a, "-blockdev", "driver=raw,node-name=data,discard=unmap,file.driver=file,file.filename=/proc/self/fd/%d",
              VMM_FD_DATA);
        add2(a, "-device", "virtio-blk-device,drive=data,serial=" GUEST_DATA_SERIAL);
    }
    if (!b->root_disk) return;
    add2f(a, "-blockdev",
          "driver=raw,node-name=root,read-only=on,file.driver=file,file.locking=off,file.filename=/proc/self/fd/%d",
          VMM_FD_ROOT);
    add2(a, "-device", "virtio-blk-device,drive=root,serial=" GUEST_ROOT_SERIAL);
}

/*
 * QEMU's own user network maps its gateway to the host's loopback. restrict=on closes that: published ports come in,
 * and nothing goes out.
 */
static void add_network(const struct vmm_boot *b, struct args *a)
{
    auto_strbuf net = {0};

    if (!b->ip_address) return;
    strbuf_addf(&net, "user,id=n0,restrict=on,ipv6=off,net=%s,host=%s", b->subnet, b->gateway);
    for (size_t i = 0; i < b->n_ports; i++) {
        const struct port_map *p = &b->ports[i];

        strbuf_addf(&net, ",hostfwd=%s:%s:%" PRId64 "-%s:%" PRId64, p->protocol, p->host_ip, p->host_port,
                    b->ip_address, p->port);
    }
    if (net.failed) {
        a->r = -ENOMEM;
        return;
    }
    add2(a, "-netdev", net.data);
    add2f(a, "-device", "virtio-net-device,netdev=n0,mac=%s", b->mac_address);
}

static int qemu_command(const struct vmm_boot *b, struct vmm_command *ret, struct vl_error *err)
{
    auto_(vmm_command_done) struct vmm_command c = {0};
    auto_strbuf cmdline = {0};
    struct args a = {.v = &c.argv};
    int r = check(b, err);

    if (r < 0) return r;
    cmdline_base(b, &cmdline);
    cmdline_root(b, &cmdline);
    if (b->cmdline_extra) strbuf_addf(&cmdline, " %s", b->cmdline_extra);
    if (!cmdline.failed) c.cmdline = strdup(cmdline.data);
    cmdline_keys(b, &cmdline);
    if (cmdline.failed || !c.cmdline) return vl_fail_errno(err, ENOMEM, "QEMU's command line");
    if (cmdline.len > CMDLINE_MAX - CMDLINE_DEVICES)
        return vl_fail(err, VL_INVALID, "the kernel command line has %zu bytes, allowed %d", cmdline.len,
                       CMDLINE_MAX - CMDLINE_DEVICES);
    add_machine(b, &a);
    add2f(&a, "-kernel", "/proc/self/fd/%d", VMM_FD_KERNEL);
    if (vmm_has_initrd(b)) add2f(&a, "-initrd", "/proc/self/fd/%d", VMM_FD_INITRD);
    add2(&a, "-append", cmdline.data);
    add_channels(&a);
    add_disks(b, &a);
    add_network(b, &a);
    add2(&a, "-device", "virtio-rng-device");
    if (a.r < 0) return vl_fail_errno(err, a.r, "QEMU's command line");
    *ret = c;
    c = (struct vmm_command){0};
    return 0;
}

static int monitor(const char *dir, const char *command, int64_t deadline_ms, json_t **ret, struct vl_error *err)
{
    char path[256];
    int r = strf(path, sizeof(path), "%s/qmp", dir);

    return r < 0 ? vl_fail_errno(err, r, "path of %s/qmp", dir) : qmp_run(path, command, deadline_ms, ret, err);
}

static int qemu_quit(const char *dir, int64_t deadline_ms, struct vl_error *err)
{
    return monitor(dir, "quit", deadline_ms, NULL, err);
}

static int qemu_pause(const char *dir, bool paused, int64_t deadline_ms, struct vl_error *err)
{
    return monitor(dir, paused ? "stop" : "cont", deadline_ms, NULL, err);
}

/* RunState of qapi/run-state.json. internal-error: KVM gave up on the guest, which will never run again. */
static int qemu_state(const char *dir, int64_t deadline_ms, enum vmm_state *ret, struct vl_error *err)
{
    json_auto_t *status = NULL;
    const char *text;
    int r = monitor(dir, "query-status", deadline_ms, &status, err);

    if (r < 0) return r;
    if (!(text = json_string_value(json_object_get(status, "status"))))
        return vl_fail(err, VL_INTERNAL, "QMP: the VMM does not tell its status");
    *ret = str_eq(text, "running")                                      ? VMM_RUNS
           : str_eq(text, "internal-error") || str_eq(text, "io-error") ? VMM_BROKEN
                                                                        : VMM_PAUSED;
    return 0;
}

const struct vmm_driver qemu_driver = {
    .name = "qemu",
    .shutdown = "reboot",
    .command = qemu_command,
    .quit = qemu_quit,
    .pause = qemu_pause,
    .state = qemu_state,
};
