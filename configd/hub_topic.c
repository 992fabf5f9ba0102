#include "configd/hub_topic.h"

#include "proto/limits.h"
#include "proto/patch.h"
#include "proto/sse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRAME_MAX = 8 * CFG_LIMIT_EVENT }; /* a bound for the printer; what clients accept bounds the objects */

static struct cfg_rev later(struct cfg_rev a, struct cfg_rev b)
{
    return cfg_rev_cmp(a, b) >= 0 ? a : b;
}

struct cfg_topic *cfg_topic_new(const char *deployment, const char *arm)
{
    struct cfg_topic *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    memcpy(t->deployment, deployment, strnlen(deployment, CFG_LIMIT_NAME));
    memcpy(t->arm, arm, strnlen(arm, CFG_LIMIT_NAME));
    t->dirty = true;
    return t;
}

static void drop_marks(struct cfg_topic *t)
{
    t->mark_frame = cfg_bytes_unref(t->mark_frame);
    t->renew_frame = cfg_bytes_unref(t->renew_frame);
}

static void drop_view_frame(struct cfg_topic *t)
{
    t->view_frame = cfg_bytes_unref(t->view_frame);
    t->view_json = (struct cfg_slice){"", 0};
}

void cfg_topic_free(struct cfg_topic *t)
{
    if (t == NULL)
        return;
    while (t->first)
        cfg_topic_leave(t->first);
    drop_marks(t);
    drop_view_frame(t);
    t->patch_frame = cfg_bytes_unref(t->patch_frame);
    cfg_view_finish(&t->view);
    free(t->spaces);
    free(t->flags);
    free(t);
}

/* --- frames --- */

static void put_rev(struct cfg_buf *out, const char *name, struct cfg_rev rev)
{
    char text[CFG_REV_TEXT];
    cfg_buf_printf(out, "\"%s\":\"%s\"", name, cfg_rev_format(rev, text));
}

static void put_versions(struct cfg_buf *out, const struct cfg_release *versions)
{
    cfg_buf_puts(out, "\"versions\":{");
    for (size_t i = 0; i < versions->n; i++)
        cfg_buf_printf(out, "%s\"%s\":%llu", i > 0 ? "," : "", versions->items[i].ns,
                       (unsigned long long)versions->items[i].version);
    cfg_buf_putc(out, '}');
}

void cfg_topic_print_view(struct cfg_buf *out, const struct cfg_topic_text *x)
{
    cfg_buf_printf(out, "{\"deployment\":\"%s\",\"arm\":\"%s\",\"store\":\"%s\",\"generation\":%llu,", x->deployment,
                   x->arm, x->store_id, (unsigned long long)x->generation);
    put_rev(out, "revision", x->label);
    cfg_buf_printf(out, ",\"digest\":\"%s\",", x->view->digest);
    put_versions(out, &x->view->versions);
    cfg_buf_printf(out, ",\"stale\":%s,\"pin_digest\":\"%s\",\"view\":", x->stale ? "true" : "false",
                   x->view->pin_digest);
    cfg_json_print(out, x->view->view);
    cfg_buf_putc(out, '}');
}

static struct cfg_bytes *frame(const char *event, struct cfg_rev id, struct cfg_slice data)
{
    char text[CFG_REV_TEXT];
    struct cfg_buf out;
    cfg_buf_init(&out, FRAME_MAX);
    cfg_sse_put(&out, event, cfg_rev_format(id, text), data);
    struct cfg_bytes *b = cfg_buf_status(&out) == 0 ? cfg_bytes_new(cfg_buf_slice(&out)) : NULL;
    cfg_buf_finish(&out);
    return b;
}

static struct cfg_bytes *view_frame(struct cfg_topic *t)
{
    if (t->view_frame)
        return t->view_frame;
    struct cfg_buf data;
    cfg_buf_init(&data, FRAME_MAX);
    struct cfg_topic_text text = {t->deployment, t->arm, t->store_id, t->generation, t->label, t->stale, &t->view};
    cfg_topic_print_view(&data, &text);
    if (cfg_buf_status(&data) == 0)
        t->view_frame = frame("view", t->label, cfg_buf_slice(&data));
    if (t->view_frame) /* compact JSON is one line, so the data lie in one piece: before the two line feeds at the end
                        */
        t->view_json = (struct cfg_slice){t->view_frame->data + t->view_frame->len - 2 - data.len, data.len};
    cfg_buf_finish(&data);
    return t->view_frame;
}

static struct cfg_bytes *patch_frame(const struct cfg_topic *t, const char *from, const cJSON *patch)
{
    struct cfg_buf data;
    cfg_buf_init(&data, FRAME_MAX);
    cfg_buf_putc(&data, '{');
    put_rev(&data, "revision", t->label);
    cfg_buf_printf(&data, ",\"arm\":\"%s\",\"from\":\"%s\",\"digest\":\"%s\",", t->arm, from, t->view.digest);
    put_versions(&data, &t->view.versions);
    cfg_buf_puts(&data, ",\"patch\":");
    if (patch)
        cfg_json_print(&data, patch);
    else
        cfg_buf_puts(&data, "[]");
    cfg_buf_putc(&data, '}');
    struct cfg_bytes *b = cfg_buf_status(&data) == 0 ? frame("patch", t->label, cfg_buf_slice(&data)) : NULL;
    cfg_buf_finish(&data);
    return b;
}

static struct cfg_bytes *renew_frame(struct cfg_topic *t)
{
    if (t->renew_frame == NULL)
        t->renew_frame = patch_frame(t, t->view.digest, NULL);
    return t->renew_frame;
}

static struct cfg_bytes *mark_frame(struct cfg_topic *t)
{
    if (t->mark_frame)
        return t->mark_frame;
    struct cfg_buf data;
    cfg_buf_init(&data, 512);
    cfg_buf_putc(&data, '{');
    put_rev(&data, "revision", t->seen);
    cfg_buf_printf(&data, ",\"digest\":\"%s\",\"stale\":%s}", t->view.digest, t->stale ? "true" : "false");
    if (cfg_buf_status(&data) == 0)
        t->mark_frame = frame("mark", t->seen, cfg_buf_slice(&data));
    cfg_buf_finish(&data);
    return t->mark_frame;
}

/* --- delivery --- */

/* Without memory for a frame the subscriber keeps what it holds: the next change or drain tries again. */
static void give(struct cfg_topic *t, struct cfg_subscriber *s, struct cfg_bytes *f, struct cfg_rev rev)
{
    if (f == NULL)
        return;
    s->view_serial = t->serial;
    s->rev = later(s->rev, rev);
    if (f == t->view_frame || f == t->mark_frame)
        s->stale = t->stale; /* the only frames that tell it */
    t->stats.frames++;
    t->stats.bytes += f->len;
    (void)cfg_bytes_ref(f); /* whatever send does to the topic, the bytes stay */
    if (!s->send(s, f))
        s->behind = true;
    (void)cfg_bytes_unref(f);
}

static void give_view(struct cfg_topic *t, struct cfg_subscriber *s)
{
    bool follows = s->view_serial != 0 && s->view_serial + 1 == t->serial && t->patch_frame != NULL;
    if (s->rev.epoch > t->label.epoch)
        s->rev = (struct cfg_rev){0, 0};
    t->stats.skipped += s->view_serial != 0 && s->view_serial + 1 < t->serial;
    give(t, s, follows ? t->patch_frame : view_frame(t), t->label);
}

static bool wants_mark(const struct cfg_topic *t, const struct cfg_subscriber *s)
{
    return t->serial != 0 && s->view_serial == t->serial && !t->pending &&
           (s->stale != t->stale || cfg_rev_cmp(s->rev, t->seen) < 0);
}

void cfg_topic_each(struct cfg_topic *t, void (*fn)(struct cfg_topic *t, struct cfg_subscriber *s, void *arg),
                    void *arg)
{
    for (struct cfg_subscriber *s = t->first; s; s = t->cursor) {
        t->cursor = s->next;
        __builtin_prefetch(s->next); /* ten thousand of them lie all over the heap */
        fn(t, s, arg);
    }
}

static void bring_up_to_date(struct cfg_topic *t, struct cfg_subscriber *s, void *arg)
{
    (void)arg;
    if (!s->behind && t->serial != 0 && s->view_serial != t->serial)
        give_view(t, s);
}

static void bring_mark(struct cfg_topic *t, struct cfg_subscriber *s, void *arg)
{
    (void)arg;
    if (!s->behind && wants_mark(t, s))
        give(t, s, mark_frame(t), t->seen);
}

void cfg_topic_deliver(struct cfg_topic *t)
{
    cfg_topic_each(t, bring_up_to_date, NULL);
}

void cfg_topic_send_marks(struct cfg_topic *t)
{
    cfg_topic_each(t, bring_mark, NULL);
}

static void bring_renewal(struct cfg_topic *t, struct cfg_subscriber *s, void *arg)
{
    (void)arg;
    if (s->behind)
        s->view_serial = 0; /* when it takes frames again it gets the view */
    else if (s->view_serial == t->serial && cfg_rev_cmp(s->rev, t->since) < 0)
        give(t, s, renew_frame(t), t->label);
}

void cfg_topic_renew(struct cfg_topic *t)
{
    cfg_topic_each(t, bring_renewal, NULL);
}

static void end(struct cfg_topic *t, struct cfg_subscriber *s, void *arg)
{
    (void)t, (void)arg;
    cfg_topic_leave(s);
    s->ended(s);
}

void cfg_topic_end(struct cfg_topic *t)
{
    cfg_topic_each(t, end, NULL);
}

/* --- views --- */

static void make_patch(struct cfg_topic *t, const struct cfg_view_out *before)
{
    cJSON *patch = cfg_patch_diff(before->view, t->view.view);
    if (patch)
        t->patch_frame = patch_frame(t, before->digest, patch);
    cJSON_Delete(patch);
}

static enum cfg_topic_effect relabel(struct cfg_topic *t, struct cfg_view_out *view, struct cfg_rev label,
                                     bool continuous)
{
    bool later_label = cfg_rev_cmp(label, t->label) > 0;
    bool moved = later_label || !cfg_release_equal(&view->versions, &t->view.versions);
    cfg_view_finish(&t->view);
    t->view = *view;
    t->label = later(t->label, label);
    t->seen = later(t->seen, t->label);
    if (!moved)
        return CFG_TOPIC_NOTHING;
    drop_marks(t);
    drop_view_frame(t);
    if (continuous || !later_label) /* under the same label nothing that it is made of has moved */
        return CFG_TOPIC_RELABELLED;
    t->since = t->label; /* another digest may have held in between */
    return CFG_TOPIC_RENEWED;
}

enum cfg_topic_effect cfg_topic_adopt(struct cfg_topic *t, struct cfg_view_out *view, struct cfg_rev label,
                                      uint64_t generation, const char *store_id, bool continuous)
{
    bool same_epoch = t->serial != 0 && label.epoch == t->label.epoch && strcmp(store_id, t->store_id) == 0;
    bool same_pin = t->serial != 0 && generation == t->generation && strcmp(view->pin_digest, t->view.pin_digest) == 0;
    if (same_epoch && same_pin && strcmp(view->digest, t->view.digest) == 0)
        return relabel(t, view, label, continuous);
    struct cfg_view_out before = t->view;
    drop_marks(t);
    drop_view_frame(t);
    t->patch_frame = cfg_bytes_unref(t->patch_frame);
    t->view = *view;
    t->generation = generation;
    (void)snprintf(t->store_id, sizeof t->store_id, "%s", store_id);
    t->label = t->since = label;
    t->seen = same_epoch ? later(t->seen, label) : label;
    t->serial++;
    t->stats.views++;
    if (same_epoch && same_pin && t->n > 0)
        make_patch(t, &before);
    cfg_view_finish(&before);
    return CFG_TOPIC_CHANGED;
}

void cfg_topic_seen(struct cfg_topic *t, struct cfg_rev seen)
{
    if (cfg_rev_cmp(seen, t->seen) <= 0 || t->serial == 0 || seen.epoch != t->label.epoch)
        return;
    t->seen = seen;
    t->mark_frame = cfg_bytes_unref(t->mark_frame);
}

void cfg_topic_set_stale(struct cfg_topic *t, bool stale)
{
    if (t->stale == stale)
        return;
    t->stale = stale;
    drop_view_frame(t);
    t->mark_frame = cfg_bytes_unref(t->mark_frame);
}

/* --- coming and going --- */

/* What a newcomer that says it holds `have` and `digest` is told first. */
static void welcome(struct cfg_topic *t, struct cfg_subscriber *s, struct cfg_rev have, const char *digest)
{
    bool holds =
        digest && strcmp(digest, t->view.digest) == 0 && (cfg_rev_is_none(have) || have.epoch == t->label.epoch);
    if (!holds) {
        s->rev = (struct cfg_rev){0, 0};
        give_view(t, s);
        return;
    }
    s->view_serial = t->serial;
    s->rev = have;
    if (!cfg_rev_is_none(have) && cfg_rev_cmp(have, t->since) < 0)
        give(t, s, renew_frame(t), t->label);
    else
        give(t, s, mark_frame(t), t->seen);
}

static void link_in(struct cfg_topic *t, struct cfg_subscriber *s)
{
    s->topic = t;
    s->prev = NULL;
    s->next = t->first;
    s->view_serial = 0;
    if (t->first)
        t->first->prev = s;
    t->first = s; /* in front of the cursor: a delivery under way does not meet it */
    t->n++;
}

void cfg_topic_join(struct cfg_topic *t, struct cfg_subscriber *s, struct cfg_rev have, const char *digest)
{
    link_in(t, s);
    s->behind = false;
    s->stale = false;
    s->rev = have;
    if (t->serial != 0 && !t->pending)
        welcome(t, s, have, digest);
}

void cfg_topic_move(struct cfg_topic *to, struct cfg_subscriber *s)
{
    char digest[CFG_DIGEST_TEXT] = "";
    const struct cfg_topic *from = s->topic;
    if (s->view_serial != 0 && s->view_serial == from->serial)
        memcpy(digest, from->view.digest, sizeof digest);
    cfg_topic_leave(s);
    link_in(to, s);
    if (!s->behind && to->serial != 0 && !to->pending)
        welcome(to, s, s->rev, digest);
}

void cfg_topic_leave(struct cfg_subscriber *s)
{
    struct cfg_topic *t = s->topic;
    if (t == NULL)
        return;
    if (t->cursor == s)
        t->cursor = s->next;
    if (s->prev)
        s->prev->next = s->next;
    else
        t->first = s->next;
    if (s->next)
        s->next->prev = s->prev;
    s->prev = s->next = NULL;
    s->topic = NULL;
    t->n--;
}

void cfg_topic_drained(struct cfg_subscriber *s)
{
    struct cfg_topic *t = s->topic;
    s->behind = false;
    if (t == NULL || t->serial == 0)
        return;
    if (s->view_serial != t->serial)
        give_view(t, s);
    else if (s->stale != t->stale)
        bring_mark(t, s, NULL);
}

struct cfg_rev cfg_topic_rev(const struct cfg_topic *t)
{
    return t->label;
}

struct cfg_rev cfg_topic_since(const struct cfg_topic *t)
{
    return t->since;
}

const struct cfg_release *cfg_topic_versions(const struct cfg_topic *t)
{
    return &t->view.versions;
}

const char *cfg_topic_digest(const struct cfg_topic *t)
{
    return t->view.digest;
}

const char *cfg_topic_pin_digest(const struct cfg_topic *t)
{
    return t->view.pin_digest;
}

struct cfg_slice cfg_topic_view_json(struct cfg_topic *t)
{
    return t->serial != 0 && view_frame(t) ? t->view_json : (struct cfg_slice){"", 0};
}

size_t cfg_topic_subscribers(const struct cfg_topic *t)
{
    return t->n;
}
