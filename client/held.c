#include "client/held.h"
#include "proto/limits.h"
#include "proto/patch.h"

#include <stdio.h>
#include <string.h>

void cfg_held_init(struct cfg_held *h)
{
    *h = (struct cfg_held){0};
    cfg_buf_init(&h->text, CFG_LIMIT_EVENT);
}

void cfg_held_finish(struct cfg_held *h)
{
    cJSON_Delete(h->view);
    cJSON_Delete(h->meta);
    cfg_buf_finish(&h->text);
}

/* Canonical text of a view, and its digest over just that text: printed once for both. */
static int print_view(struct cfg_buf *text, char digest[CFG_DIGEST_TEXT], const cJSON *view)
{
    cfg_json_canonical(text, view);
    int rc = cfg_buf_status(text);
    return rc != 0 ? rc : cfg_digest_bytes(digest, cfg_buf_slice(text));
}

/* Puts a proved view in the place of the held one. view and text are consumed. */
static void replace_view(struct cfg_held *h, cJSON *view, struct cfg_buf *text, const char digest[CFG_DIGEST_TEXT])
{
    cJSON_Delete(h->view);
    cfg_buf_finish(&h->text);
    h->view = view;
    h->text = *text;
    *text = (struct cfg_buf){0};
    memcpy(h->digest, digest, CFG_DIGEST_TEXT);
}

static void set_store(struct cfg_held *h, const char *store)
{
    (void)snprintf(h->store, sizeof h->store, "%s", store);
}

int cfg_held_resume(struct cfg_held *h, const char *revision, const char *digest, const char *store, const char *view,
                    struct cfg_error *err)
{
    if (revision) {
        int rc = cfg_rev_parse(&h->rev, cfg_slice_str(revision), err);
        if (rc != 0)
            return rc;
        h->seen = h->rev;
    }
    if (store)
        set_store(h, store);
    if (view == NULL || digest == NULL || revision == NULL)
        return 0;
    cJSON *tree = NULL;
    if (cfg_json_parse(&tree, cfg_slice_str(view), CFG_LIMIT_DEPTH + 8, NULL) != 0)
        return 0;
    struct cfg_buf text;
    cfg_buf_init(&text, CFG_LIMIT_EVENT);
    char found[CFG_DIGEST_TEXT];
    if (print_view(&text, found, tree) == 0 && strcmp(found, digest) == 0)
        replace_view(h, tree, &text, found);
    else
        cJSON_Delete(tree);
    cfg_buf_finish(&text);
    return 0;
}

void cfg_held_accept_store(struct cfg_held *h, const char *store)
{
    if (store[0] == '\0' || strcmp(h->store, store) == 0)
        return;
    if (h->store[0]) {
        h->rev = h->seen = (struct cfg_rev){0, 0};
        h->digest[0] = '\0';
    }
    set_store(h, store);
}

static int read_revision(struct cfg_rev *out, const cJSON *event, struct cfg_error *err)
{
    const char *text = cfg_json_get_str(event, "revision", NULL);
    if (text == NULL)
        return cfg_fail(err, CFG_E_PROTOCOL, "an event without a revision");
    return cfg_rev_parse(out, cfg_slice_str(text), err);
}

static void see(struct cfg_held *h, struct cfg_rev rev)
{
    if (cfg_rev_cmp(rev, h->seen) > 0)
        h->seen = rev;
}

static enum cfg_verdict behind(const struct cfg_held *h, struct cfg_rev rev, struct cfg_error *err)
{
    char theirs[CFG_REV_TEXT], ours[CFG_REV_TEXT];
    cfg_fail(err, CFG_E_UNAVAILABLE, "the server is at %s, behind our view of %s", cfg_rev_format(rev, theirs),
             cfg_rev_format(h->rev, ours));
    return CFG_VERDICT_BEHIND;
}

static enum cfg_verdict broken(struct cfg_error *err, const char *why)
{
    cfg_fail(err, CFG_E_PROTOCOL, "the stream sent %s", why);
    return CFG_VERDICT_BROKEN;
}

static bool is_view(const cJSON *view)
{
    return cJSON_IsObject(cfg_json_get(view, "parameters")) && cJSON_IsObject(cfg_json_get(view, "pinned")) &&
           cJSON_IsObject(cfg_json_get(view, "flags"));
}

/* event is whole and newer: proves its view and takes both over. Consumes event and view. */
static enum cfg_verdict take_view(struct cfg_held *h, cJSON *event, cJSON *view, struct cfg_rev rev,
                                  struct cfg_error *err)
{
    struct cfg_buf text;
    cfg_buf_init(&text, CFG_LIMIT_EVENT);
    char digest[CFG_DIGEST_TEXT];
    enum cfg_verdict verdict = CFG_VERDICT_NEW;
    if (print_view(&text, digest, view) != 0)
        verdict = broken(err, "a view that cannot be printed");
    else if (strcmp(digest, cfg_json_get_str(event, "digest", "")) != 0)
        verdict = broken(err, "a view that does not match its digest");
    if (verdict != CFG_VERDICT_NEW) {
        cJSON_Delete(view);
        cJSON_Delete(event);
    } else {
        if (strcmp(digest, h->digest) == 0 && cfg_rev_cmp(rev, h->rev) == 0)
            verdict = CFG_VERDICT_SAME;
        replace_view(h, view, &text, digest);
        cJSON_Delete(h->meta);
        h->meta = event;
        cfg_held_accept_store(h, cfg_json_get_str(event, "store", ""));
        memcpy(h->digest, digest, sizeof digest); /* an adopted store has just cleared it */
        h->rev = rev;
        see(h, rev);
        h->stale = cfg_json_get_bool(event, "stale", false);
    }
    cfg_buf_finish(&text);
    return verdict;
}

enum cfg_verdict cfg_held_view(struct cfg_held *h, cJSON *event, struct cfg_error *err)
{
    struct cfg_rev rev;
    enum cfg_verdict verdict;
    const char *store = cfg_json_get_str(event, "store", "");
    bool same_store = h->store[0] == '\0' || store[0] == '\0' || strcmp(store, h->store) == 0;
    if (read_revision(&rev, event, err) != 0)
        verdict = CFG_VERDICT_BROKEN;
    else if (!is_view(cfg_json_get(event, "view")))
        verdict = broken(err, "a view event without a view");
    else if (!same_store && h->bound)
        verdict = broken(err, "a view of another store than the one that has registered us");
    else if (same_store && cfg_rev_cmp(rev, h->rev) < 0)
        verdict = behind(h, rev, err);
    else {
        cJSON *view = cJSON_DetachItemFromObjectCaseSensitive(event, "view");
        return take_view(h, event, view, rev, err);
    }
    cJSON_Delete(event);
    return verdict;
}

/* What the patch event says about versions goes on in meta. */
static void merge_meta(struct cfg_held *h, cJSON *event)
{
    static const char *const kept[] = {"revision", "digest", "versions", "generation", "pin_digest", "arm"};
    if (h->meta == NULL)
        h->meta = cJSON_CreateObject();
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        cJSON *value = cJSON_DetachItemFromObjectCaseSensitive(event, kept[i]);
        if (value == NULL)
            continue;
        cJSON_DeleteItemFromObjectCaseSensitive(h->meta, kept[i]);
        if (!cJSON_AddItemToObject(h->meta, kept[i], value))
            cJSON_Delete(value); /* without memory the caller reads less about the view, never a wrong view */
    }
}

/* Whose patch it is: who is moved to another arm without a change of content hears of it by an empty patch. */
static void merge_arm(struct cfg_held *h, cJSON *event)
{
    const char *now = cfg_json_get_str(event, "arm", NULL), *was = cfg_json_get_str(h->meta, "arm", "");
    if (now == NULL || strcmp(now, was) == 0)
        return;
    if (h->meta == NULL)
        h->meta = cJSON_CreateObject();
    if (h->meta && cfg_json_set(h->meta, "arm", cJSON_CreateString(now)) != 0)
        cJSON_DeleteItemFromObjectCaseSensitive(h->meta, "arm"); /* none rather than a wrong one */
}

static enum cfg_verdict need_full(struct cfg_error *err, const char *why)
{
    cfg_fail(err, CFG_E_PROTOCOL, "a patch %s; asking for the whole view", why);
    return CFG_VERDICT_FULL;
}

static enum cfg_verdict apply(struct cfg_held *h, cJSON *event, struct cfg_rev rev, struct cfg_error *err)
{
    cJSON *view = NULL;
    struct cfg_error why;
    if (cfg_patch_apply(&view, h->view, cfg_json_get(event, "patch"), &why) != 0)
        return need_full(err, "does not apply");
    struct cfg_buf text;
    cfg_buf_init(&text, CFG_LIMIT_EVENT);
    char digest[CFG_DIGEST_TEXT];
    enum cfg_verdict verdict = CFG_VERDICT_NEW;
    if (!is_view(view) || print_view(&text, digest, view) != 0 ||
        strcmp(digest, cfg_json_get_str(event, "digest", "")) != 0) {
        cJSON_Delete(view);
        verdict = need_full(err, "does not lead to the digest it names");
    } else {
        replace_view(h, view, &text, digest);
        if (h->without_meta)
            merge_arm(h, event);
        else
            merge_meta(h, event);
        h->rev = rev;
        see(h, rev);
    }
    cfg_buf_finish(&text);
    return verdict;
}

enum cfg_verdict cfg_held_patch(struct cfg_held *h, cJSON *event, struct cfg_error *err)
{
    struct cfg_rev rev;
    enum cfg_verdict verdict;
    if (read_revision(&rev, event, err) != 0)
        verdict = CFG_VERDICT_BROKEN;
    else if (cfg_rev_cmp(rev, h->rev) <= 0)
        verdict = behind(h, rev, err);
    else if (h->view == NULL || h->digest[0] == '\0' || strcmp(h->digest, cfg_json_get_str(event, "from", "")) != 0)
        verdict = need_full(err, "starts from a view that is not held");
    else
        verdict = apply(h, event, rev, err);
    cJSON_Delete(event);
    return verdict;
}

enum cfg_verdict cfg_held_mark(struct cfg_held *h, cJSON *event, struct cfg_error *err)
{
    struct cfg_rev rev;
    enum cfg_verdict verdict = CFG_VERDICT_SAME;
    const char *digest = cfg_json_get_str(event, "digest", "");
    if (read_revision(&rev, event, err) != 0)
        verdict = CFG_VERDICT_BROKEN;
    else if (cfg_rev_cmp(rev, h->rev) < 0)
        verdict = behind(h, rev, err);
    else if (digest[0] == '\0')
        verdict = broken(err, "a mark without a digest");
    else if (strcmp(digest, h->digest) != 0) {
        cfg_fail(err, CFG_E_PROTOCOL, "a mark speaks of a view that is not held; asking for the whole view");
        verdict = CFG_VERDICT_FULL;
    } else {
        see(h, rev);
        h->stale = cfg_json_get_bool(event, "stale", false);
    }
    cJSON_Delete(event);
    return verdict;
}
