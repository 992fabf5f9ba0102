/* Compiling a view's flags. See flag_view.h; overrides are in flag_overrides.c. */
#include "worker/flag_view.h"
#include "proto/limits.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- memory --- */

bool cfg_flag_view_own(struct cfg_view_flags *f, void *p)
{
    if (p != NULL && f->n_owned == f->cap_owned) {
        size_t cap = f->cap_owned != 0 ? f->cap_owned * 2 : 32;
        void **grown = realloc((void *)f->owned, cap * sizeof(void *));
        if (grown == NULL) {
            free(p);
            return false;
        }
        f->owned = grown;
        f->cap_owned = cap;
    }
    if (p == NULL) {
        return false;
    }
    f->owned[f->n_owned++] = p;
    return true;
}

/* Zeroed, and the view's; NULL without memory. */
static void *take(struct cfg_view_flags *f, size_t n, size_t size)
{
    void *p = calloc(n + 1, size);
    return cfg_flag_view_own(f, p) ? p : NULL;
}

void cfg_flag_view_free(struct cfg_view_flags *f)
{
    if (f == NULL) {
        return;
    }
    for (size_t i = 0; i < f->n_spaces; i++) {
        cfg_flag_set_free(f->spaces[i].set);
    }
    for (size_t i = 0; i < f->n_owned; i++) {
        free(f->owned[i]);
    }
    free((void *)f->owned);
    free(f);
}

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory for the flags of a view");
}

/* --- one namespace --- */

static int make_uses(struct cfg_view_flags *f, struct flag_unit *u)
{
    u->n_uses = (uint32_t)cfg_flag_variant_count(u->program);
    u->uses = take(f, u->n_uses, sizeof *u->uses);
    for (uint32_t i = 0; u->uses != NULL && i < u->n_uses; i++) {
        struct cfg_flag_variant v = cfg_flag_variant_at(u->program, i);
        u->uses[i].name = v.name;
        if (!cJSON_IsObject(v.value)) {
            continue;
        }
        struct cfg_buf text;
        cfg_buf_init(&text, CFG_LIMIT_EVENT);
        cfg_json_canonical(&text, v.value);
        char *s = cfg_buf_status(&text) == 0 ? cfg_buf_steal(&text) : NULL;
        cfg_buf_finish(&text);
        if (!cfg_flag_view_own(f, s)) {
            return CFG_E_NOMEM;
        }
        u->uses[i].text = s;
    }
    return u->uses != NULL ? 0 : CFG_E_NOMEM;
}

static int make_units(struct cfg_view_flags *f, struct flag_space *s, struct cfg_error *err)
{
    size_t n = cfg_flag_set_count(s->set);
    s->units = take(f, n, sizeof *s->units);
    for (size_t i = 0; s->units != NULL && i < n; i++) {
        struct flag_unit *u = &s->units[i];
        char *address = NULL;
        u->program = cfg_flag_set_at(s->set, i);
        if (asprintf(&address, "%s/%s", s->name, cfg_flag_name_of(u->program)) < 0) {
            address = NULL;
        }
        u->address = address;
        if (!cfg_flag_view_own(f, address) || make_uses(f, u) != 0) {
            return no_memory(err);
        }
    }
    return s->units != NULL ? 0 : no_memory(err);
}

static struct cfg_flag_source source_of(const cJSON *flags, const cJSON *evaluators, const cJSON *metadata)
{
    return (struct cfg_flag_source){
        .flags = flags, .evaluators = evaluators, .metadata = metadata, .keep_broken = true, .strict = true};
}

/* Why the flag, which its set keeps as broken, does not compile: by itself, or else among the others. */
static int explain(const struct flag_unit *u, const struct cfg_flag_source *source, struct cfg_error *err)
{
    const char *name = cfg_flag_name_of(u->program);
    struct cfg_flag_program *alone = NULL;
    struct cfg_error why = CFG_ERROR_INIT;
    int rc = cfg_flag_compile_named(&alone, name, cfg_json_get(source->flags, name), source->evaluators, &why);
    if (rc == 0) {
        struct cfg_flag_source whole = *source;
        struct cfg_flag_set *set = NULL;
        cfg_flag_free(alone);
        whole.keep_broken = false;
        rc = cfg_flag_set_compile(&set, &whole, &why);
        cfg_flag_set_free(set);
    }
    if (rc == 0) {
        rc = cfg_fail(&why, CFG_E_VALUE, "the flag does not compile");
    }
    if (err != NULL) {
        *err = why;
    }
    (void)cfg_error_wrap(err, "%s", u->address);
    cfg_error_set_path(err, "%s", u->address);
    return rc;
}

static bool is_broken(const struct flag_unit *u)
{
    return cfg_flag_eval(u->program, CFG_FLAG_ANY).reason == CFG_REASON_ERROR && u->n_uses == 0;
}

static bool is_declared(const struct cfg_contract *c, const char *address)
{
    for (uint32_t i = 0; i < c->n; i++) {
        if (c->items[i].type == CFG_FLAG && strcmp(c->items[i].path, address) == 0) {
            return true;
        }
    }
    for (uint32_t i = 0; i < c->n_flags; i++) {
        if (strcmp(c->flags[i], address) == 0) {
            return true;
        }
    }
    return false;
}

/* Detaches a member; NULL when there is none, or when it is no object. */
static cJSON *detach(cJSON *from, const char *name)
{
    cJSON *v = cJSON_DetachItemFromObjectCaseSensitive(from, name);
    if (v != NULL && !cJSON_IsObject(v)) {
        cJSON_Delete(v);
        v = NULL;
    }
    return v;
}

static int compile_space(struct cfg_view_flags *f, cJSON *flags, const struct cfg_contract *c, struct cfg_error *err)
{
    struct flag_space *s = &f->spaces[f->n_spaces];
    char *name = strdup(flags->string);
    if (!cfg_flag_view_own(f, name)) {
        return no_memory(err);
    }
    s->name = name;
    s->name_len = strlen(name);
    cJSON *evaluators = detach(flags, "$evaluators");
    cJSON *metadata = detach(flags, "$metadata");
    const struct cfg_flag_source source = source_of(flags, evaluators, metadata);
    int rc = cfg_flag_set_compile(&s->set, &source, err);
    if (rc != 0) {
        (void)cfg_error_wrap(err, "flags of %s", name);
        cfg_error_set_path(err, "flags.%s", name);
    } else {
        f->n_spaces++;
        rc = make_units(f, s, err);
    }
    for (size_t i = 0; rc == 0 && i < cfg_flag_set_count(s->set); i++) {
        if (is_broken(&s->units[i]) && is_declared(c, s->units[i].address)) {
            rc = explain(&s->units[i], &source, err);
        }
    }
    cJSON_Delete(evaluators);
    cJSON_Delete(metadata);
    return rc;
}

/* --- all of them --- */

/* Rules spell the step's time as the text of an attribute; evaluators do too. */
static bool mentions_time(const cJSON *v)
{
    if (cJSON_IsString(v) && strncmp(v->valuestring, "$flagd.timestamp", 16) == 0) {
        return true;
    }
    for (const cJSON *i = v->child; i != NULL; i = i->next) {
        if (mentions_time(i)) {
            return true;
        }
    }
    return false;
}

static int find_handles(struct cfg_view_flags *f, const struct cfg_contract *c, struct cfg_error *err)
{
    f->handles = take(f, c->n_flags, sizeof *f->handles);
    if (f->handles == NULL) {
        return no_memory(err);
    }
    f->n_handles = c->n_flags;
    for (uint32_t i = 0; i < c->n_flags; i++) {
        f->handles[i].unit = cfg_flag_view_find(f, c->flags[i], strlen(c->flags[i]));
    }
    return 0;
}

int cfg_flag_view_new(struct cfg_view_flags **out, cJSON *flags, const struct cfg_contract *c, int64_t now_s,
                      struct cfg_error *err)
{
    struct cfg_view_flags *f = calloc(1, sizeof *f);
    if (f == NULL) {
        return no_memory(err);
    }
    atomic_store_explicit(&f->now_s, now_s, memory_order_relaxed);
    f->timed = flags != NULL && mentions_time(flags);
    f->spaces = take(f, (size_t)cJSON_GetArraySize(flags), sizeof *f->spaces);
    f->switches = take(f, f->timed ? c->n : 0, sizeof *f->switches);
    int rc = f->spaces != NULL && f->switches != NULL ? 0 : no_memory(err);
    for (cJSON *ns = flags != NULL ? flags->child : NULL; rc == 0 && ns != NULL; ns = ns->next) {
        rc = compile_space(f, ns, c, err);
    }
    rc = rc != 0 ? rc : find_handles(f, c, err);
    if (rc != 0) {
        cfg_flag_view_free(f);
        return rc;
    }
    *out = f;
    return 0;
}

const struct flag_unit *cfg_flag_view_find(const struct cfg_view_flags *f, const char *address, size_t len)
{
    const char *slash = memchr(address, '/', len);
    size_t ns = slash != NULL ? (size_t)(slash - address) : len;
    for (size_t i = 0; slash != NULL && i < f->n_spaces; i++) {
        const struct flag_space *s = &f->spaces[i];
        if (s->name_len == ns && memcmp(s->name, address, ns) == 0) {
            const struct cfg_flag_program *p = cfg_flag_set_find(s->set, slash + 1, len - ns - 1);
            return p != NULL ? &s->units[cfg_flag_set_index(s->set, p)] : NULL;
        }
    }
    return NULL;
}

static void count_unit(const struct flag_unit *u, struct cfg_exposures *x)
{
    for (uint32_t i = 0; i < u->n_uses; i++) {
        if (u->uses[i].exposure == NULL) {
            u->uses[i].exposure = cfg_exposures_at(x, u->address, u->uses[i].name);
        }
    }
}

void cfg_flag_view_count(struct cfg_view_flags *f, struct cfg_exposures *x)
{
    for (uint32_t i = 0; i < f->n_handles; i++) {
        if (f->handles[i].unit != NULL) {
            count_unit(f->handles[i].unit, x);
        }
    }
    for (uint32_t i = 0; i < f->n_overriding; i++) {
        count_unit(f->overriding[i], x);
    }
    for (size_t s = 0; s < f->n_spaces; s++) {
        for (size_t i = 0; i < cfg_flag_set_count(f->spaces[s].set); i++) {
            count_unit(&f->spaces[s].units[i], x);
        }
    }
}

/* --- switches --- */

static struct cfg_flag_result ask_nobody(const struct flag_unit *u, int64_t now_s)
{
    const struct cfg_flag_context nobody = {.timestamp = now_s};
    return cfg_flag_eval_with(u->program, CFG_FLAG_BOOL, &nobody);
}

int cfg_flag_view_switch(struct cfg_view_flags *f, union cfg_value *value, const char *address, bool follow,
                         struct cfg_error *err)
{
    const struct flag_unit *u = cfg_flag_view_find(f, address, strlen(address));
    if (u == NULL) {
        return 0;
    }
    struct cfg_flag_result r = ask_nobody(u, atomic_load_explicit(&f->now_s, memory_order_relaxed));
    if (r.reason == CFG_REASON_ERROR) {
        (void)cfg_fail(err, CFG_E_VALUE, "%s: expected an on/off flag (%s)", address, r.error);
        cfg_error_set_path(err, "%s", address);
        return CFG_E_VALUE;
    }
    if (follow && f->timed) {
        f->switches[f->n_switches++] = (struct flag_switch){u, value, value->b};
    }
    if (r.value != NULL) {
        value->b = cJSON_IsTrue(r.value) != 0;
    }
    return 0;
}

/* The library's thread may be comparing the view with a newer one; it loads the same way (cfg_value_same). */
static void put_switch(const struct flag_switch *s, bool on)
{
    __atomic_store_n(&s->value->b, on, __ATOMIC_RELAXED);
}

void cfg_flag_view_tell_time(struct cfg_view_flags *f, int64_t now_s)
{
    if (atomic_load_explicit(&f->now_s, memory_order_relaxed) == now_s) {
        return;
    }
    atomic_store_explicit(&f->now_s, now_s, memory_order_relaxed);
    for (uint32_t i = 0; i < f->n_switches; i++) {
        struct cfg_flag_result r = ask_nobody(f->switches[i].unit, now_s);
        if (r.reason != CFG_REASON_ERROR) { /* else it stays what it was */
            put_switch(&f->switches[i], r.value != NULL ? cJSON_IsTrue(r.value) != 0 : f->switches[i].def);
        }
    }
}
