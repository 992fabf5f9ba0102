#include "configd/change_views.h"
#include "configd/release.h"
#include "proto/patch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHARE_LOOK_BACK = 16 };

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

static void composed_unref(struct cfg_composed *c)
{
    if (c == NULL || --c->refs > 0)
        return;
    cJSON_Delete(c->paths);
    cJSON_Delete(c->kept);
    free(c);
}

void cfg_views_finish(struct cfg_views *v)
{
    for (size_t i = 0; i < v->n; i++) {
        cfg_deployment_finish(&v->concerns[i].deployment);
        composed_unref(v->concerns[i].composed);
    }
    for (size_t i = 0; i < v->n_spaces; i++)
        cfg_names_finish(&v->spaces[i].above);
    free(v->concerns);
    free(v->spaces);
    *v = (struct cfg_views){0};
}

/* --- the namespaces --- */

static bool same_extends(const struct cfg_draft *d)
{
    static const cJSON none = {.type = cJSON_Array};
    const cJSON *before = cfg_json_get(d->before, "extends"), *after = cfg_json_get(d->after, "extends");
    return cfg_json_equal(before ? before : &none, after ? after : &none);
}

static int still_extended(const struct cfg_touched_space *s, struct cfg_error *err)
{
    char more[48] = "";
    if (s->above.n < 2)
        return 0;
    if (s->above.n > 2)
        (void)snprintf(more, sizeof more, " and %zu more", s->above.n - 2);
    (void)cfg_fail(err, CFG_E_IN_USE, "namespace %s is extended by %s%s", s->draft->id.ns, s->above.items[1], more);
    cfg_error_set_hint(err, "give it other bases first: cfgctl extend %s [BASE…]; cfgctl get %s --dependents lists all",
                       s->above.items[1], s->draft->id.ns);
    return CFG_E_IN_USE;
}

/* Every namespace from here up must keep within the bounds, whoever runs it. */
static int check_above(struct cfg_bench *b, const struct cfg_touched_space *s, struct cfg_error *err)
{
    for (size_t i = 0; i < s->above.n; i++) {
        struct cfg_closure closure;
        int rc = cfg_spaces_closure(&closure, b, s->above.items[i], true, err);
        if (rc != 0)
            return rc;
        cfg_closure_finish(&closure);
    }
    return 0;
}

static int check_merge(struct cfg_bench *b, const char *ns, struct cfg_error *err)
{
    struct cfg_closure closure;
    cJSON *merged = NULL;
    int rc = cfg_spaces_closure(&closure, b, ns, true, err);
    if (rc != 0)
        return rc;
    if (closure.n > 1)
        rc = cfg_release_merge(&merged, &closure, err);
    cJSON_Delete(merged);
    cfg_closure_finish(&closure);
    return rc;
}

static int check_space(struct cfg_bench *b, const struct cfg_touched_space *s, struct cfg_error *err)
{
    const struct cfg_draft *d = s->draft;
    if (d->id.kind != CFG_KIND_CONFIG)
        return 0;
    if (d->after == NULL)
        return d->before ? still_extended(s, err) : 0;
    if (!cfg_draft_changed(d))
        return 0;
    int rc = cfg_extends_check(cfg_json_get(d->after, "extends"), d->id.ns, err);
    if (rc == 0 && !same_extends(d))
        rc = check_above(b, s, err);
    return rc == 0 ? check_merge(b, d->id.ns, err) : rc;
}

static int gather_spaces(struct cfg_views *v, struct cfg_bench *b, struct cfg_error *err)
{
    size_t n = b->n; /* drafts that are only looked into may be added meanwhile */
    v->spaces = calloc(n + 1, sizeof *v->spaces);
    int rc = v->spaces ? 0 : no_memory(err);
    for (size_t i = 0; i < n && rc == 0; i++) {
        const struct cfg_draft *d = b->items[i];
        struct cfg_touched_space *s = &v->spaces[v->n_spaces];
        if (!d->touched || (d->id.kind != CFG_KIND_CONFIG && d->id.kind != CFG_KIND_SCHEMA))
            continue;
        s->draft = d;
        rc = cfg_spaces_above(&s->above, b, d->id.ns, err);
        v->n_spaces += rc == 0;
    }
    for (size_t i = 0; i < v->n_spaces && rc == 0; i++) {
        char label[CFG_DRAFT_LABEL];
        rc = check_space(b, &v->spaces[i], err);
        if (rc != 0)
            (void)cfg_error_wrap(err, "%s", cfg_draft_label(&v->spaces[i].draft->id, label));
    }
    return rc;
}

/* --- the deployments --- */

struct search {
    struct cfg_views *views;
    struct cfg_bench *bench;
    struct cfg_error *err;
    int rc;
};

/* What a rollout makes of its deployment was judged when it began. Workers that came since, and would not take it, must
 * not keep everybody from going back. */
static bool is_rollouts(const struct cfg_bench *b, const struct cfg_draft *draft)
{
    return draft && b->change->entries[draft->entry].id.kind == CFG_KIND_ROLLOUT;
}

/* Consumes *d. */
static int add_concern(struct search *s, struct cfg_deployment *d, const struct cfg_draft *draft)
{
    bool created = draft && draft->before == NULL;
    struct cfg_views *v = s->views;
    if (v->n == v->cap) {
        size_t cap = v->cap ? v->cap * 2 : 16;
        struct cfg_concern *concerns = realloc(v->concerns, cap * sizeof *concerns);
        if (concerns == NULL) {
            cfg_deployment_finish(d);
            return no_memory(s->err);
        }
        v->concerns = concerns;
        v->cap = cap;
    }
    struct cfg_concern c = {.deployment = *d, .touched = draft != NULL, .created = created};
    c.follows = cfg_deployment_follows(d);
    c.told = !is_rollouts(s->bench, draft) && (c.follows || (created && d->arms[0].locked[0] == '\0'));
    v->concerns[v->n++] = c;
    return 0;
}

static bool runs_touched(const struct cfg_views *v, const struct cfg_deployment *d)
{
    for (size_t i = 0; i < v->n_spaces; i++)
        if (cfg_names_has(&v->spaces[i].above, d->config))
            return true;
    return false;
}

static bool look_at(struct cfg_object *o, void *arg)
{
    struct search *s = arg;
    struct cfg_deployment d;
    const struct cfg_draft *draft = cfg_bench_find(s->bench, &o->id);
    if (o->deleted || (draft && draft->touched) || cfg_deployment_read(&d, o, NULL) != 0)
        return true; /* a record that nobody can use concerns nobody */
    if (runs_touched(s->views, &d))
        s->rc = add_concern(s, &d, NULL);
    else
        cfg_deployment_finish(&d);
    return s->rc == 0;
}

static int gather_deployments(struct search *s)
{
    struct cfg_bench *b = s->bench;
    if (s->views->n_spaces > 0) {
        s->rc = cfg_bench_guard_space(b, CFG_KIND_DEPLOYMENT, "", s->err);
        if (s->rc == 0)
            b->heads->each(b->heads->arg, CFG_KIND_DEPLOYMENT, NULL, look_at, s);
    }
    for (size_t i = 0; i < b->n && s->rc == 0; i++) {
        const struct cfg_draft *draft = b->items[i];
        struct cfg_deployment d;
        if (!draft->touched || draft->id.kind != CFG_KIND_DEPLOYMENT || draft->after == NULL)
            continue;
        s->rc = cfg_deployment_read_body(&d, draft->id.ns, draft->after, s->err);
        if (s->rc == 0)
            s->rc = add_concern(s, &d, draft);
    }
    return s->rc;
}

/* --- their views --- */

/* What changes, resolved: documents without members that are the same before and after. What did not resolve before
 * keeps its text. */
struct documents {
    cJSON *before, *after;
    cJSON *free_before, *free_after; /* the same without the pin; NULL without pinned keys */
};

static int resolve(struct documents *x, struct cfg_bench *b, const struct cfg_deployment *d,
                   struct cfg_release_bases *bases, bool strict, struct cfg_error *err)
{
    struct cfg_closure before = {0}, after;
    const struct cfg_release_options o = {
        .pin_keys = d->pin_keys, .pin = d->pin, .incomplete = !strict, .bases = bases};
    const struct cfg_release_options none = {.incomplete = true, .bases = bases};
    int rc = cfg_spaces_closure(&after, b, d->config, true, err);
    if (rc != 0)
        return rc;
    rc = cfg_spaces_closure(&before, b, d->config, false, NULL) == CFG_E_NOMEM ? no_memory(err) : 0;
    rc = rc ? rc : cfg_release_differ(&x->before, &x->after, &before, &after, &o, err);
    if (rc == 0 && d->pin_keys->child)
        rc = cfg_release_differ(&x->free_before, &x->free_after, &before, &after, &none, err);
    cfg_closure_finish(&before);
    cfg_closure_finish(&after);
    return rc;
}

static void documents_finish(struct documents *x)
{
    cJSON_Delete(x->before);
    cJSON_Delete(x->after);
    cJSON_Delete(x->free_before);
    cJSON_Delete(x->free_after);
}

static int compare(struct cfg_composed *c, const struct documents *x, const struct cfg_deployment *d,
                   struct cfg_error *err)
{
    cJSON *changes = cfg_patch_describe(x->before, x->after);
    c->paths = cJSON_CreateArray();
    bool ok = changes && c->paths;
    for (const cJSON *e = ok ? changes->child : NULL; e && ok; e = e->next)
        ok = cJSON_AddItemToArray(c->paths, cJSON_CreateString(cfg_json_get_str(e, "path", "")));
    cJSON_Delete(changes);
    if (ok && x->free_after) {
        c->kept = cfg_pin_kept(d, x->free_before, x->free_after);
        ok = c->kept != NULL;
    }
    return ok ? 0 : no_memory(err);
}

static const struct cfg_concern *same_view(const struct cfg_views *v, size_t i)
{
    const struct cfg_deployment *d = &v->concerns[i].deployment;
    for (size_t k = 1; k <= i && k <= SHARE_LOOK_BACK; k++) {
        const struct cfg_concern *o = &v->concerns[i - k];
        if (o->composed && strcmp(o->deployment.config, d->config) == 0 &&
            cfg_json_equal(o->deployment.pin_keys, d->pin_keys) && cfg_json_equal(o->deployment.pin, d->pin))
            return o;
    }
    return NULL;
}

static int compose(struct cfg_views *v, size_t i, struct cfg_bench *b, struct cfg_release_bases *bases, bool strict,
                   struct cfg_error *err)
{
    struct cfg_concern *c = &v->concerns[i];
    const struct cfg_concern *same = same_view(v, i);
    if (same) {
        c->composed = same->composed;
        c->composed->refs++;
        return 0;
    }
    c->composed = calloc(1, sizeof *c->composed);
    if (c->composed == NULL)
        return no_memory(err);
    c->composed->refs = 1;
    struct cfg_error why = CFG_ERROR_INIT;
    struct documents x = {NULL, NULL, NULL, NULL};
    int rc = resolve(&x, b, &c->deployment, bases, strict, &why);
    if (rc == 0)
        rc = compare(c->composed, &x, &c->deployment, &why);
    documents_finish(&x);
    if (rc != 0 && rc != CFG_E_NOMEM && !c->follows) { /* it holds another release: nothing to tell */
        composed_unref(c->composed);
        c->composed = NULL;
        return 0;
    }
    if (rc != 0) {
        (void)cfg_error_wrap(&why, "deployment %s", c->deployment.name);
        if (err)
            *err = why;
    }
    return rc;
}

/* Deleted by force: those who run it keep what they have. */
static bool is_deleted(const struct cfg_bench *b, const char *ns)
{
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_CONFIG, ns, NULL);
    const struct cfg_draft *d = cfg_bench_find(b, &id);
    return d && d->touched && d->after == NULL;
}

bool cfg_views_change_anything(const struct cfg_bench *b)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->items[i]->touched && cfg_draft_changed(b->items[i]))
            return true;
    return false;
}

int cfg_views_gather(struct cfg_views *v, struct cfg_bench *b, struct cfg_error *err)
{
    struct search s = {.views = v, .bench = b, .err = err};
    int rc = gather_spaces(v, b, err);
    return rc ? rc : gather_deployments(&s);
}

/* --- what is asked about them --- */

static void view_finish(struct cfg_view_documents *x)
{
    cJSON_Delete(x->before);
    cJSON_Delete(x->after);
    cJSON_Delete(x->environment);
    *x = (struct cfg_view_documents){NULL, NULL, NULL};
}

/* The whole of it, before and after. What was there before may be gone, or may not have resolved. */
static int view_of(struct cfg_view_documents *x, struct cfg_bench *b, const struct cfg_deployment *d,
                   struct cfg_error *err)
{
    struct cfg_closure before = {0}, after;
    const struct cfg_release_options now = {.pin_keys = d->pin_keys, .pin = d->pin};
    const struct cfg_release_options then = {.pin_keys = d->pin_keys, .pin = d->pin, .incomplete = true};
    int rc = cfg_spaces_closure(&after, b, d->config, true, err);
    if (rc != 0)
        return rc;
    x->environment = cJSON_CreateArray();
    rc = x->environment ? cfg_release_resolve(&x->after, x->environment, &after, &now, err) : no_memory(err);
    int was = rc ? rc : cfg_spaces_closure(&before, b, d->config, false, NULL);
    if (was == 0)
        was = cfg_release_resolve(&x->before, NULL, &before, &then, NULL);
    cfg_closure_finish(&before);
    cfg_closure_finish(&after);
    return rc == 0 && was == CFG_E_NOMEM ? no_memory(err) : rc;
}

/* The deployment's record pins more now: its view is another. */
static int compose_again(struct cfg_views *v, size_t i, struct cfg_bench *b, struct cfg_release_bases *bases,
                         struct cfg_error *err)
{
    struct cfg_concern *c = &v->concerns[i];
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_DEPLOYMENT, c->deployment.name, NULL);
    struct cfg_deployment d;
    int rc = cfg_deployment_read_body(&d, id.ns, cfg_bench_find(b, &id)->after, err);
    if (rc != 0)
        return rc;
    cfg_deployment_finish(&c->deployment);
    c->deployment = d;
    composed_unref(c->composed);
    c->composed = NULL;
    return compose(v, i, b, bases, c->follows, err);
}

static int ask(struct cfg_views *v, size_t i, struct cfg_bench *b, struct cfg_release_bases *bases,
               const struct cfg_view_hooks *hooks, struct cfg_error *err)
{
    struct cfg_concern *c = &v->concerns[i];
    struct cfg_view_documents x = {NULL, NULL, NULL};
    bool wanted = false, changed = false;
    if (!c->told || c->composed == NULL)
        return 0;
    int rc = hooks->wants(&wanted, b, c, c->composed->refs == 1, err);
    if (rc != 0 || !wanted)
        return rc;
    rc = view_of(&x, b, &c->deployment, err);
    rc = rc ? rc : hooks->freeze(&changed, b, c, &x, err);
    if (rc == 0 && changed) {
        view_finish(&x);
        rc = compose_again(v, i, b, bases, err);
        rc = rc ? rc : view_of(&x, b, &c->deployment, err);
    }
    if (rc == 0 && c->composed)
        rc = hooks->judge(b, c, c->composed->refs == 1, &x, err);
    view_finish(&x);
    return rc;
}

int cfg_views_compose(struct cfg_views *v, struct cfg_bench *b, const struct cfg_view_hooks *hooks,
                      struct cfg_error *err)
{
    bool changes = cfg_views_change_anything(b);
    struct cfg_release_bases *bases = cfg_release_bases_new();
    int rc = bases ? 0 : no_memory(err);
    for (size_t i = 0; i < v->n && rc == 0; i++) {
        const struct cfg_concern *c = &v->concerns[i];
        if ((!c->told && c->touched) || is_deleted(b, c->deployment.config))
            continue;
        rc = compose(v, i, b, bases, changes && c->follows, err);
        if (rc == 0 && changes)
            rc = ask(v, i, b, bases, hooks, err);
    }
    cfg_release_bases_free(bases);
    return rc;
}
