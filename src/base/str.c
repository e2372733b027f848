/* SPDX-License-Identifier: Apache-2.0 */
/* Bounded formatting and strict parsing. No locale: every test on characters is on ASCII ranges. */
#include "base/str.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

int strf(char *buf, size_t size, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(buf, size, fmt, ap);
    va_end(ap);
    return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : n;
}

char *strf_new(const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&text, fmt, ap);
    va_end(ap);
    return n < 0 ? NULL : text;
}

static unsigned digit_value(char c)
{
    if (c >= '0' && c <= '9') return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f') return (unsigned)(c - 'a' + 10);
    if (c >= 'A' && c <= 'F') return (unsigned)(c - 'A' + 10);
    return UINT_MAX;
}

/* -EINVAL wins over -ERANGE: text that is no number at all is never called too large. */
static int parse_base(const char *s, unsigned base, uint64_t *ret)
{
    bool overflow = false;
    uint64_t n = 0;

    if (!s || !*s) return -EINVAL;
    for (; *s; s++) {
        unsigned digit = digit_value(*s);

        if (digit >= base) return -EINVAL;
        if (__builtin_mul_overflow(n, base, &n) || __builtin_add_overflow(n, digit, &n)) overflow = true;
    }
    if (overflow) return -ERANGE;
    *ret = n;
    return 0;
}

int parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
    uint64_t n;
    int r = parse_base(s, 10, &n);

    if (r < 0) return r;
    if (n < min || n > max) return -ERANGE;
    *ret = n;
    return 0;
}

int parse_hex_u64(const char *s, uint64_t *ret)
{
    return parse_base(s, 16, ret);
}

int parse_size(const char *s, uint64_t *ret)
{
    static const char units[] = "kMGT";
    size_t len = strlen(s);
    char digits[24];
    int unit = len > 0 ? s[len - 1] : 0;
    const char *at = strchr(units, unit == 'K' ? 'k' : unit);
    unsigned shift = at && *at ? 10 * (unsigned)(at - units + 1) : 0;
    uint64_t n;
    int r;

    if (len > sizeof(digits)) return -EINVAL;
    if (strf(digits, sizeof(digits), "%.*s", (int)(len - (shift > 0)), s) < 0) return -EINVAL;
    if ((r = parse_u64(digits, 1, UINT64_MAX >> shift, &n)) < 0) return r;
    *ret = n << shift;
    return 0;
}

/* A leading zero is refused, as some parsers take it for octal. */
int parse_ipv4(const char *s, uint32_t *ret)
{
    uint32_t addr = 0;

    for (int part = 0; part < 4; part++) {
        const char *start = s;
        uint32_t n = 0;

        while (*s >= '0' && *s <= '9' && s - start < 3)
            n = n * 10 + (uint32_t)(*s++ - '0');
        if (s == start || n > 255 || (*start == '0' && s - start > 1)) return -EINVAL;
        if (*s != (part < 3 ? '.' : '\0')) return -EINVAL;
        if (part < 3) s++;
        addr = addr << 8 | n;
    }
    *ret = addr;
    return 0;
}

void format_ipv4(uint32_t addr, char buf[static 16])
{
    (void)snprintf(buf, 16, "%u.%u.%u.%u", addr >> 24, addr >> 16 & 255, addr >> 8 & 255, addr & 255);
}

int parse_cidr(const char *s, uint32_t *ret_net, unsigned *ret_prefix)
{
    const char *slash = strchr(s, '/');
    char addr_text[16];
    uint64_t prefix;
    uint32_t net;

    if (!slash || (size_t)(slash - s) >= sizeof(addr_text)) return -EINVAL;
    memcpy(addr_text, s, (size_t)(slash - s));
    addr_text[slash - s] = '\0';
    if (parse_ipv4(addr_text, &net) < 0 || parse_u64(slash + 1, 0, 32, &prefix) < 0) return -EINVAL;
    if (slash[1] == '0' && slash[2]) return -EINVAL;
    if (prefix < 32 && (net & (UINT32_MAX >> prefix))) return -EINVAL;
    *ret_net = net;
    *ret_prefix = (unsigned)prefix;
    return 0;
}

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

const char *name_problem(const char *s)
{
    size_t len = s ? strlen(s) : 0;

    if (len == 0) return "must not be empty";
    if (len > NAME_LENGTH) return "must not be longer than 63 characters";
    for (size_t i = 0; i < len; i++)
        if (!is_alnum(s[i]) && s[i] != '.' && s[i] != '-' && s[i] != '_')
            return "may hold letters, digits, '.', '-' and '_' only";
    if (!is_alnum(s[0])) return "must begin with a letter or digit";
    if (strstr(s, "..")) return "must not hold '..'";
    return NULL;
}

bool str_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
    size_t len = strlen(s), suffix_len = strlen(suffix);

    return len >= suffix_len && memcmp(s + len - suffix_len, suffix, suffix_len) == 0;
}

bool str_eq(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

void hex_encode(const void *bytes, size_t n, char *buf)
{
    const unsigned char *p = bytes;

    for (size_t i = 0; i < n; i++) {
        *buf++ = "0123456789abcdef"[p[i] >> 4];
        *buf++ = "0123456789abcdef"[p[i] & 15];
    }
    *buf = '\0';
}

int hex_decode(const char *s, void *bytes, size_t n)
{
    unsigned char *p = bytes;

    if (strnlen(s, 2 * n + 1) != 2 * n) return -EINVAL;
    for (size_t i = 0; i < 2 * n; i++)
        if (digit_value(s[i]) > 15) return -EINVAL;
    for (size_t i = 0; i < n; i++)
        p[i] = (unsigned char)(digit_value(s[2 * i]) << 4 | digit_value(s[2 * i + 1]));
    return 0;
}

int random_hex(char *buf, size_t n_bytes)
{
    unsigned char raw[32];

    *buf = '\0';
    while (n_bytes > 0) {
        size_t chunk = n_bytes < sizeof(raw) ? n_bytes : sizeof(raw);

        /* Up to 256 bytes come whole or not at all. */
        if (getrandom(raw, chunk, 0) != (ssize_t)chunk) {
            if (errno == EINTR) continue;
            return -errno;
        }
        hex_encode(raw, chunk, buf);
        buf += 2 * chunk;
        n_bytes -= chunk;
    }
    return 0;
}

/* Length of the valid character at s, 0 if there is none: no overlong forms, no surrogates, nothing past U+10FFFF. */
static size_t utf8_char(const unsigned char *s, size_t n)
{
    unsigned char low = 0x80, high = 0xbf;
    size_t len;

    if (s[0] < 0x80) return 1;
    if (s[0] < 0xc2 || s[0] > 0xf4) return 0;
    len = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (len > n) return 0;
    if (s[0] == 0xe0) low = 0xa0;
    if (s[0] == 0xed) high = 0x9f;
    if (s[0] == 0xf0) low = 0x90;
    if (s[0] == 0xf4) high = 0x8f;
    if (s[1] < low || s[1] > high) return 0;
    for (size_t i = 2; i < len; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    return len;
}

size_t utf8_prefix(const char *s, size_t n)
{
    size_t at = 0, len;

    while (at < n && (len = utf8_char((const unsigned char *)s + at, n - at)) > 0)
        at += len;
    return at;
}

int utf8_cut(const char *s, size_t max)
{
    return (int)utf8_prefix(s, strnlen(s, max));
}

/* C1 controls (U+0080 to U+009F, in UTF-8 0xc2 and a byte below 0xa0) move a terminal's cursor as the C0 ones do. */
static size_t printable_char(const unsigned char *s, size_t n)
{
    size_t len = utf8_char(s, n);

    if (s[0] < 0x20 || s[0] == 0x7f || (s[0] == 0xc2 && len == 2 && s[1] < 0xa0)) return 0;
    return len;
}

size_t escape_printable(char *buf, size_t size, const char *s, size_t n)
{
    size_t in = 0, out = 0;

    while (in < n) {
        size_t len = printable_char((const unsigned char *)s + in, n - in);

        if (out + (len ? len : 4) >= size) break;
        if (len) {
            memcpy(buf + out, s + in, len);
            out += len;
            in += len;
        } else {
            buf[out++] = '\\';
            buf[out++] = 'x';
            hex_encode(s + in++, 1, buf + out);
            out += 2;
        }
    }
    buf[out] = '\0';
    return in;
}
