#include "configd/backup_rollouts.h"

#include "configd/rollout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECORD_MAX = 2 * 1024 * 1024 };

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory for the backup's rollouts");
}

/* Room for one more item. Pairs are pointers into the items, so they move along. */
static int make_room(struct cfg_backup *b, struct cfg_error *err)
{
    struct cfg_backup_item *items = malloc((b->n + 1) * sizeof *items);
    if (items == NULL)
        return no_memory(err);
    memcpy(items, b->items, b->n * sizeof *items);
    for (size_t i = 0; i < b->n; i++)
        if (items[i].pair)
            items[i].pair = items + (items[i].pair - b->items);
    free(b->items);
    b->items = items;
    return 0;
}

static bool set_paused(cJSON *body, const struct cfg_rollout_state *s, const char *why, const char *author)
{
    cJSON *state = cJSON_CreateObject(), *decision = cJSON_CreateObject();
    bool ok = cJSON_AddStringToObject(state, "phase", cfg_rollout_phase_name(s->phase)) &&
              cJSON_AddNumberToObject(state, "step", s->step) &&
              cJSON_AddStringToObject(state, "resume", cfg_rollout_phase_name(s->resume)) &&
              cJSON_AddStringToObject(decision, "input", cfg_rollout_input_name(CFG_ROLLOUT_PAUSE)) &&
              cJSON_AddStringToObject(decision, "why", why) && cJSON_AddStringToObject(decision, "actor", author);
    ok = cfg_json_set(body, "state", state) == 0 && ok;
    return cfg_json_set(body, "decision", decision) == 0 && ok;
}

/* May it be paused, and how is it then? */
static bool pauses(struct cfg_rollout_state *out, const cJSON *body)
{
    struct cfg_rollout r;
    enum cfg_rollout_effect effect;
    if (cfg_rollout_read(&r, body, NULL) != 0)
        return false; /* one that nobody can read drives nothing */
    int rc = cfg_rollout_next(out, &effect, &r.state, CFG_ROLLOUT_PAUSE, r.n_steps, r.steps[r.state.step].gate, NULL);
    cfg_rollout_finish(&r);
    return rc == 0;
}

/* The head becomes the version that *o is followed by; o's record stays in history by itself. Consumes body. */
static int replace_head(struct cfg_backup *b, size_t at, const struct cfg_object *o, cJSON *body,
                        const struct cfg_envelope *e, struct cfg_error *err)
{
    struct cfg_buf value, key;
    char digest[CFG_DIGEST_TEXT];
    cfg_buf_init(&value, RECORD_MAX);
    cfg_buf_init(&key, 4096);
    cfg_object_history_key(&key, &o->id, e->version);
    int rc = cfg_envelope_print(&value, digest, CFG_KIND_ROLLOUT, body, e, err);
    rc = rc ? rc : cfg_buf_status(&key) || cfg_buf_status(&value) ? no_memory(err) : make_room(b, err);
    if (rc == 0) {
        struct cfg_backup_item *head = &b->items[at], *record = &b->items[b->n++];
        size_t len = value.len;
        head->pair->pair = NULL;
        *record = (struct cfg_backup_item){.key = cfg_buf_steal(&key), .pair = head, .own = cfg_buf_steal(&value)};
        record->value = head->value = (struct cfg_slice){record->own, len};
        head->pair = record;
    }
    cfg_buf_finish(&value);
    cfg_buf_finish(&key);
    return rc;
}

static int pause_one(struct cfg_backup *b, size_t at, const struct cfg_object *o, const struct cfg_envelope *e,
                     struct cfg_error *err)
{
    char why[160], message[200];
    struct cfg_rollout_state paused;
    cJSON *body = cfg_object_body(o);
    if (body == NULL)
        return no_memory(err);
    if (!pauses(&paused, body)) {
        cJSON_Delete(body);
        return 0;
    }
    (void)snprintf(why, sizeof why, "a backup of %s was restored: look at it, then resume or abort", b->time);
    (void)snprintf(message, sizeof message, "rollout: pause: %s", why);
    struct cfg_envelope next = *e;
    next.version = o->version + 1;
    next.parent = o->version;
    next.message = message;
    if (set_paused(body, &paused, why, e->author))
        return replace_head(b, at, o, body, &next, err);
    cJSON_Delete(body);
    return no_memory(err);
}

int cfg_backup_pause_rollouts(struct cfg_backup *b, const char *now, const char *author, const char *id,
                              struct cfg_error *err)
{
    const struct cfg_envelope e = {.author = author, .time = now, .request_id = id};
    size_t n = b->n;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct cfg_object_id object;
        struct cfg_object *o = NULL;
        const struct cfg_backup_item *item = &b->items[i];
        if (cfg_object_id_from_key(&object, cfg_slice_str(item->key), NULL) != 0 || object.kind != CFG_KIND_ROLLOUT ||
            item->pair == NULL)
            continue;
        rc = cfg_object_new(&o, &object, item->value, 1, err);
        if (rc == 0 && !o->deleted)
            rc = pause_one(b, i, o, &e, err);
        (void)cfg_object_unref(o);
    }
    return rc;
}
