/* SPDX-License-Identifier: Apache-2.0 */
/* `fledge init`: a fledge.toml to begin with, which says what every key is for. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/str.h"
#include "fledge/command.h"

static const char *strategy = "oci_rootfs";
const struct opt init_opts[] = {
    {"strategy", 's', OPT_STRING, "NAME", "oci_rootfs (default): of an OCI image; initramfs: of a handful of files", 0,
     0, &strategy},
    GLOBAL,
    {0},
};

static const char of_files[] =
    "# What `fledge build` makes here: an appliance of a handful of files, unpacked into the guest's memory.\n"
    "[plugin]\n"
    "name = \"web\"            # also of the files that are written\n"
    "version = \"1.0.0\"\n"
    "strategy = \"initramfs\"\n"
    "# restart = \"no\"         # or \"on-failure\", \"always\": when its VMs end\n"
    "\n"
    "# Any number of these, applied in this order.\n"
    "[[file_mappings]]\n"
    "source = \"./program\"    # absolute, or relative to this file; folders whole and deep\n"
    "dest = \"/usr/local/bin/program\"  # absolute; \"/etc/\" puts a file there under its own name\n"
    "# mode = 0o755          # octal; default by the source and the destination\n"
    "# libraries = \"auto\"    # shared libraries and loader come along; or \"none\"\n"
    "\n"
    "[workload]\n"
    "entrypoint = [\"/usr/local/bin/program\"]\n"
    "# env = { LANG = \"C.UTF-8\" }\n"
    "# workdir = \"/\"\n"
    "# user = \"0:0\"          # UID, UID:GID, NAME or NAME:GROUP; default root\n"
    "# base_url = \"http://127.0.0.1:80\"  # where it serves HTTP, if it does\n"
    "\n"
    "# [initramfs]\n"
    "# busybox = true         # this host's static busybox and a link for each of its applets: /bin/sh, /bin/ls, ...\n"
    "# compression = \"zstd\"   # or \"lz4\", \"gzip\", \"none\"\n"
    "# compression_level = 19\n"
    "\n"
    "# The layers of an image below the mapped files, whose program is started where no [workload] is given.\n"
    "# [oci_source]\n"
    "# image = \"docker.io/library/alpine:3\"\n"
    "\n"
    "# Another PID 1 than kestrel, which then supervises nothing: a file of this host, or what is mapped to /init.\n"
    "# Instead of [workload] and [health_check].\n"
    "# [init]\n"
    "# path = \"./init\"        # or none = true\n"
    "\n"
    "# A VM is ready once this has passed in the guest; \"tcp\": port accepts; \"exec\": command ends with 0.\n"
    "# [health_check]\n"
    "# type = \"http\"\n"
    "# endpoint = \"/healthz\"  # 2xx; resolved against base_url; or with a port of its own\n"
    "# port = 80\n"
    "# interval_ms = 10000    # and check_timeout_ms, retries, start_period_ms, timeout_ms\n"
    "\n"
    "# What a VM gets where its creation says nothing else.\n"
    "[resources]\n"
    "cpu_cores = 1\n"
    "memory_mb = 256\n";

static const char of_image[] =
    "# What `fledge build` makes here: a disk image of an OCI image, read-only, with an overlay in each VM.\n"
    "[plugin]\n"
    "name = \"web\"            # also of the files that are written\n"
    "version = \"1.0.0\"\n"
    "strategy = \"oci_rootfs\"\n"
    "# restart = \"no\"         # or \"on-failure\", \"always\": when its VMs end\n"
    "\n"
    "[oci_source]\n"
    "# As in a registry, or oci:FOLDER, oci-archive:FILE, docker-archive:FILE.\n"
    "image = \"docker.io/library/nginx:alpine\"\n"
    "# Or a Dockerfile, which buildah builds: dockerfile, and perhaps context, target, build_args, instead of image.\n"
    "\n"
    "# [filesystem]\n"
    "# type = \"squashfs\"      # or \"ext4\", which can be written to\n"
    "# compression = \"zstd\"   # squashfs: or \"lz4\", \"gzip\", \"xz\"\n"
    "# compression_level = 6\n"
    "# size_mb = 2048         # ext4: the whole disk; default what is needed and size_buffer_mb\n"
    "# size_buffer_mb = 256   # ext4: room beside the content\n"
    "# preallocate = true     # ext4: its blocks belong to it at once\n"
    "\n"
    "# Files of this host that come over those of the image.\n"
    "# [[file_mappings]]\n"
    "# source = \"./index.html\"\n"
    "# dest = \"/usr/share/nginx/html/index.html\"\n"
    "\n"
    "# The image says how its program is run; what stands here wins.\n"
    "# [workload]\n"
    "# entrypoint = [\"/usr/sbin/nginx\", \"-g\", \"daemon off;\"]\n"
    "# env = { LANG = \"C.UTF-8\" }\n"
    "# workdir = \"/\"\n"
    "# user = \"nginx\"\n"
    "# base_url = \"http://127.0.0.1:80\"\n"
    "# stop_signal = \"SIGQUIT\"\n"
    "\n"
    "# Over the image's own. A VM is ready once this has passed in the guest; \"tcp\": port accepts; \"exec\": command "
    "ends with 0.\n"
    "# [health_check]\n"
    "# type = \"http\"\n"
    "# endpoint = \"/healthz\"  # 2xx; resolved against base_url; or with a port of its own\n"
    "# port = 80\n"
    "# interval_ms = 10000    # and check_timeout_ms, retries, start_period_ms, timeout_ms\n"
    "\n"
    "# The image's own PID 1 instead of kestrel, which then supervises nothing: no [workload], no [health_check].\n"
    "# [init]\n"
    "# path = \"/sbin/init\"    # a program of the image; none = true: its /sbin/init\n"
    "\n"
    "[resources]\n"
    "cpu_cores = 1\n"
    "memory_mb = 256\n";

int command_init(void *ctx, int argc, char *const *argv)
{
    auto_close int fd = -1;
    const char *text;
    char msg[256];
    int code, r;

    if ((code = cli_parse(ctx, argc, argv, NULL)) >= 0) return code;
    text = str_eq(strategy, "initramfs") ? of_files : str_eq(strategy, "oci_rootfs") ? of_image : NULL;
    if (!text) return cli_report("--strategy is neither oci_rootfs nor initramfs", EXIT_MISUSE);
    fd = open("fledge.toml", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno == EEXIST)
        return cli_report("there is a fledge.toml here already: it stays as it is", EXIT_FAILED);
    r = fd < 0 ? -errno : write_all(fd, text, strlen(text), -1);
    if (r < 0) {
        if (fd >= 0) (void)unlink("fledge.toml");
        (void)strf(msg, sizeof(msg), "write fledge.toml: %s", vl_strerror(r));
        return cli_report(msg, EXIT_FAILED);
    }
    if (!cli_quiet) (void)printf("Wrote fledge.toml. Next: edit it, then fledge build\n");
    return EXIT_DONE;
}
