/* SPDX-License-Identifier: Apache-2.0 */
/* Disconnects and reconnects under traffic, with stale bytes, torn lines, garbage and other hosts in between. */
#include <signal.h>

#include "channel/traffic.h"

#define CYCLES 320

/* Another host that writes at random, or half a SYNC, or a whole one and goes. */
static void intrude(struct world *w)
{
    static const char *const rings[] = {"SYNC 00112233445566778899aabbccddeeff\n", "SYNC 0011", "\n\n\nSYNC \n"};
    int ctl = unix_connect(w->relay.ctl.path), sync = unix_connect(w->relay.sync.path);
    unsigned kind = relay_random(&w->relay, 4);
    char noise[5000];

    if (ctl < 0 || sync < 0) abort();
    fill(noise, w->relay.seed, 0, sizeof(noise));
    if (kind == 3) {
        (void)!write(ctl, noise, 1 + relay_random(&w->relay, sizeof(noise)));
        (void)!write(sync, noise, 1 + relay_random(&w->relay, sizeof(noise)));
    } else {
        (void)!write(sync, rings[kind], strlen(rings[kind]));
    }
    step(w, relay_random(&w->relay, 30));
    (void)close(ctl);
    (void)close(sync);
}

static void cycle(struct world *w)
{
    step(w, relay_random(&w->relay, 60));
    disconnect_host(w);
    if (relay_random(&w->relay, 100) < 30) step(w, relay_random(&w->relay, 40));
    if (relay_random(&w->relay, 100) < 25) intrude(w);
    connect_host(w);
}

static void test_cycles(void **state)
{
    static const struct {
        unsigned seed, lazy, cycles;
        size_t piece;
    } runs[] = {{1, 0, CYCLES / 2, RELAY_QUEUE}, {2, 30, CYCLES / 4, RELAY_QUEUE}, {3, 60, CYCLES / 4, 3000}};

    int sessions = 0;

    (void)state;
    for (size_t r = 0; r < ARRAY_LEN(runs); r++) {
        static struct world w;

        world_open(&w, runs[r].seed, runs[r].lazy, runs[r].piece);
        connect_host(&w);
        for (unsigned i = 0; i < runs[r].cycles; i++) {
            await_jobs(&w, relay_random(&w.relay, 4)); /* some are over before they began */
            cycle(&w);
        }
        await_jobs(&w, JOBS);
        print_message("%u cycles: %d sessions, %lld jobs done, %lld broken off, %llu stale bytes\n", runs[r].cycles,
                      w.ups, (long long)w.done, (long long)w.failed, (unsigned long long)w.relay.stale);
        assert_int_equal(w.wrong, 0);
        assert_int_equal(w.downs, 0);
        assert_true(w.failed > 0);
        sessions += w.ups;
        world_close(&w);
    }
    assert_true(sessions >= 200);
}

/* The guest comes long after the host has begun to ring: the first session is there at once. */
static void test_late_guest(void **state)
{
    static struct world w;
    int64_t opened;

    (void)state;
    world_open(&w, 4, 0, RELAY_QUEUE);
    w.relay.guest_away = true;
    connect_host(&w);
    for (opened = mono_ms() + 800; mono_ms() < opened;)
        step(&w, 1);
    assert_int_equal(w.ups, 0);
    w.relay.guest_away = false;
    relay_update(&w.relay.ctl);
    relay_update(&w.relay.sync);
    opened = mono_ms();
    while (w.ups == 0 && mono_ms() < opened + UP_MS)
        step(&w, 1);
    print_message("up %lld ms after the guest\n", (long long)(mono_ms() - opened));
    assert_int_equal(w.ups, 1);
    await_jobs(&w, JOBS);
    assert_int_equal(w.ups, 1);
    assert_int_equal(w.wrong, 0);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cycles),
        cmocka_unit_test(test_late_guest),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
