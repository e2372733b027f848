/* SPDX-License-Identifier: Apache-2.0 */
/* URLs of manifests: what is shown of them has no user, password or query; paths below folders are parts of paths. */
#include "fuzz.h"

#include <string.h>

#include "artifact/artifact.h"
#include "base/path.h"

static void check_shown(const char *url, const char *shown)
{
    const char *rest = strstr(shown, "://");

    for (const char *s = shown; *s; s++)
        must((unsigned char)*s >= 0x20 && *s != 0x7f);
    must(!strchr(shown, '?') && !strchr(shown, '#'));
    rest = rest ? rest + 3 : shown;
    must(!memchr(rest, '@', strcspn(rest, "/")));
    if (str_starts(url, "http://")) must(str_starts(shown, "http://"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *url = size ? strndup((const char *)data, size) : strdup(""), shown[4096], cut[20];
    const char *rest;

    must(url);
    if (size < 900) { /* each byte may become four */
        url_public(url, shown, sizeof(shown));
        check_shown(url, shown);
        url_public(url, cut, sizeof(cut));
        must(strlen(cut) < sizeof(cut) && strncmp(cut, shown, strlen(cut)) == 0);
    }
    rest = path_below("/srv/media/", url);
    must(!rest || (str_starts(url, "/srv/media/") && str_ends(url, rest) && *rest != '/'));
    free(url);
    return 0;
}
