/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: a guest whose agent is played here, behind the QEMU of channel/relay.h, and an owner that notes what it
 * sees. */
#pragma once
#include <string.h>

#include "base/clock.h"
#include "base/unit.h"
#include "channel/agent.h"
#include "channel/relay.h"
#include "guest/guest.h"

#define WAIT_MS 20000
#define HEALTH  "{\"api\":1,\"version\":\"0.1\",\"state\":\"running\",\"ready\":false,\"uptime_ms\":12}"
#define STATS                                                                                                          \
    "{\"uptime_ms\":5,\"memory_total\":1000,\"memory_available\":10,\"cpu_user_ms\":1,\"cpu_system_ms\":2,"            \
    "\"cpu_idle_ms\":3,\"processes\":4,\"workload_pid\":77,\"workload_rss\":6}"
#define STATE "{\"type\":\"state\",\"state\":\"running\",\"ready\":false}\n"

/* A body that the agent sends: text first, then `again` of it, then its end, if it has one. */
struct body {
    const char *text;
    size_t at, len;
    bool held_open;
    struct h2_stream *stream;
};

/* What the agent is like. 0 and NULL are honest answers. */
struct agent_plan {
    const char *health, *stats;
    int health_status, clock_status, events_status, poweroff_status, logs_status;
    bool events_end, late_health, silent_stats, reset_stats;
};

struct world {
    struct loop *loop;
    struct relay relay;
    struct channel_agent *agent;
    struct guest *guest;
    char dir[40], seen[400], last_path[100];
    struct agent_plan plan;
    struct body events, logs;
    struct h2_stream *health_stream;
    int64_t clock_us;
    struct strbuf body; /* of the last PUT or POST */
    /* What the guest's owner saw */
    int ups, downs, finals, n_events, dones;
    const char *why;
    char trace[100]; /* u, d, D (final), and the first letter of each event's type */
    struct {
        char health[16], reason[HEALTH_REASON_MAX + 1];
        bool ready;
    } health; /* of the last event */
    struct guest_stats stats;
    int result;
    char free_at; /* the letter of the callback that frees the guest */
};

/* The agent */

static inline void nothing_closed(struct h2_stream *s, void *arg, int err)
{
    struct world *w = arg;

    (void)err;
    if (w->events.stream == s) w->events.stream = NULL;
    if (w->logs.stream == s) w->logs.stream = NULL;
    if (w->health_stream == s) w->health_stream = NULL;
}

static inline void keep_body(struct h2_stream *s, void *arg, const void *data, size_t n)
{
    struct world *w = arg;

    strbuf_add(&w->body, data, n);
    h2_stream_consume(s, n);
}

static inline ssize_t body_read(void *arg, void *buf, size_t n)
{
    struct body *b = arg;
    size_t left = b->len - b->at;

    if (left == 0) return b->held_open ? -EAGAIN : 0;
    if (n > left) n = left;
    memcpy(buf, b->text + b->at, n);
    b->at += n;
    return (ssize_t)n;
}

static inline void answer(struct h2_stream *s, int status, const char *text)
{
    assert_int_equal(h2_respond_text(s, status ? status : 200, "application/json", text, strlen(text)), 0);
}

static inline void put_ended(struct h2_stream *s, void *arg)
{
    const struct world *w = arg;
    bool clock = str_starts(w->body.data, "{\"unix_us\"");

    answer(s, clock ? w->plan.clock_status : w->plan.poweroff_status, "{}");
}

static const struct h2_stream_ops stream_ops = {.closed = nothing_closed};
static const struct h2_stream_ops put_ops = {.data = keep_body, .end = put_ended, .closed = nothing_closed};

static inline void start_body(struct world *w, struct body *b, struct h2_stream *s)
{
    const struct h2_source source = {.read = body_read, .arg = b};

    h2_stream_own(s, &stream_ops, w);
    b->stream = s;
    b->at = 0;
    assert_int_equal(h2_respond(s, 200, "application/x-ndjson", &source), 0);
}

static inline void on_request(struct h2 *h, void *arg, struct h2_stream *s, const struct h2_head *head)
{
    struct world *w = arg;
    const struct agent_plan *p = &w->plan;

    (void)h;
    (void)strf(w->last_path, sizeof(w->last_path), "%s", head->path);
    if (strcmp(head->path, "/v1/health") == 0) {
        if (p->late_health) {
            h2_stream_own(s, &stream_ops, w);
            w->health_stream = s;
        } else {
            answer(s, p->health_status, p->health ? p->health : HEALTH);
        }
    } else if (strcmp(head->path, "/v1/events") == 0) {
        if (p->events_status)
            answer(s, p->events_status, "{}");
        else
            start_body(w, &w->events, s);
    } else if (strcmp(head->path, "/v1/stats") == 0) {
        if (p->silent_stats)
            h2_stream_own(s, &stream_ops, w);
        else if (!p->reset_stats)
            answer(s, 200, p->stats ? p->stats : STATS); /* else nobody owns it */
    } else if (str_starts(head->path, "/v1/logs")) {
        if (p->logs_status)
            answer(s, p->logs_status, "{}");
        else
            start_body(w, &w->logs, s);
    } else {
        strbuf_consume(&w->body, w->body.len);
        h2_stream_own(s, &put_ops, w);
    }
}

static const struct h2_ops agent_ops = {.request = on_request};

/* The owner */

static inline void saw(struct world *w, char letter)
{
    size_t n = strlen(w->trace);

    if (n + 1 < sizeof(w->trace)) w->trace[n] = letter;
    if (w->free_at == letter) guest_free(take_ptr(w->guest));
}

static inline void on_up(void *arg, const struct guest_health *health)
{
    struct world *w = arg;

    w->ups++;
    assert_int_equal(health->api, 1);
    assert_string_equal(health->version, "0.1");
    assert_true(guest_is_up(w->guest));
    saw(w, 'u');
}

static inline void on_event(void *arg, const struct guest_event *ev)
{
    struct world *w = arg;

    w->n_events++;
    w->result = (int)ev->code;
    (void)strf(w->health.health, sizeof(w->health.health), "%s", ev->health ? ev->health : "");
    (void)strf(w->health.reason, sizeof(w->health.reason), "%s", ev->reason ? ev->reason : "");
    w->health.ready = ev->ready;
    saw(w, ev->type[0]);
}

static inline void on_down(void *arg, const char *why, bool final)
{
    struct world *w = arg;

    w->downs++;
    w->why = why;
    w->finals += final;
    saw(w, final ? 'D' : 'd');
}

static const struct guest_ops guest_ops = {.up = on_up, .event = on_event, .down = on_down};

static inline void events_are(struct body *b, const char *text)
{
    *b = (struct body){.text = text, .len = strlen(text), .held_open = true};
}

static inline void world_open(struct world *w, const struct agent_plan *plan)
{
    int ctl, sync;

    memset(w, 0, sizeof(*w));
    w->plan = *plan;
    events_are(&w->events, STATE);
    w->events.held_open = !plan->events_end;
    (void)strf(w->dir, sizeof(w->dir), "/tmp/volant-guest-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    assert_int_equal(loop_new(&w->loop), 0);
    w->relay = (struct relay){.loop = w->loop, .seed = 1, .piece = RELAY_QUEUE};
    ctl = relay_port_open(&w->relay, &w->relay.ctl, w->dir, "ctl");
    sync = relay_port_open(&w->relay, &w->relay.sync, w->dir, "sync");
    assert_int_equal(channel_agent_new(w->loop, ctl, sync, &agent_ops, w, &w->agent), 0);
    assert_int_equal(guest_new(w->loop, w->dir, &guest_ops, w, &w->guest), 0);
    assert_false(guest_is_up(w->guest));
    assert_int_equal(guest_connect(w->guest, mono_ms() + WAIT_MS), 0);
}

static inline void world_close(struct world *w)
{
    guest_free(w->guest);
    channel_agent_free(w->agent);
    relay_port_close(&w->relay.ctl);
    relay_port_close(&w->relay.sync);
    loop_free(w->loop);
    assert_int_equal(rmdir(w->dir), 0);
    strbuf_done(&w->body);
}

#define AWAIT(w, condition)                                                                                            \
    do {                                                                                                               \
        int64_t until_ = mono_ms() + WAIT_MS;                                                                          \
        while (!(condition)) {                                                                                         \
            if (mono_ms() > until_)                                                                                    \
                fail_msg("waited for " #condition "; %s, %s", (w)->trace, (w)->why ? (w)->why : "");                   \
            assert_int_equal(loop_step((w)->loop, 50), 0);                                                             \
        }                                                                                                              \
    } while (0)

static inline void settle(struct world *w)
{
    for (int i = 0; i < 30; i++)
        assert_int_equal(loop_step(w->loop, 1), 0);
}
