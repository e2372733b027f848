/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One boot of one VM: its folder, its initrd, its sockets, its shim and VMM process; and finding all that again after a
 * restart of volantd. Everything here is plain blocking code for a worker thread unless it says otherwise.
 *
 * A VM's folder, vms/<id>/ (0711), holds
 *   vm.json       volantd's: which VM and which boot this is, with which kernel command line, and the VM's record: all
 *                 that a registry without it needs to take it in
 *   initrd        the VM's archive (of a disk image none) + its configuration, 0400, the VM user's
 *   data.ext4     the disk of its own that outlives boots, 0600, the VM user's; where it has one
 *   ctl sync qmp  listening sockets, inherited by the VMM
 *   console.sock  listening socket, inherited by the shim
 *   console.log   (and console.log.1) bounded console output of this boot, the shim's; .old is of the one before
 *   run.json      written by the shim once the VMM runs: who they are
 *   exit.json     written by the shim when the VMM has ended
 * and is locked (flock) by its shim for as long as that lives.
 */
#pragma once
#include "base/error.h"
#include "base/proc.h"
#include "model/guest.h"
#include "model/vm.h"

#define BOOT_TOKEN_LEN 32 /* hex digits that name one boot of one VM */

/* What the host offers, found once at start and again by `volar doctor`. Loop thread may read it, nobody changes it. */
struct vmm_host {
    bool kvm;               /* usable: rule 8 of the design */
    char accel_reason[160]; /* why KVM is used or not, for people */
    uint64_t tsc_khz;       /* measured, for TCG guests */
    char qemu_path[256];
    char kernel_path[256];
    char kernel_version[64];
    bool kernel_lapic_khz, kernel_tsc_early_khz; /* the boot patches its .json lists */
    char rootfs_kernel_path[256]; /* the same kernel with a bootloader for disk images; "": there is none */
    char shim_path[256];
    uint32_t uid_base; /* VMs run as uid_base + id; 0: as volantd's own user (not root) */
    char cgroup[256];  /* the folder below which each VM has a cgroup (vmm_cgroups_begin); "": none has */
};
#define NO_ROOTFS_KERNEL                                                                                               \
    "there is no kernel that boots disk images: bzImage-volant is to be beside the guest kernel (`make kernel` makes " \
    "it, `make install` installs it)"
struct vmm_kernels {
    const char *vmlinux, *bzimage; /* NULL: the installed one; the one beside it */
};
/* shim, qemu: NULL to look in the usual places. VL_INVALID names the missing part and the package or command to
 * get it. */
int vmm_host_probe(const struct vmm_kernels *kernels, const char *shim, const char *qemu, uint32_t uid_base,
                   struct vmm_host *ret, struct vl_error *err);
/* "7.2.22", by running QEMU once (about 20 ms, hence not part of the probe). The VMM's text is not trusted to be
 * printable. */
int vmm_host_qemu_version(const struct vmm_host *h, int64_t deadline_ms, char ret[static 64], struct vl_error *err);

/*
 * Opens a kernel that a client named, below one of `dirs` (absolute; NULL: none): no link in its path leads out, and it
 * is a regular file that the VMM's user may read. VL_INVALID says what is wrong with `path`, the remedy with it.
 */
int vmm_kernel_open(const struct vmm_host *h, const struct strv *dirs, const char *path, int *ret_fd,
                    struct vl_error *err);

/* Everything a driver needs to describe a boot. Strings are borrowed. */
struct vmm_boot {
    const struct vmm_host *host;
    int64_t vm_id;
    const char *name;
    const char *runtime, *plugin; /* the contract's short keys on the kernel command line; NULL: left out */
    const char *boot;             /* token */
    const char *record;           /* JSON object text that is kept in vm.json; NULL: none */
    const char *dir;              /* the VM's folder, absolute */
    int64_t cpu_cores, memory_mb;
    const char *initrd_source; /* uncompressed (or kernel-decompressable) cpio archive, shared, read-only; NULL: none */
    const char *root_disk;     /* disk image, shared, read-only; NULL: none */
    const char *root_fstype;   /* of root_disk, for the kernel command line; NULL: not known */
    int64_t data_disk_mb; /* a disk of the VM's own beside root_disk: made at the first boot, grown later; 0: none */
    const char *cmdline_extra; /* arguments for the kernel behind ours; NULL: none */
    const char *kernel;        /* another than the host's, for vmm_kernel_open; NULL: the host's */
    const struct strv *kernel_dirs;
    const char *ip_address, *gateway, *subnet /* CIDR */, *mac_address; /* user network; ip NULL: no network */
    const struct port_map *ports;
    size_t n_ports;
    const struct guest_config *guest; /* becomes /volant/config.json; NULL: nothing in the guest reads one, and the
                                         kernel itself mounts root_disk */
};

/* A running (or ended) boot as its folder tells. */
struct vmm_run {
    char boot[BOOT_TOKEN_LEN + 1];
    char host_boot_id[40];
    struct proc_id shim, vmm;
};
struct vmm_exit {
    char boot[BOOT_TOKEN_LEN + 1];
    int64_t exited_ms; /* wall clock */
    int code;          /* exit code, or -1 */
    int signal;        /* or 0 */
    char *stderr_tail; /* last lines of the VMM's stderr; never NULL */
};
void vmm_exit_done(struct vmm_exit *e);

/*
 * Makes the folder and all in it, starts the shim and through it the VMM, and returns once the VMM process exists.
 * On failure nothing of this boot is left running (files may stay: the next boot replaces them; vmm_folder_remove ends
 * it). *ret_cmdline: the kernel command line used, without the volant.* keys (contract 1.4), the caller's. deadline_ms
 * bounds the whole. b->guest->shutdown is not looked at: the configuration says what the machine of this driver needs.
 */
int vmm_launch(const struct vmm_boot *b, int64_t deadline_ms, struct vmm_run *ret, char **ret_cmdline,
               struct vl_error *err);

/* QMP `quit`, then SIGTERM, then SIGKILL to that very VMM, each with its time; returns when it is gone: what it took.
 * run is of this folder. */
enum vmm_end_step { VMM_END_NOTHING /* it was gone */, VMM_END_QUIT, VMM_END_TERM, VMM_END_KILL };
int vmm_end(const char *dir, const struct vmm_run *run, int quit_ms, int term_ms, struct vl_error *err);

/* Its vCPUs stand still (or go on). */
int vmm_pause(const char *dir, bool paused, int64_t deadline_ms, struct vl_error *err);
/* What the VMM says of its guest. */
enum vmm_state { VMM_RUNS, VMM_PAUSED, VMM_BROKEN /* the guest cannot go on */ };
int vmm_state_read(const char *dir, int64_t deadline_ms, enum vmm_state *ret, struct vl_error *err);

/* run.json: 0, -ENOENT (no such boot recorded), or an error for a damaged file. */
int vmm_run_read(const char *dir, struct vmm_run *ret, struct vl_error *err);
/* vm.json: the same. */
struct vmm_note {
    int64_t id;
    char *name;
    char boot[BOOT_TOKEN_LEN + 1];
    char *kernel_cmdline;
    char *record; /* JSON object text; NULL: an older volantd wrote none */
};
int vmm_note_read(const char *dir, struct vmm_note *ret, struct vl_error *err);
void vmm_note_done(struct vmm_note *n);
/* The kernel command line of that boot, as vm.json tells; the caller's. */
int vmm_cmdline_read(const char *dir, const char *boot, char **ret);
/* Whether that very VMM lives: of this host boot, pid and start time are its. */
bool vmm_run_lives(const struct vmm_run *run);
/* exit.json: the same. */
int vmm_exit_read(const char *dir, struct vmm_exit *ret, struct vl_error *err);
/*
 * After the VMM's end: waits until its shim has ended too (then the record and the console are complete), reaps it
 * where it is a child of ours, and reads the record of that boot. -ENOENT: the shim was killed and left none.
 * -ETIMEDOUT.
 */
int vmm_exit_wait(const char *dir, const struct vmm_run *run, int64_t deadline_ms, struct vmm_exit *ret,
                  struct vl_error *err);
/*
 * What runs in this folder, or ran as `boot`. After a crash of volantd between spawn and record: waits until the shim
 * of `boot` has either written run.json, or is certainly not there (-ENOENT). How: the shim holds console.sock. A VMM
 * of another boot that lives is what is found, too: ret->boot tells.
 */
int vmm_run_find(const char *dir, const char *boot, int64_t deadline_ms, struct vmm_run *ret, struct vl_error *err);
/*
 * The same without the folder, where that was removed or damaged: looks through /proc for the VM's own user and that
 * boot. -ENOENT: nothing of it runs, or VMs have no users of their own.
 */
int vmm_run_rebuild(const struct vmm_host *h, int64_t id, const char *boot, struct vmm_run *ret);

/* Why the guest ended as the console tells: the exit line's code, or a kernel panic's text. */
enum console_verdict { CONSOLE_NOTHING, CONSOLE_EXIT_CODE, CONSOLE_PANIC, CONSOLE_NO_SETUP };
struct console_end {
    enum console_verdict verdict;
    int code;
    char text[256];     /* panic line; with codes 125 to 127 what kestrel said that it could not do */
    bool out_of_memory; /* the guest's kernel says so, whatever came of it */
};
void vmm_console_end(const char *dir, struct console_end *ret);
/* The last max bytes of the console log (both files), the caller's. */
int vmm_console_tail(const char *dir, size_t max, char **ret, size_t *ret_len);

/* MB of the VM's data disk as it lies in its folder; 0: there is none. */
int64_t vmm_data_disk_mb(const char *dir);

/* Removes the sockets of a boot whose shim could not do it; how many there were. The caller made sure that nothing runs
 * there. */
int vmm_sockets_remove(const char *dir);
/* Removes the folder vms/<id> below vms_dir. The caller made sure that nothing runs in it. */
int vmm_folder_remove(const char *vms_dir, int64_t id, struct vl_error *err);

/* --- cgroup.c: each VM's shim and VMM in a cgroup of their own ---------------------------------------------------- */
/*
 * Where that is possible: volantd's own cgroup was delegated to it (systemd: Delegate=yes), or `setting` names a cgroup
 * v2 folder that is ours. volantd moves into `volantd` there, each VM into `vm-<id>` beside it. ret_dir is "" where
 * there are to be none: "off", or "auto" without delegation (*ret_why says why, a constant text). VL_INVALID for a
 * setting that cannot be had. Before the first thread and the first child.
 */
int vmm_cgroups_begin(const char *setting, char ret_dir[static 256], const char **ret_why, struct vl_error *err);
/* Makes the VM's and opens its cgroup.procs: whoever writes "0" there moves in. *ret_fd is -1 where VMs have none. */
int vmm_cgroup_make(const struct vmm_host *h, int64_t id, int *ret_fd, struct vl_error *err);
/* 1 if it was there, 0 if not, -EBUSY while a process is in it. */
int vmm_cgroup_remove(const struct vmm_host *h, int64_t id);
/* The ids that have one; the caller's. */
int vmm_cgroups_list(const struct vmm_host *h, int64_t **ret, size_t *ret_n);
