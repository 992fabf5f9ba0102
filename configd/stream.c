#include "configd/stream.h"

#include "proto/path.h"
#include "proto/sse.h"

#include <string.h>

const char cfg_stream_heartbeat[] = ": hb\n\n";
const char cfg_stream_retry[] = "retry: 1000\n\n";

static int bad(struct cfg_error *err, const char *name, const char *must)
{
    (void)cfg_fail(err, CFG_E_INVALID, "%s must be %s", name, must);
    cfg_error_set_path(err, "%s", name);
    return CFG_E_INVALID;
}

static bool is_digest(const char *s)
{
    return strlen(s) == CFG_DIGEST_TEXT - 1 && strncmp(s, "sha256:", 7) == 0;
}

int cfg_stream_request_read(struct cfg_stream_request *out, const struct cfg_stream_query *q, struct cfg_error *err)
{
    struct cfg_stream_request r = {.q = *q};
    if (r.q.arm == NULL || r.q.arm[0] == '\0')
        r.q.arm = "base";
    int rc = cfg_check_name("arm", cfg_slice_str(r.q.arm), err);
    if (rc != 0)
        return rc;
    if ((q->worker == NULL) != (q->incarnation == NULL))
        return bad(err, q->worker ? "incarnation" : "worker", "given: a worker's stream names both");
    if (q->worker && (rc = cfg_check_id("worker", cfg_slice_str(q->worker), err)) != 0)
        return rc;
    if (q->digest && !is_digest(q->digest))
        return bad(err, "digest", "sha256: and 64 hexadecimal digits");
    if (q->last_event_id && q->last_event_id[0] != '\0' &&
        cfg_rev_parse(&r.have, cfg_slice_str(q->last_event_id), NULL) != 0)
        return bad(err, "Last-Event-ID", "an epoch and a revision, like 1-42");
    *out = r;
    return 0;
}

bool cfg_stream_may_start(const struct cfg_stream_gate *g, struct cfg_rev seen, bool stale)
{
    if (g->has_token)
        return cfg_rev_cmp(g->token, seen) <= 0;
    return stale || (!cfg_rev_is_none(g->asked) && cfg_rev_cmp(g->asked, seen) <= 0);
}

uint64_t cfg_stream_life_ms(uint64_t age_ms, uint32_t random)
{
    return age_ms - age_ms / 5 + (uint64_t)((double)(age_ms / 5 * 2) * ((double)random / 4294967296.0));
}

enum cfg_stream_care cfg_stream_care(const struct cfg_stream_times *t)
{
    uint64_t silent = t->now - t->last_sent;
    if (t->queued)
        return silent >= (uint64_t)CFG_STREAM_STUCK_HEARTBEATS * t->heartbeat_ms ? CFG_CARE_STUCK : CFG_CARE_NOTHING;
    if (t->now >= t->dies)
        return CFG_CARE_OLD;
    /* Due now rather than a whole look late. */
    return silent + t->look_ms / 2 >= t->heartbeat_ms ? CFG_CARE_HEARTBEAT : CFG_CARE_NOTHING;
}

static struct cfg_bytes *event(const char *name, const char *data)
{
    struct cfg_buf out;
    cfg_buf_init(&out, 1024);
    cfg_sse_put(&out, name, NULL, cfg_slice_str(data));
    struct cfg_bytes *b = cfg_buf_status(&out) == 0 ? cfg_bytes_new(cfg_buf_slice(&out)) : NULL;
    cfg_buf_finish(&out);
    return b;
}

struct cfg_bytes *cfg_stream_bye(const char *reason)
{
    struct cfg_buf data;
    cfg_buf_init(&data, 512);
    cfg_buf_printf(&data, "{\"reason\":\"%s\"}", reason);
    struct cfg_bytes *b = cfg_buf_status(&data) == 0 ? event("bye", data.data) : NULL;
    cfg_buf_finish(&data);
    return b;
}

struct cfg_bytes *cfg_stream_superseded(void)
{
    return event("superseded", "{}");
}
