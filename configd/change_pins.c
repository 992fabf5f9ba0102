/* What schemas pin is pinned: deployments that follow the heads get the values they have now, in the transaction that
 * makes a key a pinned one, or that brings a pinned key into being. Their generation stays what it is: nothing moves.
 */
#include "configd/change_checks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

struct freeze {
    struct cfg_bench *bench;
    const struct cfg_closure *closure;
    const cJSON *pin_keys;
    cJSON *keys; /* new ones */
    cJSON *pin;  /* a copy of the pin, with their values; NULL: these have none */
    struct cfg_error *err;
    int rc;
};

static bool is_covered(const cJSON *keys, const char *path)
{
    const cJSON *key;
    cJSON_ArrayForEach(key, keys)
    {
        size_t n = strlen(key->valuestring);
        if (strncmp(path, key->valuestring, n) == 0 && (path[n] == '\0' || path[n] == '.' || path[n] == '['))
            return true;
    }
    return false;
}

static bool freeze_leaf(const char *path, const cJSON *value, void *arg)
{
    struct freeze *f = arg;
    enum cfg_apply class;
    if (is_covered(f->pin_keys, path) || is_covered(f->keys, path))
        return true;
    f->rc = cfg_checks_class(&class, f->bench, f->closure, path, f->err);
    if (f->rc != 0 || class != CFG_APPLY_PINNED)
        return f->rc == 0;
    if (!cJSON_AddItemToArray(f->keys, cJSON_CreateString(path)))
        f->rc = no_memory(f->err);
    else if (f->pin)
        f->rc = cfg_path_set(f->pin, path, cJSON_Duplicate(value, true), f->err);
    return f->rc == 0;
}

static int walk(struct freeze *f, const cJSON *document)
{
    if (f->rc == 0 && !cfg_path_each_leaf(document, freeze_leaf, f) && f->rc == 0)
        f->rc = no_memory(f->err);
    return f->rc;
}

/* The draft of the deployment's record; touched from now on. */
static int open_record(struct cfg_draft **out, struct cfg_bench *b, const struct cfg_concern *c, struct cfg_error *err)
{
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_DEPLOYMENT, c->deployment.name, NULL);
    int rc = cfg_bench_open(out, b, &id, err);
    if (rc != 0 || (*out)->touched)
        return rc;
    (*out)->touched = (*out)->frozen = true;
    return cfg_bench_guard_head(b, *out, err);
}

/* Consumes f->keys and f->pin. */
static int store(struct freeze *f, struct cfg_draft *d)
{
    char digest[CFG_DIGEST_TEXT];
    int n = cJSON_GetArraySize(f->keys);
    const char *first = f->keys->child->valuestring;
    (void)snprintf(d->hint, sizeof d->hint, "pinned by schema: %.100s%s; it keeps the values it has", first,
                   n > 1 ? " and others" : "");
    if (d->frozen)
        (void)snprintf(d->message, sizeof d->message, "pinned by schema");
    cJSON *keys = cfg_json_get(d->after, "pin_keys");
    while (f->keys->child)
        (void)cJSON_AddItemToArray(keys, cJSON_DetachItemViaPointer(f->keys, f->keys->child));
    if (cfg_digest_json(digest, f->pin) != 0)
        return no_memory(f->err);
    int rc = cfg_json_set(d->after, "pin", f->pin);
    f->pin = NULL;
    if (rc != 0 || cfg_json_set(d->after, "pin_digest", cJSON_CreateString(digest)) != 0)
        return no_memory(f->err);
    return 0;
}

static int freeze(bool *changed, struct cfg_bench *b, const struct cfg_concern *c, const struct cfg_view_documents *x,
                  const struct cfg_closure *closure, struct cfg_error *err)
{
    struct freeze f = {.bench = b, .closure = closure, .pin_keys = c->deployment.pin_keys, .err = err};
    const cJSON *now = c->created ? x->after : x->before;
    struct cfg_draft *d;
    f.keys = cJSON_CreateArray();
    f.pin = cJSON_Duplicate(c->deployment.pin, true);
    cJSON *pin = f.pin;
    if (f.keys == NULL || pin == NULL)
        f.rc = no_memory(err);
    if (now)
        (void)walk(&f, now);
    f.pin = NULL; /* a key that comes into being has no value yet: the deployment goes on without it */
    if (!c->created)
        (void)walk(&f, x->after);
    f.pin = pin;
    if (f.rc == 0 && f.keys->child) {
        f.rc = open_record(&d, b, c, err);
        f.rc = f.rc ? f.rc : store(&f, d);
        *changed = true;
    }
    cJSON_Delete(f.keys);
    cJSON_Delete(f.pin);
    return f.rc == 0 ? 0 : cfg_error_wrap(err, "deployment %s", c->deployment.name);
}

static int pins_anything(bool *out, struct cfg_bench *b, const struct cfg_closure *closure, struct cfg_error *err)
{
    *out = false;
    for (size_t i = 0; i < closure->n; i++) {
        const struct cfg_compiled *s;
        int rc = cfg_checks_schema(&s, b, closure->items[i].ns, err);
        if (rc != 0)
            return rc;
        *out = *out || (s && s->has_pinned);
    }
    return 0;
}

int cfg_pins_freeze(bool *changed, struct cfg_bench *b, const struct cfg_concern *c, const struct cfg_view_documents *x,
                    struct cfg_error *err)
{
    struct cfg_closure closure;
    bool any = false;
    int rc = cfg_spaces_closure(&closure, b, c->deployment.config, true, err);
    if (rc != 0)
        return rc;
    rc = pins_anything(&any, b, &closure, err);
    if (rc == 0 && any)
        rc = freeze(changed, b, c, x, &closure, err);
    cfg_closure_finish(&closure);
    return rc;
}
