/* SPDX-License-Identifier: Apache-2.0 */
/* `fledge build`. */
#include <stdio.h>

#include "base/clock.h"
#include "base/str.h"
#include "fledge/build.h"
#include "fledge/command.h"

static const char *config_file, *manifest_file, *output_folder, *kestrel_file, *fs_type, *packing, *max_size;
static uint64_t level, size_mb, free_mb, timeout_s;

const struct opt build_command_opts[] = {
    {"config", 'c', OPT_STRING, "FILE", "What to build (default: fledge.toml)", 0, 0, &config_file},
    {"manifest", 'm', OPT_STRING, "FILE", "Of version = \"1\" alone (default: manifest.toml beside it)", 0, 0,
     &manifest_file},
    {"output", 'o', OPT_STRING, "DIR", "Folder to write to (default: that of FILE, of an IMAGE the current one)", 0, 0,
     &output_folder},
    {"kestrel", 0, OPT_STRING, "FILE", "The guest's agent (default: VOLANT_KESTREL, or the one installed with fledge)",
     0, 0, &kestrel_file},
    {"filesystem", 0, OPT_STRING, "TYPE", "Of an image: squashfs (default; read-only) or ext4", 0, 0, &fs_type},
    {"compression", 0, OPT_STRING, "NAME", "zstd (default), lz4, gzip; of squashfs xz too, of an initramfs none", 0, 0,
     &packing},
    {"compression-level", 0, OPT_U64, "N", "Of zstd 1 to 22, of gzip 1 to 9 (default of squashfs with zstd: 6)", 1, 22,
     &level},
    {"size", 0, OPT_U64, "MB", "Of ext4: the whole disk (default: what is needed)", 16, 1 << 24, &size_mb},
    {"free", 0, OPT_U64, "MB", "Of ext4: room beside the content (default: a quarter of it, 64 to 1024)", 1, 1 << 24,
     &free_mb},
    {"max-size", 0, OPT_STRING, "SIZE", "Refuse images that unpack to more (default: 32G)", 0, 0, &max_size},
    {"timeout", 0, OPT_U64, "SECONDS", "Give up on a registry after (default: 1800)", 1, 86400, &timeout_s},
    GLOBAL,
    {0},
};

static int find_mtime(int64_t *ret, struct vl_error *err)
{
    const char *text = getenv("SOURCE_DATE_EPOCH"); /* NOLINT(concurrency-mt-unsafe): one thread */
    uint64_t value;

    if (!text || !*text) return 0;
    if (parse_u64(text, 0, UINT32_MAX, &value) < 0)
        return vl_fail(err, VL_INVALID, "SOURCE_DATE_EPOCH is '%s': write seconds since 1970, at most %u", text,
                       UINT32_MAX);
    *ret = (int64_t)value;
    return 0;
}

static void print_result(const struct build_result *r, int64_t ms)
{
    char unpacked[24], packed[24];

    cli_size(r->unpacked, unpacked);
    cli_size(r->packed, packed);
    (void)printf("Built %s %s in %.1f s%s\n", r->name, r->version, (double)ms / 1e3,
                 r->cached ? " (from the cache)" : "");
    if (r->digest) (void)printf("  image      %s, %zu layers\n", r->digest, r->n_layers);
    if (r->digest)
        (void)printf("  files      %zu\n", r->n_files);
    else
        (void)printf("  files      %zu, of which libraries that came along: %zu\n", r->n_files, r->libraries.len);
    for (size_t i = 0; cli_verbose && i < r->libraries.len; i++)
        (void)printf("             %s\n", r->libraries.items[i]);
    (void)printf("  size       %s, unpacked %s\n", packed, unpacked);
    (void)printf("  archive    %s\n", r->archive);
    (void)printf("  manifest   %s\n", r->manifest);
    (void)printf("Next: volar plugins install --manifest %s\n", r->manifest);
}

static int take_options(struct build_opts *o, struct vl_error *err)
{
    int r;

    if (o->reference && config_file)
        return vl_fail(err, VL_INVALID, "there is an image and --config %s: name one of them", config_file);
    if (o->reference && manifest_file)
        return vl_fail(err, VL_INVALID, "there is an image and --manifest %s: name one of them", manifest_file);
    if (max_size && parse_size(max_size, &o->max_bytes) < 0)
        return vl_fail(err, VL_INVALID, "--max-size is '%.60s': write bytes, or such as 500M or 2G", max_size);
    if ((r = find_mtime(&o->mtime, err)) < 0) return r;
    o->config = config_file ? config_file : "fledge.toml";
    o->manifest = manifest_file;
    o->output = output_folder;
    o->kestrel = kestrel_file ? kestrel_file : getenv("VOLANT_KESTREL"); /* NOLINT(concurrency-mt-unsafe): one thread */
    o->fs_type = fs_type;
    o->packing = packing;
    o->level = level;
    o->size_mb = size_mb;
    o->free_mb = free_mb;
    o->timeout_s = (int)timeout_s;
    o->stop = &cli_stop;
    if (cli_progress_wanted()) o->progress = cli_progress;
    return 0;
}

int command_build(void *ctx, int argc, char *const *argv)
{
    struct build_opts opts = {0};
    auto_build_result result = {0};
    struct vl_error err = {0};
    int64_t begun = mono_ms();
    int code;

    if ((code = cli_parse(ctx, argc, argv, &opts.reference)) >= 0) return code;
    if (take_options(&opts, &err) < 0) return cli_report(err.msg, EXIT_FAILED);
    if (build_run(&opts, &result, &err) < 0) return cli_report(err.msg, EXIT_FAILED);
    cli_progress_end();
    if (!cli_quiet) print_result(&result, mono_ms() - begun);
    return EXIT_DONE;
}
