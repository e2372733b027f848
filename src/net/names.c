/* SPDX-License-Identifier: Apache-2.0 */
/* Names derived from a VM's name and address (contract 7.3 and 7.4). */
#include <openssl/evp.h>
#include <string.h>

#include "net/net.h"

int vm_mac(const char *name, const char *ip, char ret[static 18])
{
    auto_free char *text = strf_new("%s|%s", name, ip);
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned len;

    if (!text) return -ENOMEM;
    if (EVP_Digest(text, strlen(text), sum, &len, EVP_sha1(), NULL) != 1) return -EIO;
    (void)strf(ret, 18, "02:%02x:%02x:%02x:%02x:%02x", sum[0], sum[1], sum[2], sum[3], sum[4]);
    return 0;
}

void vm_hostname(const char *name, char ret[static 64])
{
    size_t n = 0;

    for (; *name && n < 63; name++) {
        char c = *name;

        if (c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-') ret[n++] = c;
    }
    ret[n] = '\0';
    if (!n) (void)strf(ret, 64, "vm");
}
