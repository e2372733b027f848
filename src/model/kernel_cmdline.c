/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments for a VM's kernel from outside: they stand behind ours, and the kernel believes what comes last. */
#include <string.h>

#include "model/manifest_rules.h"

/* What the VM boots from, and what volantd tells the guest. */
static const char *const refused[] = {"init", "rdinit", "root", "rootfstype", "rootflags", "initrd", "--"};

static bool is_refused(const char *word, size_t n)
{
    size_t key = strcspn(word, "= ");

    if (str_starts(word, "volant.")) return true;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        if (key <= n && key == strlen(refused[i]) && strncmp(word, refused[i], key) == 0) return true;
    return false;
}

int kernel_cmdline_settle(char **slot, const char *field, struct vl_error *err)
{
    char shown[QUOTED_SIZE];

    trim_field(slot);
    if (!*slot) return 0;
    for (const char *c = *slot; *c; c++)
        if (*c < ' ' || *c > '~' || *c == '"')
            return vl_fail(err, VL_INVALID, "%s is %s, allowed: words of printable ASCII without quotes", field,
                           quoted(*slot, shown));
    for (const char *word = *slot; *word; word += strspn(word, " ")) {
        size_t n = strcspn(word, " ");

        if (is_refused(word, n))
            return vl_fail(err, VL_INVALID, "%s has '%.*s': what a VM boots from is its plugin's to say, leave it out",
                           field, (int)(n < 60 ? n : 60), word);
        word += n;
    }
    return 0;
}
