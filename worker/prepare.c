/* Preparing views. See prepare.h. */
#include "worker/prepare.h"
#include "proto/limits.h"
#include "proto/path.h"
#include "worker/extract.h"
#include <stdlib.h>
#include <string.h>

struct parts {
    const cJSON *parameters, *pinned; /* borrowed from the view's tree, like this one, which loses its evaluators: */
    cJSON *flags;
};

void cfg_box_free(struct cfg_box *b)
{
    if (b == NULL) {
        return;
    }
    for (uint32_t i = 0; i < b->n_owned; i++) {
        free(b->owned[i]);
    }
    cfg_flag_view_free(b->pub.flags);
    free(b->owned);
    free(b->pending);
    free(b->from_pin);
    (void)cfg_bytes_unref(b->text);
    free(b);
}

static struct cfg_box *box_new(const struct cfg_contract *c)
{
    struct cfg_box *b = calloc(1, sizeof *b + (c->n + 1U) * sizeof b->values[0]);
    if (b == NULL) {
        return NULL;
    }
    b->owned = calloc(c->n + 1U, sizeof *b->owned);
    b->pending = calloc(c->n + 1U, sizeof *b->pending);
    b->from_pin = calloc(c->n + 1U, sizeof *b->from_pin);
    if (b->owned == NULL || b->pending == NULL || b->from_pin == NULL) {
        cfg_box_free(b);
        return NULL;
    }
    b->pub.n = c->n;
    b->pub.values = b->values;
    b->pub.revision = b->revision;
    b->pub.digest = b->digest;
    memcpy(b->arm, "base", sizeof "base");
    return b;
}

static int split(struct parts *out, cJSON *view, struct cfg_error *err)
{
    static const char *const names[] = {"parameters", "pinned", "flags"};
    cJSON *found[3];
    for (size_t i = 0; i < 3; i++) {
        found[i] = cJSON_GetObjectItemCaseSensitive(view, names[i]);
        if (!cJSON_IsObject(found[i])) {
            (void)cfg_fail(err, CFG_E_VALUE, "incomplete view: no object \"%s\"", names[i]);
            cfg_error_set_path(err, "%s", names[i]);
            return CFG_E_VALUE;
        }
    }
    *out = (struct parts){found[0], found[1], found[2]};
    return 0;
}

/* The value in the view, or NULL; *from_pin tells where it lies. */
static const cJSON *find_parameter(bool *from_pin, const struct parts *p, const struct cfg_decl *d)
{
    const cJSON *v = cfg_path_get(p->pinned, d->path);
    *from_pin = v != NULL;
    return v != NULL ? v : cfg_path_get(p->parameters, d->path);
}

/* The value that parameter i would have if this process started now. */
static int resolve(struct cfg_box *b, uint32_t i, const struct cfg_contract *c, const struct cfg_local *l,
                   const struct parts *p, struct cfg_error *err)
{
    const struct cfg_decl *d = &c->items[i];
    union cfg_value value = d->def;
    const cJSON *v = d->type == CFG_FLAG ? NULL : find_parameter(&b->from_pin[i], p, d);
    if (d->type == CFG_FLAG) {
        b->values[i] = value;
        int rc = cfg_flag_view_switch(b->pub.flags, &b->values[i], d->path, !l->set[i], err);
        if (rc != 0) {
            return rc;
        }
        value = b->values[i];
    } else if (v != NULL) {
        int rc = cfg_extract(&value, d, v, err);
        if (rc != 0) {
            return rc;
        }
        if (d->type == CFG_STRING || d->type == CFG_JSON) {
            char *text = (char *)(uintptr_t)value.string;
            b->owned[b->n_owned++] = text;
        }
    }
    if (l->set[i] && !b->from_pin[i]) {
        value = l->values[i];
    }
    b->values[i] = value;
    return 0;
}

static int fill(struct cfg_box *b, const struct cfg_contract *c, const struct cfg_local *l, const struct cfg_box *boot,
                const struct parts *p, struct cfg_error *err)
{
    for (uint32_t i = 0; i < c->n; i++) {
        int rc = resolve(b, i, c, l, p, err);
        if (rc != 0) {
            return rc;
        }
        /* What the deployment pins is pinned for every worker, however the worker declares it: the stricter wins. */
        bool kept = b->from_pin[i] || c->items[i].apply >= CFG_RESTART;
        if (boot != NULL && kept) {
            if (!cfg_value_same(c->items[i].type, &b->values[i], &boot->values[i])) {
                b->pending[b->n_pending++] = i;
            }
            b->values[i] = boot->values[i];
        }
    }
    return 0;
}

static int label(struct cfg_box *b, const struct cfg_view_input *in, struct cfg_error *err)
{
    int rc = cfg_rev_parse(&b->rev, cfg_slice_str(in->revision), err);
    if (rc != 0) {
        return rc;
    }
    if (strlen(in->digest) >= sizeof b->digest || strlen(in->store) >= sizeof b->store) {
        return cfg_fail(err, CFG_E_INVALID, "view %s: digest or store id is too long", in->revision);
    }
    (void)cfg_rev_format(b->rev, b->revision);
    memcpy(b->digest, in->digest, strlen(in->digest) + 1);
    memcpy(b->store, in->store, strlen(in->store) + 1);
    return 0;
}

int cfg_prepare(struct cfg_box **out, const struct cfg_contract *c, const struct cfg_local *l,
                const struct cfg_box *boot, const struct cfg_view_input *in, struct cfg_error *err)
{
    struct cfg_box *b = box_new(c);
    if (b == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for a view");
    }
    cJSON *view = NULL;
    struct parts p;
    int rc = label(b, in, err);
    if (rc == 0) {
        /* One level deeper than a document: the view wraps it. */
        rc = cfg_json_parse(&view, in->text, CFG_LIMIT_DEPTH + 8, err);
    }
    if (rc == 0) {
        rc = split(&p, view, err);
    }
    if (rc == 0) {
        rc = cfg_flag_view_new(&b->pub.flags, p.flags, c, in->now_s, err);
    }
    if (rc == 0) {
        rc = fill(b, c, l, boot, &p, err);
    }
    if (rc == 0) {
        rc = cfg_flag_view_overrides(b->pub.flags, p.flags, c, l, b->from_pin, err);
    }
    if (rc == 0) {
        b->text = cfg_bytes_new(in->text);
        rc = b->text != NULL ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory for a view");
    }
    cJSON_Delete(view);
    if (rc != 0) {
        cfg_box_free(b);
        return rc;
    }
    *out = b;
    return 0;
}

int cfg_prepare_defaults(struct cfg_box **out, const struct cfg_contract *c, const struct cfg_local *l,
                         struct cfg_error *err)
{
    struct cfg_box *b = box_new(c);
    if (b == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for a view");
    }
    (void)cfg_rev_format(b->rev, b->revision);
    for (uint32_t i = 0; i < c->n; i++) {
        b->values[i] = l->set[i] ? l->values[i] : c->items[i].def;
    }
    *out = b;
    return 0;
}

static bool under(const char *path, const char *prefix)
{
    size_t n = strlen(prefix);
    if (n == 0) {
        return true;
    }
    if (strncmp(path, prefix, n) != 0) {
        return false;
    }
    char end = path[n];
    return end == '\0' || end == '.' || end == '[' || end == '/' || prefix[n - 1] == '.' || prefix[n - 1] == '/';
}

bool cfg_prefix_changed(const struct cfg_contract *c, const char *prefix, const struct cfg_view *a,
                        const struct cfg_view *b)
{
    for (uint32_t i = 0; i < c->n; i++) {
        if (under(c->items[i].path, prefix) &&
            (b == NULL || !cfg_value_same(c->items[i].type, &a->values[i], &b->values[i]))) {
            return true;
        }
    }
    return false;
}
