/* Building a set and finding flags in it: an open-addressed table of 8-byte slots over an array of flags. */
#include "flags/program.h"

#include <stdio.h>
#include <string.h>

enum { CACHE_LINE = 64 };

static size_t count(const cJSON *v)
{
    size_t n = 0;
    for (const cJSON *i = v ? v->child : NULL; i != NULL; i = i->next)
        n++;
    return n;
}

void cfg_flag_set_free(struct cfg_flag_set *set)
{
    if (set == NULL)
        return;
    cfg_flag_arena_finish(&set->arena);
    cJSON_free(set);
}

/* --- building --- */

static struct cfg_flag_set *new_set(size_t n, size_t expected_bytes)
{
    struct cfg_flag_set *set = n < UINT32_MAX / 4 ? cJSON_malloc(sizeof *set) : NULL;
    if (set == NULL)
        return NULL;
    memset(set, 0, sizeof *set);
    cfg_flag_arena_init(&set->arena, expected_bytes);
    uint32_t size = 1;
    while (size < n * 2)
        size *= 2;
    set->mask = size - 1;
    set->n_flags = n;
    char *flags = cfg_flag_arena_take(&set->arena, n * sizeof *set->flags + CACHE_LINE);
    set->flags = (union set_flag *)(void *)(flags + (CACHE_LINE - (uintptr_t)flags % CACHE_LINE) % CACHE_LINE);
    set->slots = cfg_flag_arena_take(&set->arena, size * sizeof *set->slots);
    if (flags == NULL || set->slots == NULL) {
        cfg_flag_set_free(set);
        return NULL;
    }
    return set;
}

static void add_slot(struct cfg_flag_set *set, uint32_t index)
{
    uint32_t hash = set->flags[index].program.name->hash, at = hash & set->mask;
    while (set->slots[at].index != 0)
        at = (at + 1) & set->mask;
    set->slots[at] = (struct set_slot){hash, index + 1};
}

/* NULL without memory. */
static struct cfg_flag_program *name_program(struct cfg_flag_set *set, size_t index, const char *name)
{
    struct cfg_flag_program *p = &set->flags[index].program;
    size_t len = strlen(name);
    p->set = set;
    p->name = cfg_flag_arena_intern(&set->arena, name, len);
    p->name_len = (uint32_t)len;
    memcpy(p->head, name, len <= NAME_HEAD ? len : 0);
    return p->name ? p : NULL;
}

/* The evaluators' records live only while compiling; their nodes are the arena's. NULL without memory. */
static struct logic_evaluator *list_evaluators(size_t *n, const cJSON *evaluators)
{
    *n = count(evaluators);
    struct logic_evaluator *all = cJSON_malloc((*n + 1) * sizeof *all);
    if (all == NULL)
        return NULL;
    memset(all, 0, (*n + 1) * sizeof *all);
    size_t i = 0;
    for (const cJSON *e = evaluators ? evaluators->child : NULL; e != NULL; e = e->next, i++) {
        all[i].name = e->string;
        all[i].source = e;
    }
    return all;
}

/* What a flag answers that a set keeps although it does not compile. */
static void keep_as_broken(struct cfg_flag_program *p)
{
    struct cfg_flag_set *set = p->set;
    const struct arena_string *name = p->name;
    uint8_t type = p->n_variants > 0 ? p->type : CFG_FLAG_ANY;
    struct cfg_flag_program broken = {.set = set, .name = name, .name_len = name->len, .type = type};
    memcpy(broken.head, p->head, sizeof broken.head);
    broken.broken = "PARSE_ERROR";
    broken.metadata = set->metadata;
    *p = broken;
}

static int name_flag(struct cfg_error *err, const char *name, int rc)
{
    char path[sizeof err->path];
    if (err == NULL || rc == CFG_E_NOMEM)
        return rc;
    (void)snprintf(path, sizeof path, "%s", err->path);
    (void)cfg_error_wrap(err, "flag \"%.80s\"", name);
    cfg_error_set_path(err, "%.80s.%.70s", name, path);
    return rc;
}

static int compile_flags(struct cfg_flag_set *set, struct flag_compiler *c, const struct cfg_flag_source *source)
{
    uint32_t i = 0;
    for (const cJSON *f = source->flags->child; f != NULL; f = f->next, i++) {
        struct cfg_flag_program *p = name_program(set, i, f->string);
        if (p == NULL)
            return cfg_logic_no_memory(&c->logic);
        c->logic.instants = (struct logic_instants){0};
        int rc = cfg_flag_parse(p, c, source->plain ? NULL : f, source->plain ? f : NULL);
        if (rc == 0 && p->enabled && p->state)
            rc = cfg_flag_note_flips(c, i);
        if (rc != 0 && (!source->keep_broken || rc == CFG_E_NOMEM))
            return name_flag(c->logic.err, f->string, rc);
        if (rc != 0)
            keep_as_broken(p);
        add_slot(set, i);
    }
    return 0;
}

static int check_source(const struct cfg_flag_source *source, struct cfg_error *err)
{
    const struct {
        const cJSON *v;
        const char *path, *why;
    } objects[] = {{source->flags, "flags", "flags must be an object of definitions by name"},
                   {source->evaluators, "$evaluators", "$evaluators must be an object of rules by name"},
                   {source->metadata, "metadata", "metadata must be an object"}};
    for (size_t i = 0; i < 3; i++) {
        if (cJSON_IsObject(objects[i].v) || (i > 0 && objects[i].v == NULL))
            continue;
        (void)cfg_fail(err, CFG_E_VALUE, "%s", objects[i].why);
        cfg_error_set_path(err, "%s", objects[i].path);
        return CFG_E_VALUE;
    }
    return 0;
}

/* People's evaluators are checked even where no flag uses them yet. */
static int compile_unused(struct flag_compiler *c, bool keep_broken)
{
    struct logic_compiler *l = &c->logic;
    cJSON name = {.type = cJSON_String}, reference = {.type = cJSON_Object, .child = &name};
    char ref[] = "$ref";
    name.string = ref;
    l->root = "$evaluators";
    for (size_t i = 0; i < l->n_evaluators && !keep_broken; i++) {
        struct logic_node node;
        name.valuestring = (char *)(uintptr_t)l->evaluators[i].name;
        int rc = cfg_logic_compile(&node, l, &reference);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int fill(struct cfg_flag_set *set, const struct cfg_flag_source *source, struct cfg_error *err)
{
    size_t n;
    struct logic_evaluator *evaluators = list_evaluators(&n, source->evaluators);
    struct flag_compiler c = {.logic = {.arena = &set->arena,
                                        .rules = CFG_RULES_FLAGD,
                                        .lenient = source->keep_broken && !source->strict,
                                        .evaluators = evaluators,
                                        .n_evaluators = n,
                                        .root = "",
                                        .err = err},
                              .check_results = !source->keep_broken};
    if (source->metadata && source->metadata->child)
        set->metadata = cfg_flag_copy_tree(&set->arena, source->metadata);
    c.metadata = set->metadata;
    bool good = evaluators && (set->metadata || !source->metadata || !source->metadata->child);
    int rc = good ? compile_flags(set, &c, source) : cfg_logic_no_memory(&c.logic);
    if (rc == 0)
        rc = compile_unused(&c, source->keep_broken);
    if (rc == 0)
        rc = cfg_flag_set_check(set, source->keep_broken, err);
    for (size_t i = 0; rc == 0 && i < set->n_flags; i++)
        cfg_flag_settle(&set->flags[i].program);
    cfg_flag_set_keep_flips(set, &c);
    cfg_flag_arena_seal(&set->arena);
    cJSON_free(evaluators);
    return rc;
}

int cfg_flag_set_compile(struct cfg_flag_set **out, const struct cfg_flag_source *source, struct cfg_error *err)
{
    int rc = check_source(source, err);
    if (rc != 0)
        return rc;
    size_t n = count(source->flags);
    struct cfg_flag_set *set = new_set(n, n * 256);
    if (set == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "no memory for %zu flags", n);
    rc = fill(set, source, err);
    if (rc != 0) {
        cfg_flag_set_free(set);
        return rc;
    }
    *out = set;
    return 0;
}

int cfg_flag_set_compile_flagd(struct cfg_flag_set **out, const cJSON *document, bool keep_broken,
                               struct cfg_error *err)
{
    struct cfg_flag_source source = {.flags = cfg_json_get(document, "flags"),
                                     .evaluators = cfg_json_get(document, "$evaluators"),
                                     .metadata = cfg_json_get(document, "metadata"),
                                     .plain = true,
                                     .keep_broken = keep_broken};
    return cfg_flag_set_compile(out, &source, err);
}

/* --- one flag --- */

int cfg_flag_compile_named(struct cfg_flag_program **out, const char *name, const cJSON *envelope,
                           const cJSON *evaluators, struct cfg_error *err)
{
    struct cfg_flag_set *set = new_set(1, 0);
    size_t n = 0;
    struct logic_evaluator *list = set ? list_evaluators(&n, evaluators) : NULL;
    struct flag_compiler c = {.logic = {.rules = CFG_RULES_FLAGD, .evaluators = list, .n_evaluators = n, .err = err},
                              .check_results = true};
    int rc = CFG_E_NOMEM;
    if (list != NULL) {
        c.logic.arena = &set->arena;
        struct cfg_flag_program *p = name_program(set, 0, name);
        rc = p ? cfg_flag_parse(p, &c, envelope, NULL) : CFG_E_NOMEM;
        if (rc == 0)
            cfg_flag_settle(p);
        cfg_flag_arena_seal(&set->arena);
    }
    cJSON_free(list);
    if (rc == CFG_E_NOMEM)
        rc = cfg_fail(err, CFG_E_NOMEM, "no memory for a flag");
    if (rc != 0) {
        cfg_flag_set_free(set);
        return rc;
    }
    *out = &set->flags[0].program;
    return 0;
}

int cfg_flag_compile(struct cfg_flag_program **out, const cJSON *envelope, struct cfg_error *err)
{
    return cfg_flag_compile_named(out, "", envelope, NULL, err);
}

void cfg_flag_free(struct cfg_flag_program *p)
{
    if (p != NULL)
        cfg_flag_set_free(p->set);
}

/* --- reading it --- */

size_t cfg_flag_set_count(const struct cfg_flag_set *set)
{
    return set->n_flags;
}

const struct cfg_flag_program *cfg_flag_set_at(const struct cfg_flag_set *set, size_t index)
{
    return index < set->n_flags ? &set->flags[index].program : NULL;
}

size_t cfg_flag_set_index(const struct cfg_flag_set *set, const struct cfg_flag_program *p)
{
    return (size_t)((const union set_flag *)(const void *)p - set->flags);
}

size_t cfg_flag_set_bytes(const struct cfg_flag_set *set)
{
    return sizeof *set + set->arena.bytes;
}
