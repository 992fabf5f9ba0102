#include "client/cfgctl/promote.h"
#include "proto/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

/* --- keys --- */

/* Is `path` the key or below it? */
static bool is_under(const char *path, const char *key)
{
    size_t n = strlen(key);
    return strncmp(path, key, n) == 0 && (path[n] == '\0' || path[n] == '.' || path[n] == '[');
}

static bool is_excepted(const struct promote *p, const char *path)
{
    const cJSON *key;
    cJSON_ArrayForEach(key, p->except)
    {
        if (is_under(path, key->valuestring))
            return true;
    }
    return false;
}

struct names {
    char **paths; /* owned */
    size_t n, cap;
};

static bool add_name(struct names *names, const char *path, size_t len)
{
    if (names->n > 0 && strlen(names->paths[names->n - 1]) == len &&
        strncmp(names->paths[names->n - 1], path, len) == 0)
        return true;
    if (names->n == names->cap) {
        size_t cap = names->cap ? names->cap * 2 : 64;
        char **grown = realloc(names->paths, cap * sizeof *grown);
        if (grown == NULL)
            return false;
        names->paths = grown;
        names->cap = cap;
    }
    names->paths[names->n] = strndup(path, len);
    return names->paths[names->n] && ++names->n;
}

/* A leaf and every object above it. */
static bool add_leaf(const char *path, const cJSON *value, void *arg)
{
    (void)value;
    for (const char *dot = strchr(path, '.'); dot; dot = strchr(dot + 1, '.'))
        if (!add_name(arg, path, (size_t)(dot - path)))
            return false;
    return add_name(arg, path, strlen(path));
}

static int unknown_key(const struct promote *p, const char *key, bool in_both, struct cfg_error *err)
{
    struct names names = {NULL, 0, 0};
    bool good = cfg_path_each_leaf(p->from, add_leaf, &names);
    if (good && in_both)
        good = cfg_path_each_leaf(p->to, add_leaf, &names);
    (void)cfg_fail(err, CFG_E_UNKNOWN_KEY, in_both ? "--except %s: neither namespace has it" : "the source has no %s",
                   key);
    cfg_error_set_path(err, "%s", key);
    const char *near = good ? cfg_near_miss(key, (const char *const *)names.paths, names.n) : NULL;
    if (near)
        cfg_error_set_hint(err, "did you mean %s?", near);
    for (size_t i = 0; i < names.n; i++)
        free(names.paths[i]);
    free(names.paths);
    return CFG_E_UNKNOWN_KEY;
}

static int check_keys(const struct promote *p, struct cfg_error *err)
{
    const cJSON *key;
    cJSON_ArrayForEach(key, p->keys)
    {
        int rc = cfg_path_check(cfg_slice_str(key->valuestring), err);
        if (rc != 0)
            return rc;
        bool there = cfg_path_get(p->from, key->valuestring) || (p->prune && cfg_path_get(p->to, key->valuestring));
        if (!there)
            return unknown_key(p, key->valuestring, false, err);
    }
    cJSON_ArrayForEach(key, p->except)
    {
        int rc = cfg_path_check(cfg_slice_str(key->valuestring), err);
        if (rc != 0)
            return rc;
        if (strchr(key->valuestring, '['))
            return cfg_fail(err, CFG_E_ADDRESS, "--except %s: a list moves whole or not at all", key->valuestring);
        if (!cfg_path_get(p->from, key->valuestring) && !cfg_path_get(p->to, key->valuestring))
            return unknown_key(p, key->valuestring, true, err);
    }
    return 0;
}

/* --- values --- */

struct walk {
    const struct promote *p;
    const char *key; /* "" for everything */
    cJSON *out;      /* the document in the making */
    int rc;
    struct cfg_error *err;
};

/* The path of a leaf below the key. */
static bool join(char full[CFG_LIMIT_PATH + 1], const struct walk *w, const char *leaf)
{
    const char *dot = w->key[0] && leaf[0] && leaf[0] != '[' ? "." : "";
    return snprintf(full, CFG_LIMIT_PATH + 1, "%s%s%s", w->key, dot, leaf) <= CFG_LIMIT_PATH;
}

static int refuse_type(const struct walk *w, const char *path, const cJSON *is, const cJSON *becomes)
{
    (void)cfg_fail(w->err, CFG_E_TYPE_CHANGE, "%s changes its JSON type, from %s to %s", path, cfg_json_type(is),
                   becomes ? cfg_json_type(becomes) : "object");
    cfg_error_set_path(w->err, "%s", path);
    cfg_error_set_hint(w->err, "--change-type if that is meant, --except %s to leave it", path);
    return CFG_E_TYPE_CHANGE;
}

/* Whatever stands in the way of a path: a value where the source has an object. */
static int clear_way(struct walk *w, const char *path)
{
    char above[CFG_LIMIT_PATH + 1];
    for (const char *dot = strchr(path, '.'); dot; dot = strchr(dot + 1, '.')) {
        (void)snprintf(above, sizeof above, "%.*s", (int)(dot - path), path);
        const cJSON *is = cfg_path_get(w->out, above);
        if (is == NULL || cJSON_IsObject(is))
            continue;
        if (!w->p->change_type)
            return refuse_type(w, above, is, NULL);
        return cfg_path_remove(w->out, above, w->err);
    }
    return 0;
}

static bool set_leaf(const char *leaf, const cJSON *value, void *arg)
{
    struct walk *w = arg;
    char path[CFG_LIMIT_PATH + 1];
    if (!join(path, w, leaf)) {
        w->rc = cfg_fail(w->err, CFG_E_LIMIT, "the path %.60s… is too long", path);
        return false;
    }
    if (is_excepted(w->p, path))
        return true;
    w->rc = clear_way(w, path);
    const cJSON *is = w->rc == 0 ? cfg_path_get(w->out, path) : NULL;
    bool same_type =
        is == NULL || cJSON_IsNull(is) || cJSON_IsNull(value) || strcmp(cfg_json_type(is), cfg_json_type(value)) == 0;
    if (w->rc == 0 && cJSON_IsObject(value) && cJSON_IsObject(is))
        return true; /* an empty object: what is below goes with --prune */
    if (w->rc == 0 && !same_type && !w->p->change_type)
        w->rc = refuse_type(w, path, is, value);
    if (w->rc == 0) {
        cJSON *copy = cJSON_Duplicate(value, true);
        cfg_json_forget_key(copy);
        w->rc = copy ? cfg_path_set(w->out, path, copy, w->err) : no_memory(w->err);
    }
    return w->rc == 0;
}

/* Removes a value and the objects above that it leaves empty, unless the source has them. */
static int remove_path(struct walk *w, const char *leaf)
{
    char path[CFG_LIMIT_PATH + 1];
    (void)snprintf(path, sizeof path, "%s", leaf);
    for (;;) {
        int rc = cfg_path_remove(w->out, path, w->err);
        char *dot = strrchr(path, '.');
        if (rc != 0 || dot == NULL)
            return rc;
        *dot = '\0';
        const cJSON *above = cfg_path_get(w->out, path);
        if (!cJSON_IsObject(above) || above->child || cfg_path_get(w->p->from, path))
            return 0;
    }
}

static bool prune_leaf(const char *leaf, const cJSON *value, void *arg)
{
    struct walk *w = arg;
    char path[CFG_LIMIT_PATH + 1];
    (void)value;
    if (!join(path, w, leaf) || is_excepted(w->p, path) || cfg_path_get(w->p->from, path) ||
        cfg_path_get(w->out, path) == NULL)
        return true;
    w->rc = remove_path(w, path);
    return w->rc == 0;
}

/* fn for every leaf of the value at the key. */
static int each(struct walk *w, const cJSON *document, cfg_path_leaf_fn fn)
{
    const cJSON *value = w->key[0] ? cfg_path_get(document, w->key) : document;
    bool complete = true;
    if (cJSON_IsObject(value) && value->child)
        complete = cfg_path_each_leaf(value, fn, w);
    else if (value && w->key[0])
        complete = fn("", value, w);
    return complete || w->rc != 0 ? w->rc : no_memory(w->err);
}

static int promote_key(struct walk *w, const char *key)
{
    w->key = key;
    int rc = each(w, w->p->from, set_leaf);
    return rc == 0 && w->p->prune ? each(w, w->p->to, prune_leaf) : rc;
}

int promote_values(cJSON **out, const struct promote *p, struct cfg_error *err)
{
    int rc = check_keys(p, err);
    if (rc != 0)
        return rc;
    const cJSON *key;
    struct walk w = {.p = p, .out = cJSON_Duplicate(p->to, true), .err = err};
    if (w.out == NULL)
        return no_memory(err);
    if (cJSON_GetArraySize(p->keys) == 0)
        rc = promote_key(&w, "");
    cJSON_ArrayForEach(key, p->keys)
    {
        rc = rc == 0 ? promote_key(&w, key->valuestring) : rc;
    }
    if (rc == 0)
        *out = w.out;
    else
        cJSON_Delete(w.out);
    return rc;
}
