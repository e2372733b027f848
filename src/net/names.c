/* SPDX-License-Identifier: Apache-2.0 */
/* What the original derives from a VM's name, so that its clients find the same here. */
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "net/net.h"

#define NAME_AND_ADDRESS_MAX 512
#define HOSTNAME_MAX         63

int vm_mac(const char *name, const char *ip, char ret[static 18])
{
    unsigned char sum[SHA_DIGEST_LENGTH];
    char text[NAME_AND_ADDRESS_MAX];
    int n = strf(text, sizeof(text), "%s|%s", name, ip);

    if (n < 0) return n;
    if (EVP_Digest(text, (size_t)n, sum, NULL, EVP_sha1(), NULL) != 1) return -ENOMEM;
    n = strf(ret, 18, "02:%02x:%02x:%02x:%02x:%02x", sum[0], sum[1], sum[2], sum[3], sum[4]);
    return n < 0 ? n : 0;
}

void vm_hostname(const char *name, char ret[static 64])
{
    size_t len = 0;

    for (; *name && len < HOSTNAME_MAX; name++) {
        char c = *name;

        if (c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-') ret[len++] = c;
    }
    if (len == 0) {
        ret[len++] = 'v';
        ret[len++] = 'm';
    }
    ret[len] = '\0';
}
