/* Ceilings as values. See ceiling.h. */
#include "worker/ceiling.h"
#include "worker/flag_view.h"
#include <math.h>

static bool is_number(const struct cfg_decl *d)
{
    return d->type == CFG_I64 || d->type == CFG_F64;
}

int cfg_ceilings_set(struct cfg_ceilings *s, const struct cfg_contract *c, const char *path, double most,
                     struct cfg_error *err)
{
    uint32_t index = cfg_contract_find(c, path), at = 0;
    if (index == UINT32_MAX) {
        const char *near = cfg_contract_near(c, path);
        (void)cfg_fail(err, CFG_E_UNKNOWN_KEY, "%s: a ceiling for what is not declared", path);
        cfg_error_set_hint(err, near != NULL ? "did you mean %s?" : "declare it first%s", near != NULL ? near : "");
        return CFG_E_UNKNOWN_KEY;
    }
    if (!is_number(&c->items[index]) || !isfinite(most)) {
        return cfg_fail(err, CFG_E_VALUE, "%s: %s", path,
                        isfinite(most) ? "only a number can have a ceiling" : "the ceiling must be a finite number");
    }
    while (at < s->n && s->items[at].index != index) {
        at++;
    }
    if (at == CFG_CEILINGS_MAX) {
        return cfg_fail(err, CFG_E_LIMIT, "%s: more than %d ceilings", path, CFG_CEILINGS_MAX);
    }
    s->items[at] = (struct cfg_ceiling){index, most};
    s->n += at == s->n;
    return 0;
}

static int check_value(const struct cfg_ceiling *l, const struct cfg_contract *c, const union cfg_value *v,
                       struct cfg_error *err)
{
    const struct cfg_decl *d = &c->items[l->index];
    double value = d->type == CFG_I64 ? (double)v->i64 : v->f64;
    if (value <= l->most) {
        return 0;
    }
    (void)cfg_fail(err, CFG_E_CEILING, "%s: %.15g is above %.15g, the most that this worker can take", d->path, value,
                   l->most);
    cfg_error_set_path(err, "%s", d->path);
    return CFG_E_CEILING;
}

static int check_unit(const struct cfg_ceiling *l, const struct cfg_contract *c, const struct flag_unit *u,
                      struct cfg_error *err)
{
    for (uint32_t i = 0; i < u->n_uses; i++) {
        const struct flag_use *use = &u->uses[i];
        for (uint32_t k = 0; k < use->n_overrides; k++) {
            const struct flag_override *o = &use->overrides[k];
            if (o->index == l->index && check_value(l, c, &o->value, err) != 0) {
                (void)cfg_error_wrap(err, "%s: variant %.60s", u->address, use->name);
                cfg_error_set_path(err, "%s.overrides.%s.%s", u->address, use->name, c->items[l->index].path);
                return CFG_E_CEILING;
            }
        }
    }
    return 0;
}

int cfg_ceilings_check(const struct cfg_ceilings *s, const struct cfg_contract *c, const struct cfg_view *v,
                       struct cfg_error *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < s->n; i++) {
        rc = check_value(&s->items[i], c, &v->values[s->items[i].index], err);
        for (uint32_t k = 0; rc == 0 && v->flags != NULL && k < v->flags->n_overriding; k++) {
            rc = check_unit(&s->items[i], c, v->flags->overriding[k], err);
        }
    }
    return rc;
}

void cfg_ceilings_print(struct cfg_buf *out, const struct cfg_ceilings *s, const struct cfg_contract *c)
{
    for (uint32_t i = 0; s != NULL && i < s->n; i++) {
        cfg_buf_puts(out, i == 0 ? ",\"ceilings\":{" : ",");
        cfg_json_put_string(out, cfg_slice_str(c->items[s->items[i].index].path));
        cfg_buf_putc(out, ':');
        cfg_json_put_number(out, s->items[i].most);
    }
    cfg_buf_puts(out, s != NULL && s->n > 0 ? "}" : "");
}
