/* SPDX-License-Identifier: Apache-2.0 */
/* See network.h. The old ioctls (netdevice(7), rtnetlink does the same in more code) are all that one interface takes.
 */
#include "kestrel/network.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/str.h"

#define DEVICE_WAIT_MS    1000
#define INTERFACE_STEP_MS 5

int address_parse(const char *s, struct address *ret)
{
    const char *slash = strchr(s, '/');
    char text[16];
    uint64_t prefix;
    uint32_t addr;

    if (!slash || strf(text, sizeof(text), "%.*s", (int)(slash - s), s) < 0) return -EINVAL;
    if (parse_ipv4(text, &addr) < 0 || parse_u64(slash + 1, 1, 32, &prefix) < 0) return -EINVAL;
    *ret = (struct address){.addr = addr, .mask = UINT32_MAX << (32 - prefix)};
    return 0;
}

int mac_parse(const char *s, uint8_t ret[static 6])
{
    char digits[13] = "";

    if (strlen(s) != 17) return -EINVAL;
    for (size_t i = 0; i < 6; i++) {
        if (i < 5 && s[3 * i + 2] != ':') return -EINVAL;
        memcpy(digits + 2 * i, s + 3 * i, 2);
    }
    return hex_decode(digits, ret, 6);
}

static void set_address(struct sockaddr *sa, uint32_t addr)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(addr)};

    memcpy(sa, &in, sizeof(in));
}

static int bring_up(int sock, const char *name)
{
    struct ifreq req = {0};

    (void)strf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
    if (ioctl(sock, SIOCGIFFLAGS, &req) < 0) return -errno;
    req.ifr_flags |= IFF_UP;
    return ioctl(sock, SIOCSIFFLAGS, &req) < 0 ? -errno : 0;
}

static bool has_mac(int sock, const char *name, const uint8_t mac[static 6])
{
    struct ifreq req = {0};

    if (strf(req.ifr_name, sizeof(req.ifr_name), "%s", name) < 0 || ioctl(sock, SIOCGIFHWADDR, &req) < 0) return false;
    return req.ifr_hwaddr.sa_family == ARPHRD_ETHER && memcmp(req.ifr_hwaddr.sa_data, mac, 6) == 0;
}

static bool search_interface(int sock, const uint8_t mac[static 6], char name[static IFNAMSIZ])
{
    bool found = false;
    DIR *d;

    if (has_mac(sock, "eth0", mac)) return strf(name, IFNAMSIZ, "eth0") > 0; /* nearly always */
    if (!(d = opendir("/sys/class/net"))) return false;
    for (const struct dirent *e; !found && (e = readdir(d));) /* NOLINT(concurrency-mt-unsafe): one thread */
        found = has_mac(sock, e->d_name, mac) && strf(name, IFNAMSIZ, "%s", e->d_name) > 0;
    (void)closedir(d);
    return found;
}

/* Drivers are built in and nearly always done before PID 1 starts: this waits only where one is late. */
static int find_interface(int sock, const char *mac_text, char name[static IFNAMSIZ], struct vl_error *err)
{
    int64_t deadline = mono_ms() + DEVICE_WAIT_MS;
    uint8_t mac[6];

    if (mac_parse(mac_text, mac) < 0)
        return vl_fail(err, VL_INVALID, "network.mac '%s' is no MAC address like 52:54:00:12:34:56", mac_text);
    while (!search_interface(sock, mac, name)) {
        if (mono_ms() >= deadline)
            return vl_fail(err, VL_UNAVAILABLE,
                           "no network interface has the MAC %s: give the VM's network device this one", mac_text);
        pause_ms(INTERFACE_STEP_MS);
    }
    return 0;
}

static int configure(int sock, const char *name, const struct address *a)
{
    struct ifreq req = {0};

    (void)strf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
    set_address(&req.ifr_addr, a->addr);
    if (ioctl(sock, SIOCSIFADDR, &req) < 0) return -errno;
    set_address(&req.ifr_netmask, a->mask);
    if (ioctl(sock, SIOCSIFNETMASK, &req) < 0) return -errno;
    return bring_up(sock, name);
}

static int add_default_route(int sock, uint32_t gateway)
{
    struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};

    set_address(&route.rt_dst, INADDR_ANY);
    set_address(&route.rt_genmask, INADDR_ANY);
    set_address(&route.rt_gateway, gateway);
    return ioctl(sock, SIOCADDRT, &route) < 0 && errno != EEXIST ? -errno : 0;
}

static int setup_interface(int sock, const struct guest_network *net, struct vl_error *err)
{
    char name[IFNAMSIZ];
    struct address a;
    uint32_t gateway;
    int r;

    if (address_parse(net->address, &a) < 0)
        return vl_fail(err, VL_INVALID, "network.address '%s' is no address with a prefix like 192.168.127.10/24",
                       net->address);
    if (net->gateway && parse_ipv4(net->gateway, &gateway) < 0)
        return vl_fail(err, VL_INVALID, "network.gateway '%s' is no IPv4 address", net->gateway);
    if (!net->mac) return vl_fail(err, VL_INVALID, "network.mac is missing: it says which interface gets the address");
    if ((r = find_interface(sock, net->mac, name, err)) < 0) return r;
    if ((r = configure(sock, name, &a)) < 0) return vl_fail_errno(err, r, "give %s the address %s", name, net->address);
    if (net->gateway && (r = add_default_route(sock, gateway)) < 0)
        return vl_fail_errno(err, r, "set the default route to network.gateway %s", net->gateway);
    return 0;
}

int network_setup(const struct guest_config *config, struct vl_error *err)
{
    auto_close int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int r;

    if (config->hostname && sethostname(config->hostname, strlen(config->hostname)) < 0)
        return vl_fail_errno(err, errno, "set the host name '%s'", config->hostname);
    if (sock < 0) return vl_fail_errno(err, errno, "open a socket to configure the network");
    if ((r = bring_up(sock, "lo")) < 0) return vl_fail_errno(err, r, "bring up the loopback interface");
    return config->network.address ? setup_interface(sock, &config->network, err) : 0;
}
