#include "tests/unit/client/memory.h"
#include "proto/sse.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static void copy(char *to, size_t room, const char *from, size_t len)
{
    cr_assert_lt(len, room);
    memcpy(to, from, len);
    to[len] = '\0';
}

static void do_send(void *arg, const struct cfg_send *r)
{
    struct memory *t = arg;
    struct memory_request *slot = &t->slots[r->slot];
    cr_assert_not(slot->active, "slot %d is busy", r->slot);
    slot->active = true;
    slot->count++;
    slot->server = r->server;
    copy(slot->method, sizeof slot->method, r->method, strlen(r->method));
    copy(slot->path, sizeof slot->path, r->path, strlen(r->path));
    copy(slot->body, sizeof slot->body, r->body.len ? r->body.ptr : "", r->body.len);
    const char *last = r->last_event_id ? r->last_event_id : "";
    copy(slot->last_event_id, sizeof slot->last_event_id, last, strlen(last));
}

static void do_cancel(void *arg, enum cfg_slot which)
{
    struct memory *t = arg;
    t->slots[which].active = false;
}

static uint64_t do_random(void *arg)
{
    const struct memory *t = arg;
    return t->random;
}

static void on_view(void *arg, const struct cfg_view_event *ev)
{
    struct memory *t = arg;
    t->views++;
    copy(t->revision, sizeof t->revision, ev->revision, strlen(ev->revision));
    copy(t->arm, sizeof t->arm, ev->arm, strlen(ev->arm));
    copy(t->digest, sizeof t->digest, ev->digest, strlen(ev->digest));
    copy(t->store, sizeof t->store, ev->store, strlen(ev->store));
    copy(t->view, sizeof t->view, ev->view, ev->view_len);
    copy(t->meta, sizeof t->meta, ev->meta, strlen(ev->meta));
}

static void on_mark(void *arg, const char *revision)
{
    struct memory *t = arg;
    t->marks++;
    copy(t->mark, sizeof t->mark, revision, strlen(revision));
}

static void on_state(void *arg, enum cfg_session_state state, const struct cfg_error *why)
{
    struct memory *t = arg;
    t->states++;
    t->state = state;
    t->why_code = why ? why->code : 0;
    copy(t->why, sizeof t->why, why ? why->text : "", why ? strlen(why->text) : 0);
}

static void on_registered(void *arg, const char *reply)
{
    struct memory *t = arg;
    cr_assert_eq(reply[0], '{');
    t->registrations++;
}

void memory_start(struct memory *t, const struct cfg_machine_options *o)
{
    *t = (struct memory){.now_ms = 1000};
    const struct cfg_session_callbacks callbacks = {on_view, on_mark, on_state, on_registered, NULL, t};
    const struct cfg_transport transport = {do_send, do_cancel, do_random, t};
    struct cfg_error err;
    cr_assert_eq(cfg_machine_new(&t->machine, o, &callbacks, &transport, &err), 0, "%s", err.text);
}

void memory_finish(struct memory *t)
{
    cfg_machine_free(t->machine);
}

void memory_tick(struct memory *t, uint64_t advance_ms)
{
    t->now_ms += advance_ms;
    cfg_machine_tick(t->machine, t->now_ms);
}

void memory_reply(struct memory *t, enum cfg_slot slot, long status, const char *body)
{
    cr_assert(t->slots[slot].active, "nothing was asked in slot %d", slot);
    if (body[0])
        cfg_machine_bytes(t->machine, slot, status, cfg_slice_str(body), t->now_ms);
    t->slots[slot].active = false;
    cfg_machine_done(t->machine, slot, status, NULL, t->now_ms);
}

void memory_stream(struct memory *t, const char *bytes)
{
    cr_assert(t->slots[CFG_SLOT_STREAM].active, "no stream is open");
    cfg_machine_bytes(t->machine, CFG_SLOT_STREAM, 200, cfg_slice_str(bytes), t->now_ms);
}

void memory_event(struct memory *t, const char *event, const char *id, const char *data)
{
    struct cfg_buf out;
    cfg_buf_init(&out, 65536);
    cfg_sse_put(&out, event, id, cfg_slice_str(data));
    memory_stream(t, out.data);
    cfg_buf_finish(&out);
}

void memory_break(struct memory *t, enum cfg_slot slot, int code)
{
    cr_assert(t->slots[slot].active, "nothing was asked in slot %d", slot);
    t->slots[slot].active = false;
    struct cfg_error err;
    cfg_fail(&err, code, "broken by the test");
    cfg_machine_done(t->machine, slot, 0, &err, t->now_ms);
}

static void digest_of(char out[CFG_DIGEST_TEXT], const char *view)
{
    cJSON *tree = NULL;
    cr_assert_eq(cfg_json_parse(&tree, cfg_slice_str(view), 0, NULL), 0);
    cr_assert_eq(cfg_digest_json(out, tree), 0);
    cJSON_Delete(tree);
}

void memory_view(char *out, size_t room, char *digest, const char *revision, const char *store, int value)
{
    char view[256], found[CFG_DIGEST_TEXT];
    snprintf(view, sizeof view, "{\"parameters\":{\"t\":%d},\"pinned\":{},\"flags\":{}}", value);
    digest_of(found, view);
    if (digest)
        memcpy(digest, found, sizeof found);
    snprintf(out, room,
             "{\"deployment\":\"blue\",\"arm\":\"base\",\"store\":\"%s\",\"generation\":1,\"revision\":\"%s\","
             "\"digest\":\"%s\",\"versions\":{\"chat\":1},\"stale\":false,\"pin_digest\":\"p\",\"view\":%s}",
             store, revision, found, view);
}

void memory_patch(char *out, size_t room, const char *revision, const char *from, const char *digest, int value)
{
    snprintf(out, room,
             "{\"revision\":\"%s\",\"from\":\"%s\",\"digest\":\"%s\",\"versions\":{\"chat\":2},"
             "\"patch\":[{\"op\":\"replace\",\"path\":\"/parameters/t\",\"value\":%d}]}",
             revision, from, digest, value);
}

const struct cfg_machine_options memory_worker = {.servers = 1,
                                                  .deployment = "blue",
                                                  .registration = MEMORY_REGISTRATION,
                                                  .backoff_min_ms = 100,
                                                  .backoff_max_ms = 10000};

void memory_follow(struct memory *t, const struct cfg_machine_options *o, char digest[CFG_DIGEST_TEXT])
{
    char view[2048];
    memory_start(t, o);
    memory_tick(t, 0);
    if (o->registration)
        memory_reply(t, CFG_SLOT_REGISTER, 200, MEMORY_REGISTERED);
    memory_view(view, sizeof view, digest, "1-5", "S1", 1);
    memory_event(t, "view", "1-5", view);
}

void memory_digest(char out[CFG_DIGEST_TEXT], int value)
{
    char ignored[2048];
    memory_view(ignored, sizeof ignored, out, "1-1", "S1", value);
}

void memory_patch_to(struct memory *t, const char *revision, int from, int to)
{
    char a[CFG_DIGEST_TEXT], b[CFG_DIGEST_TEXT], patch[2048];
    memory_digest(a, from);
    memory_digest(b, to);
    memory_patch(patch, sizeof patch, revision, a, b, to);
    memory_event(t, "patch", revision, patch);
}
