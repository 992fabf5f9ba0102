/* Walks over whole documents by dotted path, and the nearest name to a mistyped one. */
#include "proto/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool key_is_plain(const char *key)
{
    return key[0] != '\0' && strpbrk(key, "./[]=") == NULL;
}

/* Appends a child's part to the path of its parent. */
static void push(struct cfg_buf *path, const cJSON *child, size_t index)
{
    if (child->string == NULL)
        cfg_buf_printf(path, "[%zu]", index);
    else
        cfg_buf_printf(path, "%s%s", path->len ? "." : "", child->string);
}

static void pop(struct cfg_buf *path, size_t length)
{
    path->len = length;
    if (path->data)
        path->data[length] = '\0';
}

static int check_member(struct cfg_buf *path, const cJSON *v, struct cfg_error *err)
{
    if (v->string && !key_is_plain(v->string)) {
        cfg_fail(err, CFG_E_VALUE,
                 "the key \"%.80s\"%s%.120s is not allowed: keys are not empty and hold none of . / [ ] =", v->string,
                 path->len ? " in " : "", path->len ? path->data : "");
        cfg_error_set_path(err, "%.100s%s%.50s", path->len ? path->data : "", path->len ? "." : "", v->string);
        return CFG_E_VALUE;
    }
    return 0;
}

static int check_tree(struct cfg_buf *path, const cJSON *v, struct cfg_error *err)
{
    size_t index = 0, length = path->len;
    for (const cJSON *child = v->child; child; child = child->next) {
        int code = check_member(path, child, err);
        if (code)
            return code;
        push(path, child, index++);
        if (cfg_buf_status(path) == CFG_E_LIMIT) {
            cfg_fail(err, CFG_E_VALUE, "the path %.80s… has more than %d bytes", path->data ? path->data : "",
                     CFG_LIMIT_PATH);
            cfg_error_set_path(err, "%.120s", path->data ? path->data : "");
            return CFG_E_VALUE;
        }
        if (cfg_buf_status(path))
            return cfg_fail(err, CFG_E_NOMEM, "out of memory");
        code = check_tree(path, child, err);
        if (code)
            return code;
        pop(path, length);
    }
    return 0;
}

int cfg_path_check_document(const cJSON *doc, struct cfg_error *err)
{
    if (!cJSON_IsObject(doc))
        return cfg_fail(err, CFG_E_VALUE, "a document must be a JSON object, not a value of type %s",
                        cfg_json_type(doc));
    struct cfg_buf path;
    cfg_buf_init(&path, CFG_LIMIT_PATH);
    int code = check_tree(&path, doc, err);
    cfg_buf_finish(&path);
    return code;
}

static bool each_leaf(struct cfg_buf *path, const cJSON *object, cfg_path_leaf_fn fn, void *arg)
{
    size_t length = path->len;
    for (const cJSON *m = object->child; m; m = m->next) {
        push(path, m, 0);
        if (cfg_buf_status(path))
            return false;
        bool go_on = cJSON_IsObject(m) && m->child ? each_leaf(path, m, fn, arg) : fn(path->data, m, arg);
        if (!go_on)
            return false;
        pop(path, length);
    }
    return true;
}

bool cfg_path_each_leaf(const cJSON *doc, cfg_path_leaf_fn fn, void *arg)
{
    if (!cJSON_IsObject(doc))
        return true;
    struct cfg_buf path;
    cfg_buf_init(&path, SIZE_MAX / 4);
    bool finished = each_leaf(&path, doc, fn, arg);
    cfg_buf_finish(&path);
    return finished;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

enum { NEAR_BYTES = 128 }; /* who mistypes a longer name can read it; the work is quadratic in it */

/* Optimal string alignment distance (insert, delete, replace, swap neighbours); lengths are at most NEAR_BYTES. */
static size_t edit_distance(const char *a, size_t n, const char *b, size_t m)
{
    size_t rows[3][NEAR_BYTES + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t k = 0; k <= m; k++)
        last[k] = k;
    for (size_t i = 1; i <= n; i++) {
        now[0] = i;
        for (size_t k = 1; k <= m; k++) {
            now[k] = least(least(last[k], now[k - 1]) + 1, last[k - 1] + (a[i - 1] != b[k - 1]));
            if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
                now[k] = least(now[k], before[k - 2] + 1);
        }
        size_t *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[m];
}

const char *cfg_near_miss(const char *name, const char *const *candidates, size_t n)
{
    size_t length = strlen(name), best = length / 3 + 1;
    const char *nearest = NULL;
    if (length > NEAR_BYTES)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        size_t other = strlen(candidates[i]);
        size_t apart = other > length ? other - length : length - other;
        if (other > NEAR_BYTES || apart >= best)
            continue;
        size_t distance = edit_distance(name, length, candidates[i], other);
        if (distance < best) {
            best = distance;
            nearest = candidates[i];
        }
    }
    return nearest;
}
