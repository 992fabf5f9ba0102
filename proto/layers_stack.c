/* Layers laid on top of a merged set for a while, and what two sets differ in.
 *
 * A push writes into the tree that is there and notes how each node was; a pop puts that back. So a base under a
 * thousand namespaces is merged once, and each of them costs what it says itself. */
#include "proto/layers_internal.h"

#include <string.h>

static bool note(struct cfg_layers *l, const struct undo *entry)
{
    struct undo *u = cfg_arena_alloc(&l->arena, sizeof *u);
    if (u == NULL)
        return false;
    *u = *entry;
    u->older = l->undo;
    l->undo = u;
    return true;
}

bool layers_note(struct cfg_layers *l, struct node *v)
{
    if (v->born == l->push)
        return true;
    if (!note(l, &(struct undo){.at = v, .was = *v}))
        return false;
    v->born = l->push;
    return true;
}

bool layers_note_slot(struct cfg_layers *l, struct node **slot)
{
    return l->push == 0 || note(l, &(struct undo){.slot = slot});
}

void cfg_layers_pop(struct cfg_layers *l)
{
    if (l->push == 0)
        return;
    for (const struct undo *u = l->undo; u; u = u->older) {
        if (u->slot)
            *u->slot = NULL;
        else
            *u->at = u->was;
    }
    l->undo = NULL;
    l->push = 0;
    l->n = l->n_below;
    l->generation++; /* what was resolved lies in memory that is given back */
    cfg_arena_release(&l->arena, &l->below);
}

int cfg_layers_push(struct cfg_layers *l, const struct cfg_layer *layer, struct cfg_error *err)
{
    if (l->push == 0 && !l->parsed)
        layers_parse_ahead(l, l->root);
    l->parsed = true;
    if (l->push == 0) {
        l->below = cfg_arena_mark(&l->arena);
        l->n_below = l->n;
        l->push = ++l->pushes;
    }
    int code = l->n == l->n_below + LAYERS_MAX_PUSHED
                   ? cfg_fail(err, CFG_E_INVALID, "at most %d layers are pushed", LAYERS_MAX_PUSHED)
                   : 0;
    if (code == 0 && !cJSON_IsObject(layer->document) && !cJSON_IsArray(layer->document))
        code = cfg_fail(err, CFG_E_VALUE, "%.80s is neither an object nor a list", layer->name);
    if (code == 0) {
        l->layers[l->n] = *layer;
        layers_begin(l);
        code = layers_merge_one(l, l->n++, err);
        l->generation++;
    }
    if (code)
        cfg_layers_pop(l);
    return code;
}

void cfg_layers_set_failures(struct cfg_layers *l, cJSON *failures)
{
    l->options.failures = failures;
}

/* --- differences --- */

struct differ {
    struct cfg_layers *a, *b;
    struct cfg_error *err;
};

/* Consumes item; NULL is no failure. */
static int give(const struct differ *d, cJSON *into, const char *key, cJSON *item)
{
    if (item == NULL || cJSON_AddItemToObject(into, key, item))
        return 0;
    cJSON_Delete(item);
    return cfg_fail(d->err, CFG_E_NOMEM, "out of memory");
}

static int whole(cJSON **out, const struct differ *d, struct cfg_layers *l, struct node *v, unsigned depth)
{
    return layers_place_to_json(out, l, v, depth, d->err);
}

/* Scalars that stand for themselves, without making anything of them. */
static bool same_scalar(const struct node *a, const struct node *b)
{
    if (a->inter || b->inter || a->kind != b->kind)
        return false;
    switch ((enum node_kind)a->kind) {
    case NODE_NULL:
        return true;
    case NODE_BOOL:
        return a->boolean == b->boolean;
    case NODE_NUMBER:
        return !(a->number < b->number) && !(a->number > b->number);
    case NODE_STRING:
        return strcmp(a->text, b->text) == 0;
    case NODE_ARRAY:
        return a->src && a->src == b->src;
    case NODE_OBJECT:
        return false;
    }
    return false;
}

static int compare(const struct differ *d, cJSON *a, cJSON *b, struct node *x, struct node *y, unsigned depth);

/* Both members resolved; what is the same is dropped again. */
static int compare_values(const struct differ *d, cJSON *a, cJSON *b, struct node *x, struct node *y, unsigned depth)
{
    cJSON *before = NULL, *after = NULL;
    int code = whole(&after, d, d->b, y, depth);
    if (code == 0)
        code = whole(&before, d, d->a, x, depth);
    if (code == 0 && !cfg_json_equal(before, after)) {
        code = give(d, a, x->key, before);
        before = NULL;
        code = code ? code : give(d, b, y->key, after);
        after = NULL;
    }
    cJSON_Delete(before);
    cJSON_Delete(after);
    return code;
}

static int compare_objects(const struct differ *d, cJSON *a, cJSON *b, struct node *x, struct node *y, unsigned depth)
{
    cJSON *before = cJSON_CreateObject(), *after = cJSON_CreateObject();
    int code =
        before && after ? compare(d, before, after, x, y, depth) : cfg_fail(d->err, CFG_E_NOMEM, "out of memory");
    if (code == 0 && (before->child || after->child)) {
        code = give(d, a, x->key, before);
        before = NULL;
        code = code ? code : give(d, b, y->key, after);
        after = NULL;
    }
    cJSON_Delete(before);
    cJSON_Delete(after);
    return code;
}

static int compare_member(const struct differ *d, cJSON *a, cJSON *b, struct node *x, struct node *y, unsigned depth)
{
    int code = layers_spend(d->b, y->kind == NODE_STRING ? strlen(y->text) : 0, d->err);
    if (code || same_scalar(x, y))
        return code;
    if (x->kind == NODE_OBJECT && y->kind == NODE_OBJECT)
        return compare_objects(d, a, b, x, y, depth + 1);
    return compare_values(d, a, b, x, y, depth + 1);
}

/* The member of that name: mostly the next one, as both sets are made of nearly the same layers. */
static struct node *match(const struct node *object, struct node *guess, const struct node *like)
{
    if (guess && guess->hash == like->hash && strcmp(guess->key, like->key) == 0)
        return guess;
    return node_member(object, cfg_slice_str(like->key));
}

static int compare(const struct differ *d, cJSON *a, cJSON *b, struct node *x, struct node *y, unsigned depth)
{
    int code = 0;
    struct node *guess = x->child;
    for (struct node *v = y->child; v && code == 0; v = v->next) {
        struct node *was = match(x, guess, v);
        guess = was ? was->next : guess;
        if (was) {
            code = compare_member(d, a, b, was, v, depth);
        } else {
            cJSON *after = NULL;
            code = whole(&after, d, d->b, v, depth + 1);
            code = code ? code : give(d, b, v->key, after);
        }
    }
    guess = y->child;
    for (struct node *v = x->child; v && code == 0; v = v->next) {
        cJSON *before = NULL;
        const struct node *is = match(y, guess, v);
        guess = is ? is->next : guess;
        if (is)
            continue;
        code = whole(&before, d, d->a, v, depth + 1);
        code = code ? code : give(d, a, v->key, before);
    }
    return code;
}

int cfg_layers_differ(cJSON **a, cJSON **b, struct cfg_layers *before, struct cfg_layers *after, struct cfg_error *err)
{
    struct cfg_error own = CFG_ERROR_INIT;
    struct differ d = {before, after, err ? err : &own};
    cJSON *x = cJSON_CreateObject(), *y = cJSON_CreateObject();
    layers_begin(before);
    layers_begin(after);
    int code = x && y ? 0 : cfg_fail(d.err, CFG_E_NOMEM, "out of memory");
    if (code == 0 && (before->root->kind != NODE_OBJECT || after->root->kind != NODE_OBJECT))
        code = cfg_fail(d.err, CFG_E_INVALID, "only objects are compared");
    code = code ? code : compare(&d, x, y, before->root, after->root, 0);
    if (code) {
        cJSON_Delete(x);
        cJSON_Delete(y);
        return code;
    }
    *a = x;
    *b = y;
    return 0;
}
