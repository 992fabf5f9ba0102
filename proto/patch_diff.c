/* The difference of two trees: as an RFC 6902 patch, or for people. One walk, two ways to write what it finds.
 *
 * Objects are compared member by member in sorted order. Arrays keep their equal beginning and end; what lies between
 * is changed item by item, then the surplus is removed (from behind, so that indices stay true) or added. */
#include "proto/patch.h"

#include <stdlib.h>
#include <string.h>

struct differ {
    cJSON *out;
    struct cfg_buf path; /* of the place in hand: a JSON pointer, or dotted */
    bool dotted;
    bool failed; /* memory is out */
};

static void diff_values(struct differ *d, const cJSON *a, const cJSON *b);

/* --- writing --- */

static void push_key(struct differ *d, const char *key)
{
    if (d->dotted) {
        cfg_buf_printf(&d->path, "%s%s", d->path.len ? "." : "", key);
        return;
    }
    cfg_buf_putc(&d->path, '/');
    for (; *key; key++) {
        if (*key == '~' || *key == '/')
            cfg_buf_puts(&d->path, *key == '~' ? "~0" : "~1");
        else
            cfg_buf_putc(&d->path, *key);
    }
}

static void push_index(struct differ *d, size_t index)
{
    cfg_buf_printf(&d->path, d->dotted ? "[%zu]" : "/%zu", index);
}

static void pop(struct differ *d, size_t length)
{
    if (d->path.data == NULL)
        return;
    d->path.len = length;
    d->path.data[length] = '\0';
}

static void set(struct differ *d, cJSON *entry, const char *key, cJSON *value)
{
    if (cfg_json_set(entry, key, value))
        d->failed = true;
}

/* One finding; `from` and `to` are NULL where there is none. */
static void emit(struct differ *d, const cJSON *from, const cJSON *to)
{
    cJSON *entry = cJSON_CreateObject();
    if (entry == NULL || cfg_buf_status(&d->path)) {
        cJSON_Delete(entry);
        d->failed = true;
        return;
    }
    (void)cJSON_AddItemToArray(d->out, entry); /* fails on NULL arguments only */
    set(d, entry, "op", cJSON_CreateString(from == NULL ? "add" : to == NULL ? "remove" : "replace"));
    set(d, entry, "path", cJSON_CreateString(d->path.data ? d->path.data : ""));
    if (d->dotted && from)
        set(d, entry, "from", cJSON_Duplicate(from, true));
    if (to)
        set(d, entry, d->dotted ? "to" : "value", cJSON_Duplicate(to, true));
}

/* --- comparing --- */

static void diff_member(struct differ *d, const cJSON *from, const cJSON *to)
{
    size_t length = d->path.len;
    if (from && to && cfg_json_equal(from, to)) /* mostly, and in the same order: nothing to sort below */
        return;
    push_key(d, from ? from->string : to->string);
    if (from && to)
        diff_values(d, from, to);
    else
        emit(d, from, to);
    pop(d, length);
}

static void diff_objects(struct differ *d, const cJSON *a, const cJSON *b)
{
    const cJSON **left = NULL, **right = NULL;
    size_t n_left = 0, n_right = 0, i = 0, k = 0;
    if (cfg_json_sorted(&left, &n_left, a) || cfg_json_sorted(&right, &n_right, b))
        d->failed = true;
    while (!d->failed && (i < n_left || k < n_right)) {
        int order = i == n_left ? 1 : k == n_right ? -1 : cfg_json_key_cmp(left[i]->string, right[k]->string);
        diff_member(d, order <= 0 ? left[i] : NULL, order >= 0 ? right[k] : NULL);
        i += order <= 0;
        k += order >= 0;
    }
    free(left);
    free(right);
}

static void diff_item(struct differ *d, size_t index, const cJSON *from, const cJSON *to)
{
    size_t length = d->path.len;
    push_index(d, index);
    if (from && to)
        diff_values(d, from, to);
    else
        emit(d, from, to);
    pop(d, length);
}

/* How many items at the end are equal, at most `most`. An item's prev leads to the one before it, the first one's to
 * the last. */
static size_t equal_end(const cJSON *a, const cJSON *b, size_t most)
{
    size_t n = 0;
    const cJSON *x = a->child ? a->child->prev : NULL, *y = b->child ? b->child->prev : NULL;
    while (n < most && cfg_json_equal(x, y)) {
        n++;
        x = x->prev;
        y = y->prev;
    }
    return n;
}

static void diff_arrays(struct differ *d, const cJSON *a, const cJSON *b)
{
    size_t n_a = (size_t)cJSON_GetArraySize(a), n_b = (size_t)cJSON_GetArraySize(b), index = 0;
    const cJSON *x = a->child, *y = b->child;
    for (; x && y && cfg_json_equal(x, y); x = x->next, y = y->next)
        index++;
    size_t end = equal_end(a, b, (n_a < n_b ? n_a : n_b) - index);
    size_t stop_a = n_a - end, stop_b = n_b - end;
    for (; index < stop_a && index < stop_b && !d->failed; x = x->next, y = y->next)
        diff_item(d, index++, x, y);
    for (; index < stop_b && !d->failed; y = y->next)
        diff_item(d, index++, NULL, y);
    if (index >= stop_a)
        return;
    const cJSON *last = x; /* of the surplus, found once and then walked backwards */
    for (size_t i = index + 1; i < stop_a; i++)
        last = last->next;
    for (size_t i = stop_a; i > index && !d->failed; last = last->prev)
        diff_item(d, --i, last, NULL);
}

static void diff_values(struct differ *d, const cJSON *a, const cJSON *b)
{
    if (cJSON_IsObject(a) && cJSON_IsObject(b))
        diff_objects(d, a, b);
    else if (cJSON_IsArray(a) && cJSON_IsArray(b))
        diff_arrays(d, a, b);
    else if (!cfg_json_equal(a, b))
        emit(d, a, b);
}

static cJSON *diff(const cJSON *a, const cJSON *b, bool dotted)
{
    struct differ d = {.out = cJSON_CreateArray(), .dotted = dotted};
    if (d.out == NULL)
        return NULL;
    cfg_buf_init(&d.path, SIZE_MAX / 4); /* the trees bound it */
    diff_values(&d, a, b);
    cfg_buf_finish(&d.path);
    if (d.failed) {
        cJSON_Delete(d.out);
        d.out = NULL;
    }
    return d.out;
}

cJSON *cfg_patch_diff(const cJSON *a, const cJSON *b)
{
    return diff(a, b, false);
}

cJSON *cfg_patch_describe(const cJSON *a, const cJSON *b)
{
    return diff(a, b, true);
}
