/* RFC 6902 and RFC 7396, by hand: Debian's libcjson comes without cJSON_Utils, and that one patches in place, so a
 * patch that fails half-way leaves half of it behind. Here a copy is patched and dropped when an operation fails.
 *
 * A patch is untrusted and small operations can be dear: `copy` doubles a document, `move` nests it ever deeper, and
 * each pointer searches an object by key. Every node visited is charged to one budget, every copied byte at COPY_COST,
 * and nothing may become nested deeper than MAX_DEPTH; beyond that the patch is refused with CFG_E_LIMIT. */
#include "proto/patch.h"
#include "proto/limits.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_DEPTH = 2 * CFG_LIMIT_DEPTH, /* a document may lie inside a view */
    BUDGET = 1 << 24,
    COPY_COST = BUDGET / CFG_LIMIT_BODY, /* so copies add at most what a request's body could have held */
};

struct patcher {
    cJSON *root;
    long budget;
    struct cfg_buf token; /* the pointer's token in hand, unescaped */
    int code;             /* of a failure that is not the patch's own fault (CFG_E_PATCH), else 0 */
};

/* Where a pointer leads. The root has no parent; a missing member or the place behind a list has no child. */
struct target {
    cJSON *parent, *child;
    size_t depth;
};

static const char *out_of(struct patcher *p, int code, const char *why)
{
    p->code = code;
    return why;
}

static const char *charge(struct patcher *p, long cost)
{
    p->budget -= cost;
    return p->budget < 0 ? out_of(p, CFG_E_LIMIT, "the patch costs too much; send the whole document instead") : NULL;
}

/* --- pointers (RFC 6901) --- */

/* Reads the token behind the '/' at *s into p->token. */
static const char *next_token(struct patcher *p, const char **s)
{
    const char *c = *s + 1;
    cfg_buf_clear(&p->token);
    for (; *c && *c != '/'; c++) {
        if (*c == '~' && c[1] != '0' && c[1] != '1')
            return "~ in a pointer must be followed by 0 or 1";
        if (*c == '~')
            cfg_buf_putc(&p->token, *++c == '0' ? '~' : '/');
        else
            cfg_buf_putc(&p->token, *c);
    }
    *s = c;
    cfg_buf_put(&p->token, "", 0); /* an empty token is a string, too */
    return cfg_buf_status(&p->token) ? out_of(p, CFG_E_NOMEM, "out of memory") : NULL;
}

/* "0", or digits without a leading zero; −1 for anything else. Beyond any list's length it saturates. */
static int token_index(const char *token)
{
    int index = 0;
    if (token[0] == '\0' || (token[0] == '0' && token[1] != '\0'))
        return -1;
    for (; *token; token++) {
        if (*token < '0' || *token > '9')
            return -1;
        if (index < 100000000)
            index = index * 10 + (*token - '0');
    }
    return index;
}

static const char *step_into_list(struct patcher *p, struct target *t, const cJSON *list)
{
    bool past_end = strcmp(p->token.data, "-") == 0;
    int wanted = past_end ? -1 : token_index(p->token.data), i = 0;
    if (!past_end && wanted < 0)
        return "a list is indexed by 0, 1, 2, … or -";
    cJSON *item = list->child;
    while (item && i != wanted) {
        item = item->next;
        i++;
    }
    if (item == NULL && !past_end && i != wanted)
        return "the index is beyond the list";
    t->child = item;
    return charge(p, i + 1);
}

static const char *step_into_object(struct patcher *p, struct target *t, const cJSON *object)
{
    long visited = 1;
    cJSON *member = object->child;
    for (; member && strcmp(member->string, p->token.data) != 0; visited++)
        member = member->next;
    t->child = member;
    return charge(p, visited);
}

static const char *step(struct patcher *p, struct target *t, const char **s)
{
    const char *why = next_token(p, s);
    if (why)
        return why;
    cJSON *v = t->child;
    t->parent = v;
    if (v == NULL)
        return "a parent of the target does not exist";
    if (++t->depth > MAX_DEPTH)
        return out_of(p, CFG_E_LIMIT, "nested too deeply");
    if (cJSON_IsArray(v))
        return step_into_list(p, t, v);
    if (cJSON_IsObject(v))
        return step_into_object(p, t, v);
    return "a parent of the target is a single value";
}

/* Follows a pointer; p->token holds its last token afterwards. */
static const char *find(struct patcher *p, struct target *t, const char *pointer)
{
    *t = (struct target){.child = p->root};
    if (*pointer && *pointer != '/')
        return "a pointer is empty or begins with /";
    while (*pointer) {
        const char *why = step(p, t, &pointer);
        if (why)
            return why;
    }
    return NULL;
}

static const char *find_existing(struct patcher *p, struct target *t, const char *pointer)
{
    const char *why = find(p, t, pointer);
    return why || t->child ? why : "the target does not exist";
}

/* --- changes --- */

/* Charges for every node of v and checks how deep it would reach, `depth` levels down. */
static const char *weigh(struct patcher *p, const cJSON *v, size_t depth, bool copied)
{
    long bytes = 1;
    if (copied)
        bytes += (long)((v->string ? strlen(v->string) : 0) + (v->valuestring ? strlen(v->valuestring) : 0));
    const char *why = charge(p, copied ? bytes * COPY_COST : 1);
    if (depth > MAX_DEPTH && !why)
        why = out_of(p, CFG_E_LIMIT, "nested too deeply");
    for (const cJSON *child = v->child; child && !why; child = child->next)
        why = weigh(p, child, depth + 1, copied);
    return why;
}

/* Takes v out of the tree; the root leaves nothing behind. */
static cJSON *detach(struct patcher *p, const struct target *t)
{
    if (t->parent)
        return cJSON_DetachItemViaPointer(t->parent, t->child);
    p->root = NULL;
    return t->child;
}

/* Links v into a list in front of `next`, or at its end. By hand because cJSON_InsertItemInArray of Debian 12 (1.7.15
 * with the first fix of CVE-2023-50471) refuses every place but the two ends. In cJSON the first item's prev is the
 * last item. */
static void link_item(cJSON *list, cJSON *next, cJSON *v)
{
    if (next == NULL) {
        (void)cJSON_AddItemToArray(list, v); /* fails on NULL arguments only */
        return;
    }
    v->next = next;
    v->prev = next->prev;
    if (list->child == next)
        list->child = v;
    else
        next->prev->next = v;
    next->prev = v;
}

/* Adds v, which is consumed, at the pointer. */
static const char *add_at(struct patcher *p, const char *pointer, cJSON *v)
{
    struct target t;
    const char *why = find(p, &t, pointer);
    if (!why)
        why = weigh(p, v, t.depth, false);
    if (why) {
        cJSON_Delete(v);
        return why;
    }
    if (t.parent && cJSON_IsObject(t.parent))
        return cfg_json_set(t.parent, p->token.data, v) ? out_of(p, CFG_E_NOMEM, "out of memory") : NULL;
    cfg_json_forget_key(v);
    if (t.parent) {
        link_item(t.parent, t.child, v);
    } else {
        cJSON_Delete(p->root);
        p->root = v;
    }
    return NULL;
}

static const char *put_copy(struct patcher *p, const char *pointer, const cJSON *v)
{
    cJSON *copy = cJSON_Duplicate(v, true);
    return copy ? add_at(p, pointer, copy) : out_of(p, CFG_E_NOMEM, "out of memory");
}

static const char *do_remove(struct patcher *p, const char *pointer)
{
    struct target t;
    const char *why = find_existing(p, &t, pointer);
    if (why)
        return why;
    if (t.parent == NULL)
        return "the whole document cannot be removed";
    cJSON_Delete(detach(p, &t));
    return NULL;
}

static const char *do_replace(struct patcher *p, const char *pointer, const cJSON *value)
{
    struct target t;
    const char *why = find_existing(p, &t, pointer);
    if (why)
        return why;
    if (t.parent && cJSON_IsArray(t.parent))
        cJSON_Delete(detach(p, &t)); /* add_at inserts where the old item was; in objects and at the root it replaces */
    return put_copy(p, pointer, value);
}

static const char *do_move(struct patcher *p, const char *from, const char *pointer)
{
    struct target t;
    size_t n = strlen(from);
    const char *why = find_existing(p, &t, from);
    if (why || strcmp(from, pointer) == 0)
        return why;
    if (strncmp(pointer, from, n) == 0 && pointer[n] == '/')
        return "a value cannot be moved into itself";
    return add_at(p, pointer, detach(p, &t));
}

static const char *do_copy(struct patcher *p, const char *from, const char *pointer)
{
    struct target t;
    const char *why = find_existing(p, &t, from);
    if (!why)
        why = weigh(p, t.child, 0, true);
    return why ? why : put_copy(p, pointer, t.child);
}

static const char *do_test(struct patcher *p, const char *pointer, const cJSON *value)
{
    struct target t;
    const char *why = find_existing(p, &t, pointer);
    if (why)
        return why;
    return cfg_json_equal(t.child, value) ? NULL : "the value is another one than the test expects";
}

static const char *run_operation(struct patcher *p, const cJSON *operation)
{
    const char *op = cfg_json_get_str(operation, "op", NULL), *path = cfg_json_get_str(operation, "path", NULL);
    const char *from = cfg_json_get_str(operation, "from", NULL);
    const cJSON *value = cfg_json_get(operation, "value");
    if (!cJSON_IsObject(operation))
        return "an operation must be an object";
    if (op == NULL)
        return "\"op\" is missing or no string";
    if (path == NULL)
        return "\"path\" is missing or no string";
    bool is_add = strcmp(op, "add") == 0, is_replace = strcmp(op, "replace") == 0, is_test = strcmp(op, "test") == 0;
    bool is_move = strcmp(op, "move") == 0, is_copy = strcmp(op, "copy") == 0;
    if (strcmp(op, "remove") == 0)
        return do_remove(p, path);
    if ((is_add || is_replace || is_test) && value == NULL)
        return "\"value\" is missing";
    if ((is_move || is_copy) && from == NULL)
        return "\"from\" is missing or no string";
    if (is_add)
        return put_copy(p, path, value);
    if (is_replace)
        return do_replace(p, path, value);
    if (is_test)
        return do_test(p, path, value);
    if (is_move)
        return do_move(p, from, path);
    if (is_copy)
        return do_copy(p, from, path);
    return "unknown \"op\"; it is one of add, remove, replace, move, copy, test";
}

static int fail_operation(struct cfg_error *err, int code, size_t index, const cJSON *operation, const char *why)
{
    const char *path = cfg_json_get_str(operation, "path", "");
    cfg_fail(err, code, "patch[%zu] %.20s %.120s: %s", index, cfg_json_get_str(operation, "op", "?"), path, why);
    cfg_error_set_path(err, "%.150s", path);
    return code;
}

int cfg_patch_apply(cJSON **out, const cJSON *doc, const cJSON *patch, struct cfg_error *err)
{
    if (!cJSON_IsArray(patch))
        return cfg_fail(err, CFG_E_PATCH, "a JSON patch must be an array of operations, not a value of type %s",
                        cfg_json_type(patch));
    struct patcher p = {.root = cJSON_Duplicate(doc, true), .budget = BUDGET};
    if (p.root == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    cfg_json_forget_key(p.root);
    cfg_buf_init(&p.token, SIZE_MAX / 4); /* a token is no longer than its pointer */
    size_t index = 0;
    for (const cJSON *operation = patch->child; operation && p.code == 0; operation = operation->next) {
        const char *why = run_operation(&p, operation);
        if (why)
            p.code = fail_operation(err, p.code ? p.code : CFG_E_PATCH, index, operation, why);
        index++;
    }
    cfg_buf_finish(&p.token);
    if (p.code)
        cJSON_Delete(p.root);
    else
        *out = p.root;
    return p.code;
}
