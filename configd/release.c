#include "configd/release_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char pin_layer[] = "the pin";

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

/* Anything that merging or resolving looks at? */
static bool has_marks(const cJSON *v)
{
    if (cJSON_IsString(v))
        return strstr(v->valuestring, "${") != NULL || strcmp(v->valuestring, "???") == 0;
    if (!cJSON_IsObject(v) && !cJSON_IsArray(v))
        return false;
    for (const cJSON *c = v->child; c; c = c->next)
        if (has_marks(c))
            return true;
    return false;
}

bool cfg_release_is_plain(const struct cfg_closure *c)
{
    return c->n == 0 || (c->n == 1 && !has_marks(cfg_json_get(c->items[0].body, "document")));
}

/* --- the pin --- */

/* Removes path and every object on the way to it that becomes empty by that. */
static int remove_pruned(cJSON *doc, const char *path, struct cfg_error *err)
{
    char at[CFG_LIMIT_PATH + 1];
    if (cfg_path_get(doc, path) == NULL)
        return 0;
    if ((size_t)snprintf(at, sizeof at, "%s", path) >= sizeof at)
        return cfg_fail(err, CFG_E_ADDRESS, "the pinned path is longer than %d bytes", CFG_LIMIT_PATH);
    for (;;) {
        int rc = cfg_path_remove(doc, at, err);
        char *dot = strrchr(at, '.');
        if (rc != 0 || dot == NULL)
            return rc;
        *dot = '\0';
        const cJSON *parent = cfg_path_get(doc, at);
        if (!cJSON_IsObject(parent) || parent->child != NULL)
            return 0;
    }
}

int cfg_release_cut(cJSON *doc, const cJSON *pin_keys, struct cfg_error *err)
{
    const cJSON *key;
    cJSON_ArrayForEach(key, pin_keys)
    {
        int rc = cJSON_IsString(key) ? remove_pruned(doc, key->valuestring, err) : 0;
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* The text that resolves to `text`: a pin's values are results already. An odd number of backslashes in front of ${
 * takes its meaning away. What was left to the reader's environment stays that. */
static char *escaped(const char *text)
{
    struct cfg_buf out;
    cfg_buf_init(&out, 4 * CFG_LIMIT_DOCUMENT);
    size_t slashes = 0;
    for (const char *p = text; *p; p++) {
        if (p[0] == '$' && p[1] == '{')
            for (size_t i = 0; i < slashes + 1; i++)
                cfg_buf_putc(&out, '\\');
        slashes = *p == '\\' ? slashes + 1 : 0;
        cfg_buf_putc(&out, *p);
    }
    char *copy = cfg_buf_status(&out) == 0 ? cfg_slice_dup(cfg_buf_slice(&out)) : NULL;
    cfg_buf_finish(&out);
    return copy;
}

static bool escape_tree(cJSON *v)
{
    if (cJSON_IsString(v) && strstr(v->valuestring, "${") && !strstr(v->valuestring, "${oc.env:")) {
        char *text = escaped(v->valuestring);
        bool ok = text && cJSON_SetValuestring(v, text);
        free(text);
        return ok;
    }
    for (cJSON *c = cJSON_IsString(v) ? NULL : v->child; c; c = c->next)
        if (!escape_tree(c))
            return false;
    return true;
}

/* --- merging --- */

void cfg_release_layers_finish(struct cfg_release_layers *l)
{
    for (size_t i = 0; i < l->n; i++)
        cJSON_Delete(l->owned[i]);
}

static bool has_pinned(const cJSON *doc, const cJSON *pin_keys)
{
    const cJSON *key;
    cJSON_ArrayForEach(key, pin_keys)
    {
        if (cJSON_IsString(key) && cfg_path_get(doc, key->valuestring))
            return true;
    }
    return false;
}

/* What lies below a pinned key has no say, whatever the layer. */
int cfg_release_add_layer(struct cfg_release_layers *l, const struct cfg_closure_item *item, const cJSON *pin_keys,
                          struct cfg_error *err)
{
    const cJSON *doc = cfg_json_get(item->body, "document");
    if (has_pinned(doc, pin_keys)) {
        cJSON *copy = cJSON_Duplicate(doc, true);
        if (copy == NULL)
            return no_memory(err);
        l->owned[l->n] = copy;
        doc = copy;
    }
    l->items[l->n] = (struct cfg_layer){item->ns, doc};
    cJSON *copy = l->owned[l->n++];
    return copy ? cfg_release_cut(copy, pin_keys, err) : 0;
}

int cfg_release_add_pin(struct cfg_release_layers *l, const cJSON *values, struct cfg_error *err)
{
    if (values == NULL || values->child == NULL)
        return 0;
    cJSON *pin = cJSON_Duplicate(values, true);
    if (pin == NULL)
        return no_memory(err);
    l->owned[l->n] = pin;
    l->items[l->n++] = (struct cfg_layer){pin_layer, pin};
    return escape_tree(pin) ? 0 : no_memory(err);
}

static int gather(struct cfg_release_layers *l, const struct cfg_closure *c, const struct cfg_release_options *o,
                  struct cfg_error *err)
{
    int rc = 0;
    for (size_t i = 0; i < c->n && rc == 0; i++)
        rc = cfg_release_add_layer(l, &c->items[i], o->pin_keys, err);
    return rc ? rc : cfg_release_add_pin(l, o->pin, err);
}

/* The name of the layer that says that a value is missing. */
static const char *layer_of(struct cfg_layers *merged, const struct cfg_release_layers *l, const char *path)
{
    cJSON *why = NULL;
    if (cfg_layers_explain(&why, merged, path, NULL) != 0)
        return "";
    double i = cfg_json_get_num(why, "layer", -1);
    cJSON_Delete(why);
    return i >= 0 && i < (double)l->n ? l->items[(size_t)i].name : "";
}

static int check_missing(struct cfg_layers *merged, const struct cfg_release_layers *l, const char *ns,
                         struct cfg_error *err)
{
    cJSON *paths = cJSON_CreateArray();
    int rc = paths ? cfg_layers_missing(paths, merged, err) : no_memory(err);
    int n = cJSON_GetArraySize(paths);
    if (rc == 0 && n > 0) {
        const char *path = paths->child->valuestring, *layer = layer_of(merged, l, path);
        char more[48] = "";
        if (n > 1)
            (void)snprintf(more, sizeof more, " (and %d more)", n - 1);
        rc = cfg_fail(err, CFG_E_VALUE, "%s is required, but no layer sets it: %s says \"???\"%s", path,
                      layer[0] ? layer : ns, more);
        cfg_error_set_path(err, "%s", path);
        cfg_error_set_hint(err, "cfgctl set %s/%s=VALUE", ns, path);
    }
    cJSON_Delete(paths);
    return rc;
}

static int list_missing(cJSON *failures, struct cfg_layers *merged, const struct cfg_release_layers *l, const char *ns)
{
    cJSON *paths = failures ? cJSON_CreateArray() : NULL;
    int rc = failures == NULL ? 0 : paths ? cfg_layers_missing(paths, merged, NULL) : CFG_E_NOMEM;
    const cJSON *path;
    cJSON_ArrayForEach(path, paths)
    {
        const char *layer = layer_of(merged, l, path->valuestring);
        cJSON *entry = cJSON_CreateObject();
        if (rc == 0 && (!cJSON_AddStringToObject(entry, "path", path->valuestring) ||
                        !cJSON_AddStringToObject(entry, "layer", layer[0] ? layer : ns) ||
                        !cJSON_AddStringToObject(entry, "code", "missing") ||
                        !cJSON_AddStringToObject(entry, "message", "it is required, but no layer sets it")))
            rc = CFG_E_NOMEM;
        if (rc != 0 || !cJSON_AddItemToArray(failures, entry)) {
            cJSON_Delete(entry);
            rc = CFG_E_NOMEM;
        }
    }
    cJSON_Delete(paths);
    return rc;
}

static int finish(cJSON **out, cJSON *kept, struct cfg_layers *merged, const struct cfg_release_layers *l,
                  const char *ns, const struct cfg_release_options *o, struct cfg_error *err)
{
    cJSON *doc = NULL;
    int rc = o->incomplete ? list_missing(o->failures, merged, l, ns) : check_missing(merged, l, ns, err);
    if (rc == CFG_E_NOMEM)
        return no_memory(err);
    rc = rc ? rc : cfg_layers_resolve(&doc, merged, err);
    if (rc == 0 && kept)
        rc = cfg_layers_kept(kept, merged, err);
    if (rc == 0)
        *out = doc;
    else
        cJSON_Delete(doc);
    return rc;
}

/* Objects merge, everything else of `over` replaces. */
static bool lay_over(cJSON *doc, const cJSON *over)
{
    for (const cJSON *m = over->child; m; m = m->next) {
        cJSON *is = cfg_json_get(doc, m->string);
        if (cJSON_IsObject(is) && cJSON_IsObject(m)) {
            if (!lay_over(is, m))
                return false;
        } else if (cfg_json_set(doc, m->string, cJSON_Duplicate(m, true)) != 0) {
            return false;
        }
    }
    return true;
}

static int resolve_plain(cJSON **out, const struct cfg_closure *c, const struct cfg_release_options *o,
                         struct cfg_error *err)
{
    cJSON *doc = c->n > 0 ? cJSON_Duplicate(cfg_json_get(c->items[0].body, "document"), true) : cJSON_CreateObject();
    int rc = doc ? cfg_release_cut(doc, o->pin_keys, err) : no_memory(err);
    if (rc == 0 && o->pin && !lay_over(doc, o->pin))
        rc = no_memory(err);
    if (rc == 0)
        *out = doc;
    else
        cJSON_Delete(doc);
    return rc;
}

int cfg_release_resolve(cJSON **out, cJSON *kept, const struct cfg_closure *c, const struct cfg_release_options *o,
                        struct cfg_error *err)
{
    struct cfg_release_layers l = {.n = 0};
    struct cfg_layers *merged = NULL;
    if (cfg_release_is_plain(c))
        return resolve_plain(out, c, o, err);
    if (kept == NULL && cfg_release_resolve_over(out, c, o))
        return 0;
    cJSON *unheard = o->incomplete && o->failures == NULL ? cJSON_CreateArray() : NULL;
    struct cfg_layers_options options = {.env_mode = CFG_LAYERS_ENV_KEEP};
    options.failures = o->incomplete && o->failures ? o->failures : unheard;
    int rc = o->incomplete && options.failures == NULL ? no_memory(err) : gather(&l, c, o, err);
    if (rc == 0)
        rc = cfg_layers_merge(&merged, l.items, l.n, &options, err);
    if (rc == 0)
        rc = finish(out, kept, merged, &l, c->n > 0 ? c->items[c->n - 1].ns : "", o, err);
    cfg_layers_free(merged);
    cJSON_Delete(unheard);
    cfg_release_layers_finish(&l);
    return rc;
}

int cfg_release_merge(cJSON **out, const struct cfg_closure *c, struct cfg_error *err)
{
    struct cfg_release_layers l = {.n = 0};
    struct cfg_layers *merged = NULL;
    const struct cfg_release_options none = {.pin = NULL};
    int rc = gather(&l, c, &none, err);
    if (rc == 0)
        rc = cfg_layers_merge(&merged, l.items, l.n, NULL, err);
    if (rc == 0)
        rc = cfg_layers_document(out, merged, err);
    cfg_layers_free(merged);
    cfg_release_layers_finish(&l);
    return rc;
}

static cJSON *layer_names(const struct cfg_release_layers *l)
{
    cJSON *names = cJSON_CreateArray();
    for (size_t i = 0; names && i < l->n; i++) {
        if (!cJSON_AddItemToArray(names, cJSON_CreateString(l->items[i].name))) {
            cJSON_Delete(names);
            return NULL;
        }
    }
    return names;
}

int cfg_release_explain(cJSON **out, const struct cfg_closure *c, const struct cfg_release_options *o, const char *path,
                        struct cfg_error *err)
{
    struct cfg_release_layers l = {.n = 0};
    struct cfg_layers *merged = NULL;
    struct cfg_layers_options options = {.env_mode = CFG_LAYERS_ENV_KEEP, .failures = cJSON_CreateArray()};
    cJSON *why = NULL;
    int rc = options.failures ? gather(&l, c, o, err) : no_memory(err);
    if (rc == 0)
        rc = cfg_layers_merge(&merged, l.items, l.n, &options, err);
    if (rc == 0)
        rc = cfg_layers_explain(&why, merged, path, err);
    if (rc == 0 && cfg_json_set(why, "layers", layer_names(&l)) != 0)
        rc = no_memory(err);
    if (rc == 0)
        *out = why;
    else
        cJSON_Delete(why);
    cfg_layers_free(merged);
    cJSON_Delete(options.failures);
    cfg_release_layers_finish(&l);
    return rc;
}
