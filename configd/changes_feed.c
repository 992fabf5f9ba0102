#include "configd/changes_feed.h"

#include "configd/story.h"

#include "proto/patch.h"
#include "proto/sse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHANGES = 1024,
    BYTES = 2 << 20,
    FRAME_MAX = 8 << 20,
    STORY_MAX = 8192,
    MARK_AFTER_MS = 1000, /* marks gather what happened meanwhile */
};

struct change {
    struct cfg_object *before, *after; /* owned */
    struct cfg_rev rev;
    char ns[CFG_LIMIT_NAME + 1]; /* of a deployment: what it runs; "" when nothing tells that any more */
    bool last;                   /* of its revision: carries the id */
    struct cfg_bytes *frame;
};

struct cfg_feed {
    struct cfg_loop *loop;
    struct cfg_store *store;
    struct cfg_store_listener listener;
    size_t max_changes, max_bytes, bytes;
    struct change *ring;  /* max_changes of them; number n lies at n % max_changes */
    uint64_t first, next; /* numbers */
    struct cfg_rev floor; /* everything behind it is here */
    struct cfg_feed_reader *readers, *cursor;
    struct cfg_timer *mark;
    bool mark_due;
};

/* --- the ring --- */

static size_t weight(const struct change *c)
{
    return sizeof *c + (c->before ? c->before->json->len : 0) + c->after->json->len + (c->frame ? c->frame->len : 0);
}

static struct change *change_at(struct cfg_feed *f, uint64_t number)
{
    return &f->ring[number % f->max_changes];
}

static void drop_first(struct cfg_feed *f)
{
    struct change *c = change_at(f, f->first);
    f->bytes -= weight(c);
    f->floor = c->rev; /* a part of this revision is gone: it cannot be resumed inside */
    (void)cfg_object_unref(c->before);
    (void)cfg_object_unref(c->after);
    (void)cfg_bytes_unref(c->frame);
    *c = (struct change){0};
    f->first++;
}

/* A tombstone does not say what its deployment ran. */
static void read_namespace(char ns[CFG_LIMIT_NAME + 1], const struct cfg_store_change *change)
{
    const struct cfg_object *o = change->after->deleted && change->before ? change->before : change->after;
    if (!cfg_kind_is_named(o->id.kind)) {
        (void)snprintf(ns, CFG_LIMIT_NAME + 1, "%s", o->id.ns);
        return;
    }
    cJSON *tree = cfg_object_tree(o);
    (void)snprintf(ns, CFG_LIMIT_NAME + 1, "%s", cfg_json_get_str(tree, "config", ""));
    cJSON_Delete(tree);
}

static void push(struct cfg_feed *f, const struct cfg_store_change *change, struct cfg_rev rev, bool last)
{
    if (f->next - f->first == f->max_changes)
        drop_first(f);
    struct change *c = change_at(f, f->next++);
    *c = (struct change){
        .before = cfg_object_ref(change->before), .after = cfg_object_ref(change->after), .rev = rev, .last = last};
    read_namespace(c->ns, change);
    f->bytes += weight(c);
    while (f->bytes > f->max_bytes && f->next - f->first > 1)
        drop_first(f);
}

static bool is_told(const struct cfg_store_change *c)
{
    return c->after && cfg_kind_is_versioned(c->after->id.kind);
}

/* --- frames --- */

/* What a change is about: a namespace's document, the body of anything else; nothing for a tombstone. */
static cJSON *subject(const struct cfg_object *o)
{
    if (o == NULL || o->deleted)
        return cJSON_CreateObject();
    cJSON *body = cfg_object_body(o);
    if (o->id.kind != CFG_KIND_CONFIG)
        return body;
    cJSON *document = cJSON_DetachItemFromObjectCaseSensitive(body, "document");
    cJSON_Delete(body);
    return document;
}

static void put_text(struct cfg_buf *out, const char *key, const char *value)
{
    cfg_buf_printf(out, ",\"%s\":", key);
    cfg_json_put_string(out, cfg_slice_str(value));
}

/* Of a rollout or an experiment, in the place of what changed in its record. */
static bool put_story(struct cfg_buf *out, const struct change *c)
{
    struct cfg_buf text;
    cfg_buf_init(&text, STORY_MAX);
    bool told = cfg_story_tell(&text, c->after) && cfg_buf_status(&text) == 0;
    if (told) {
        put_text(out, "what", text.data);
        cfg_buf_puts(out, ",\"changes\":[]");
    }
    cfg_buf_finish(&text);
    return told;
}

static void put_changes(struct cfg_buf *out, const struct change *c)
{
    if (put_story(out, c))
        return;

    cJSON *before = subject(c->before), *after = subject(c->after);
    cJSON *changes = before && after ? cfg_patch_describe(before, after) : NULL;
    cfg_buf_puts(out, ",\"changes\":");
    if (changes)
        cfg_json_print(out, changes);
    else
        cfg_buf_puts(out, "[]");
    cJSON_Delete(before);
    cJSON_Delete(after);
    cJSON_Delete(changes);
}

static void put_change(struct cfg_buf *out, const struct change *c)
{
    const struct cfg_object *o = c->after;
    char rev[CFG_REV_TEXT];
    cJSON *tree = cfg_object_tree(o);
    const char *name = cfg_kind_is_named(o->id.kind) ? o->id.ns : o->id.name;
    cfg_buf_printf(out, "{\"kind\":\"%s\",\"namespace\":\"%s\"", cfg_kind_name(o->id.kind), c->ns);
    if (name[0])
        put_text(out, "name", name);
    cfg_buf_printf(out, ",\"version\":%llu,\"previous\":%llu,\"deleted\":%s", (unsigned long long)o->version,
                   (unsigned long long)(c->before ? c->before->version : 0), o->deleted ? "true" : "false");
    put_text(out, "author", cfg_json_get_str(tree, "author", ""));
    put_text(out, "message", cfg_json_get_str(tree, "message", ""));
    put_text(out, "time", cfg_json_get_str(tree, "time", ""));
    put_text(out, "revision", cfg_rev_format(c->rev, rev));
    put_changes(out, c);
    cfg_buf_putc(out, '}');
    cJSON_Delete(tree);
}

static struct cfg_bytes *event(const char *name, const struct cfg_rev *id, struct cfg_slice data)
{
    char rev[CFG_REV_TEXT];
    struct cfg_buf out;
    cfg_buf_init(&out, FRAME_MAX);
    cfg_sse_put(&out, name, id ? cfg_rev_format(*id, rev) : NULL, data);
    struct cfg_bytes *b = cfg_buf_status(&out) == 0 ? cfg_bytes_new(cfg_buf_slice(&out)) : NULL;
    cfg_buf_finish(&out);
    return b;
}

static struct cfg_bytes *frame_of(struct cfg_feed *f, struct change *c)
{
    if (c->frame)
        return c->frame;
    struct cfg_buf data;
    cfg_buf_init(&data, FRAME_MAX);
    put_change(&data, c);
    if (cfg_buf_status(&data) == 0)
        c->frame = event("change", c->last ? &c->rev : NULL, cfg_buf_slice(&data));
    cfg_buf_finish(&data);
    if (c->frame)
        f->bytes += c->frame->len;
    return c->frame;
}

/* --- readers --- */

static bool give(struct cfg_feed_reader *r, struct cfg_bytes *frame)
{
    (void)cfg_bytes_ref(frame);
    bool more = r->send(r, frame);
    (void)cfg_bytes_unref(frame);
    if (!more)
        r->behind = true;
    return more && r->feed;
}

static bool give_event(struct cfg_feed_reader *r, const char *name, const struct cfg_rev *id, const char *data)
{
    struct cfg_bytes *frame = event(name, id, cfg_slice_str(data));
    bool more = frame && give(r, frame);
    (void)cfg_bytes_unref(frame);
    return more;
}

static bool give_mark(struct cfg_feed_reader *r)
{
    struct cfg_rev seen = cfg_store_seen(r->feed->store);
    char data[CFG_REV_TEXT + 32], rev[CFG_REV_TEXT];
    struct cfg_buf text;
    cfg_buf_init(&text, sizeof data);
    cfg_buf_printf(&text, "{\"revision\":\"%s\"}", cfg_rev_format(seen, rev));
    r->told = seen;
    bool more = cfg_buf_status(&text) == 0 && give_event(r, "mark", &seen, text.data);
    cfg_buf_finish(&text);
    return more;
}

/* The reader has missed changes that are no longer here: it lists again and goes on from now. */
static bool give_reset(struct cfg_feed_reader *r, const char *reason)
{
    struct cfg_rev seen = cfg_store_seen(r->feed->store);
    char data[64];
    struct cfg_buf text;
    cfg_buf_init(&text, sizeof data);
    cfg_buf_printf(&text, "{\"reason\":\"%s\"}", reason);
    r->at = r->feed->next;
    r->told = seen;
    bool more = cfg_buf_status(&text) == 0 && give_event(r, "reset", &seen, text.data);
    cfg_buf_finish(&text);
    return more;
}

/* Everything the reader has not been told, as far as it takes it. */
static void pump(struct cfg_feed_reader *r)
{
    while (r->feed && !r->behind && r->at < r->feed->next) {
        struct cfg_feed *f = r->feed;
        if (r->at < f->first) {
            (void)give_reset(r, "overtaken");
            continue;
        }
        struct change *c = change_at(f, r->at++);
        struct cfg_bytes *frame = r->wants(r, c->ns) ? frame_of(f, c) : NULL;
        if (frame) {
            r->told = c->rev;
            (void)give(r, frame);
        }
    }
}

static void each_reader(struct cfg_feed *f, void (*fn)(struct cfg_feed_reader *r))
{
    for (struct cfg_feed_reader *r = f->readers; r; r = f->cursor) {
        f->cursor = r->next;
        fn(r);
    }
}

static void reset_epoch(struct cfg_feed_reader *r)
{
    r->at = r->feed->next;
    if (!r->behind)
        (void)give_reset(r, "listed afresh");
    else
        r->at = 0; /* told when it drains: what it waits for is gone */
}

static void mark_reader(struct cfg_feed_reader *r)
{
    if (!r->behind && r->at == r->feed->next && cfg_rev_cmp(r->told, cfg_store_seen(r->feed->store)) < 0)
        (void)give_mark(r);
}

static void send_marks(void *arg)
{
    struct cfg_feed *f = arg;
    f->mark_due = false;
    each_reader(f, mark_reader);
}

static void want_marks(struct cfg_feed *f)
{
    if (f->mark_due || f->readers == NULL)
        return;
    f->mark_due = true;
    cfg_timer_start(f->mark, MARK_AFTER_MS);
}

/* --- what the store tells --- */

static void store_changed(void *arg, struct cfg_rev rev, const struct cfg_store_change *changes, size_t n, bool full)
{
    struct cfg_feed *f = arg;
    if (full) { /* what lay between is not known change by change */
        while (f->first < f->next)
            drop_first(f);
        f->first = ++f->next; /* so that number 0 is always of the past */
        f->floor = rev;
        each_reader(f, reset_epoch);
        return;
    }
    size_t told = n;
    while (told > 0 && !is_told(&changes[told - 1]))
        told--;
    for (size_t i = 0; i < told; i++)
        if (is_told(&changes[i]))
            push(f, &changes[i], rev, i + 1 == told);
    each_reader(f, pump);
    want_marks(f);
}

static void store_progress(void *arg, struct cfg_rev seen)
{
    (void)seen;
    want_marks(arg);
}

/* --- life --- */

int cfg_feed_new(struct cfg_feed **out, struct cfg_loop *loop, struct cfg_store *store,
                 const struct cfg_feed_limits *limits, struct cfg_error *err)
{
    struct cfg_feed *f = calloc(1, sizeof *f);
    if (f == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for the feed of changes");
    f->loop = loop;
    f->store = store;
    f->max_changes = limits && limits->changes ? limits->changes : CHANGES;
    f->max_bytes = limits && limits->bytes ? limits->bytes : BYTES;
    f->ring = calloc(f->max_changes, sizeof *f->ring);
    f->mark = cfg_timer_new(loop, send_marks, f);
    f->first = f->next = 1;
    f->floor = cfg_store_seen(store);
    if (f->ring == NULL || f->mark == NULL) {
        free(f->ring);
        cfg_timer_free(f->mark);
        free(f);
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for the feed of changes");
    }
    f->listener = (struct cfg_store_listener){.changed = store_changed, .progress = store_progress, .arg = f};
    cfg_store_listen(store, &f->listener);
    *out = f;
    return 0;
}

void cfg_feed_free(struct cfg_feed *f)
{
    if (f == NULL)
        return;
    cfg_store_unlisten(f->store, &f->listener);
    while (f->readers)
        cfg_feed_leave(f->readers);
    while (f->first < f->next)
        drop_first(f);
    cfg_timer_free(f->mark);
    free(f->ring);
    free(f);
}

void cfg_feed_read(struct cfg_feed *f, struct cfg_feed_reader *r, struct cfg_rev have)
{
    r->feed = f;
    r->prev = NULL;
    r->next = f->readers;
    r->behind = false;
    r->told = have;
    if (f->readers)
        f->readers->prev = r;
    f->readers = r;
    r->at = f->next;
    if (cfg_rev_is_none(have)) {
        (void)give_mark(r);
        return;
    }
    if (have.epoch != f->floor.epoch || cfg_rev_cmp(have, f->floor) < 0) {
        (void)give_reset(r, "too old");
        return;
    }
    while (r->at > f->first && cfg_rev_cmp(change_at(f, r->at - 1)->rev, have) > 0)
        r->at--;
    pump(r);
    if (r->feed)
        mark_reader(r);
}

void cfg_feed_leave(struct cfg_feed_reader *r)
{
    struct cfg_feed *f = r->feed;
    if (f == NULL)
        return;
    if (f->cursor == r)
        f->cursor = r->next;
    if (r->prev)
        r->prev->next = r->next;
    else
        f->readers = r->next;
    if (r->next)
        r->next->prev = r->prev;
    r->feed = NULL;
}

void cfg_feed_drained(struct cfg_feed_reader *r)
{
    r->behind = false;
    pump(r);
}
