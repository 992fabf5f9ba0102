#include "configd/flag_facts.h"

#include <stdlib.h>
#include <string.h>

/* --- references and the time, anywhere in the rules --- */

struct found {
    const char **names; /* borrowed from the tree */
    size_t n, cap;
    bool timed, failed;
};

static void add_name(struct found *f, const char *name)
{
    if (f->n == f->cap) {
        size_t cap = f->cap ? f->cap * 2 : 8;
        const char **names = realloc(f->names, cap * sizeof *names);
        if (names == NULL) {
            f->failed = true;
            return;
        }
        f->names = names;
        f->cap = cap;
    }
    f->names[f->n++] = name;
}

/* The tree's depth is bounded by the reader's. */
static void walk(struct found *f, const cJSON *v)
{
    for (const cJSON *c = cJSON_IsObject(v) || cJSON_IsArray(v) ? v->child : NULL; c && !f->failed; c = c->next) {
        if (cJSON_IsString(c) && c->string && strcmp(c->string, "$ref") == 0)
            add_name(f, c->valuestring);
        f->timed = f->timed || (cJSON_IsString(c) && strcmp(c->valuestring, "$flagd.timestamp") == 0);
        walk(f, c);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void sort_unique(struct found *f)
{
    size_t n = 0;
    if (f->n > 1)
        qsort((void *)f->names, f->n, sizeof *f->names, by_name);
    for (size_t i = 0; i < f->n; i++)
        if (n == 0 || strcmp(f->names[n - 1], f->names[i]) != 0)
            f->names[n++] = f->names[i];
    f->n = n;
}

/* The names in one block with the pointers to them; NULL without memory. */
static const char **keep_names(const struct found *f)
{
    size_t bytes = f->n * sizeof(char *);
    for (size_t i = 0; i < f->n; i++)
        bytes += strlen(f->names[i]) + 1;
    const char **out = malloc(bytes);
    char *text = out ? (char *)(out + f->n) : NULL;
    for (size_t i = 0; out && i < f->n; i++) {
        size_t len = strlen(f->names[i]) + 1;
        memcpy(text, f->names[i], len);
        out[i] = text;
        text += len;
    }
    return out;
}

/* --- all of it --- */

static bool copy_member(cJSON **out, const cJSON *v)
{
    if (!cJSON_IsObject(v) || v->child == NULL)
        return true;
    *out = cJSON_Duplicate(v, true);
    return *out != NULL;
}

int cfg_flag_facts_read(struct cfg_flag_facts **out, const cJSON *body)
{
    struct found found = {0};
    const cJSON *prerequisites = cfg_json_get(body, "prerequisites"), *group = cfg_json_get(body, "group");
    const cJSON *requires = cfg_json_get_bool(body, "enabled", true) ? cfg_json_get(body, "requires") : NULL;
    bool demands = cJSON_IsArray(requires) && requires->child;
    walk(&found, cfg_json_get(cfg_json_get(body, "definition"), "targeting"));
    walk(&found, cfg_json_get(body, "evaluators"));
    sort_unique(&found);
    bool says = (cJSON_IsObject(prerequisites) && prerequisites->child) || cJSON_IsObject(group) || found.n > 0 ||
                found.timed || demands;
    struct cfg_flag_facts *f = says && !found.failed ? calloc(1, sizeof *f) : NULL;
    bool ok = !found.failed && (!says || f);
    if (f) {
        *f = (struct cfg_flag_facts){.timed = found.timed, .n_refs = found.n};
        ok = copy_member(&f->prerequisites, prerequisites) && copy_member(&f->group, group) &&
             (!demands || (f->requires = cJSON_Duplicate(requires, true)) != NULL);
        if (ok && found.n > 0)
            ok = (f->refs = keep_names(&found)) != NULL;
    }
    free((void *)found.names);
    if (!ok) {
        cfg_flag_facts_free(f);
        return CFG_E_NOMEM;
    }
    *out = f;
    return 0;
}

void cfg_flag_facts_free(struct cfg_flag_facts *f)
{
    if (f == NULL)
        return;
    cJSON_Delete(f->prerequisites);
    cJSON_Delete(f->group);
    cJSON_Delete(f->requires);
    free((void *)f->refs);
    free(f);
}

bool cfg_flag_facts_refer(const struct cfg_flag_facts *f, const char *evaluator)
{
    return f && f->n_refs > 0 && bsearch(&evaluator, f->refs, f->n_refs, sizeof *f->refs, by_name) != NULL;
}

const cJSON *cfg_flag_facts_require(const struct cfg_flag_facts *f, const char *flag)
{
    return f ? cfg_json_get(f->prerequisites, flag) : NULL;
}
