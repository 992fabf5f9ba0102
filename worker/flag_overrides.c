/* What variants override for one request: held to this worker's contract when the view is prepared, so that a request
 * only copies an index and a pointer. */
#include "worker/extract.h"
#include "worker/flag_view.h"
#include <stdlib.h>
#include <string.h>

struct overriding {
    struct cfg_view_flags *flags;
    const struct cfg_contract *c;
    const struct cfg_local *l;
    const bool *from_pin;
    uint32_t n_values; /* parameters that any flag overrides */
    bool *seen;        /* by parameter */
};

static int refuse(struct cfg_error *err, const struct flag_unit *u, const char *variant, const char *path, int code,
                  const char *why)
{
    if (why != NULL) {
        (void)cfg_fail(err, code, "%s", why);
    }
    (void)cfg_error_wrap(err, "%s: variant %.60s overrides %s", u->address, variant, path);
    cfg_error_set_path(err, "%s.overrides.%s.%s", u->address, variant, path);
    return code;
}

/* One value. What this worker does not declare is none of its business; what its operator has overridden stays so. */
static int add_value(struct flag_override *list, uint32_t *n, struct overriding *o, const struct flag_unit *u,
                     const char *variant, const cJSON *v, struct cfg_error *err)
{
    uint32_t i = cfg_contract_find(o->c, v->string);
    if (i == UINT32_MAX || o->c->items[i].type == CFG_FLAG) {
        return 0;
    }
    const struct cfg_decl *d = &o->c->items[i];
    if (d->apply != CFG_LIVE || o->from_pin[i]) {
        return refuse(err, u, variant, d->path, CFG_E_VALUE,
                      o->from_pin[i] ? "the deployment pins it" : "only a live parameter can differ between requests");
    }
    struct flag_override *item = &list[*n];
    int rc = cfg_extract(&item->value, d, v, err);
    if (rc != 0) {
        return refuse(err, u, variant, d->path, rc, NULL);
    }
    if ((d->type == CFG_STRING || d->type == CFG_JSON) &&
        !cfg_flag_view_own(o->flags, (void *)(uintptr_t)item->value.string)) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for the flags of a view");
    }
    if (o->l->set[i]) {
        return 0;
    }
    o->n_values += !o->seen[i];
    o->seen[i] = true;
    item->index = i;
    ++*n;
    return 0;
}

static int add_variant(struct overriding *o, struct flag_unit *u, const cJSON *values, struct cfg_error *err)
{
    struct flag_use *use = NULL;
    for (uint32_t i = 0; i < u->n_uses; i++) {
        use = strcmp(u->uses[i].name, values->string) == 0 ? &u->uses[i] : use;
    }
    if (use == NULL || values->child == NULL) {
        return 0; /* configd refuses a variant that does not exist; nobody is served it */
    }
    struct flag_override *list = calloc((size_t)cJSON_GetArraySize(values), sizeof *list);
    uint32_t n = 0;
    if (!cfg_flag_view_own(o->flags, list)) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for the flags of a view");
    }
    for (const cJSON *v = values->child; v != NULL; v = v->next) {
        int rc = add_value(list, &n, o, u, use->name, v, err);
        if (rc != 0) {
            return rc;
        }
    }
    use->overrides = list;
    use->n_overrides = n;
    u->overrides = u->overrides || n > 0;
    return 0;
}

static int add_flag(struct overriding *o, const char *ns, const cJSON *envelope, uint32_t *found, struct cfg_error *err)
{
    const cJSON *overrides = cfg_json_get(envelope, "overrides");
    if (!cJSON_IsObject(overrides) || overrides->child == NULL) {
        return 0;
    }
    struct cfg_buf address;
    cfg_buf_init(&address, 1024);
    cfg_buf_printf(&address, "%s/%s", ns, envelope->string);
    const struct flag_unit *u = NULL;
    if (cfg_buf_status(&address) == 0) {
        u = cfg_flag_view_find(o->flags, address.data, address.len);
    }
    cfg_buf_finish(&address);
    if (u == NULL) {
        return 0;
    }
    struct flag_unit *mine = (struct flag_unit *)(uintptr_t)u; /* of the view that is being built */
    for (const cJSON *v = overrides->child; v != NULL; v = v->next) {
        int rc = add_variant(o, mine, v, err);
        if (rc != 0) {
            return rc;
        }
    }
    *found += mine->overrides;
    return 0;
}

static int by_address(const void *a, const void *b)
{
    const struct flag_unit *const *x = a;
    const struct flag_unit *const *y = b;
    return strcmp((*x)->address, (*y)->address);
}

static int list_flags(struct cfg_view_flags *f, uint32_t n, struct cfg_error *err)
{
    const struct flag_unit **all = calloc(n + 1U, sizeof(struct flag_unit *));
    if (!cfg_flag_view_own(f, (void *)all)) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for the flags of a view");
    }
    for (size_t s = 0; s < f->n_spaces; s++) {
        for (size_t i = 0; i < cfg_flag_set_count(f->spaces[s].set); i++) {
            if (f->spaces[s].units[i].overrides) {
                all[f->n_overriding++] = &f->spaces[s].units[i];
            }
        }
    }
    qsort((void *)all, f->n_overriding, sizeof(struct flag_unit *), by_address);
    f->overriding = all;
    return 0;
}

/* A flag that the program also reads as a parameter may be set at the worker. */
static void force(struct cfg_view_flags *f, const struct cfg_contract *c, const struct cfg_local *l)
{
    for (uint32_t i = 0; i < c->n_flags; i++) {
        uint32_t at = cfg_contract_find(c, c->flags[i]);
        if (at != UINT32_MAX && l->set[at]) {
            f->handles[i].forced = true;
            f->handles[i].on = l->values[at].b;
        }
    }
}

int cfg_flag_view_overrides(struct cfg_view_flags *f, const cJSON *envelopes, const struct cfg_contract *c,
                            const struct cfg_local *l, const bool *from_pin, struct cfg_error *err)
{
    struct overriding o = {.flags = f, .c = c, .l = l, .from_pin = from_pin, .seen = calloc(c->n + 1U, sizeof(bool))};
    uint32_t n = 0;
    force(f, c, l);
    int rc = o.seen != NULL ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory for the flags of a view");
    for (const cJSON *ns = envelopes != NULL ? envelopes->child : NULL; rc == 0 && ns != NULL; ns = ns->next) {
        for (const cJSON *e = ns->child; rc == 0 && e != NULL; e = e->next) {
            rc = add_flag(&o, ns->string, e, &n, err);
        }
    }
    free(o.seen);
    if (rc == 0 && (n > CFG_OVERLAY_FLAGS || o.n_values > CFG_OVERLAY_VALUES)) {
        (void)cfg_fail(err, CFG_E_LIMIT, "%u flags override %u parameters of this worker; %d and %d are the most", n,
                       o.n_values, CFG_OVERLAY_FLAGS, CFG_OVERLAY_VALUES);
        cfg_error_set_path(err, "flags");
        return CFG_E_LIMIT;
    }
    return rc != 0 ? rc : list_flags(f, n, err);
}
