#include "configd/experiment_seen.h"

#include <stdlib.h>
#include <string.h>

static void free_variant(struct cfg_seen_variant *v)
{
    for (size_t i = 0; i < v->n_metrics; i++)
        free(v->names[i]);
    free(v->deployment);
    free(v->flag);
    free(v->variant);
    free(v);
}

void cfg_seen_finish(struct cfg_seen *s)
{
    for (size_t i = 0; i < s->n; i++)
        free_variant(s->variants[i]);
    *s = (struct cfg_seen){.n = 0};
}

static size_t index_of(const struct cfg_seen *s, const char *deployment, const char *flag, const char *variant)
{
    size_t i = 0;
    while (i < s->n && (strcmp(s->variants[i]->variant, variant) != 0 || strcmp(s->variants[i]->flag, flag) != 0 ||
                        strcmp(s->variants[i]->deployment, deployment) != 0))
        i++;
    return i;
}

const struct cfg_seen_variant *cfg_seen_find(const struct cfg_seen *s, const char *deployment, const char *flag,
                                             const char *variant)
{
    size_t i = index_of(s, deployment, flag, variant);
    return i < s->n ? s->variants[i] : NULL;
}

static struct cfg_seen_variant *variant_at(struct cfg_seen *s, const char *deployment, const char *flag,
                                           const char *variant, uint64_t now_ms)
{
    size_t i = index_of(s, deployment, flag, variant);
    if (i < s->n)
        return s->variants[i];
    struct cfg_seen_variant *v = i < CFG_SEEN_VARIANTS ? calloc(1, sizeof *v) : NULL;
    if (v == NULL)
        return NULL;
    v->since_ms = now_ms;
    v->deployment = strdup(deployment);
    v->flag = strdup(flag);
    v->variant = strdup(variant);
    if (v->deployment == NULL || v->flag == NULL || v->variant == NULL) {
        free_variant(v);
        return NULL;
    }
    s->variants[s->n++] = v;
    return v;
}

size_t cfg_seen_metric(const struct cfg_seen_variant *v, const char *metric)
{
    size_t i = 0;
    while (i < v->n_metrics && strcmp(v->names[i], metric) != 0)
        i++;
    return i;
}

void cfg_seen_outcome(struct cfg_seen *s, const char *deployment, const cJSON *outcome, uint64_t now_ms)
{
    struct cfg_seen_variant *v = variant_at(s, deployment, cfg_json_get_str(outcome, "flag", ""),
                                            cfg_json_get_str(outcome, "variant", ""), now_ms);
    const cJSON *metric;
    struct cfg_moments m;
    struct cfg_parts p;
    if (v == NULL || !cfg_hll_unite(v->registers, cfg_json_get_str(outcome, "units", "")))
        return;
    cJSON_ArrayForEach(metric, cfg_json_get(outcome, "metrics"))
    {
        size_t i = cfg_seen_metric(v, metric->string);
        if (i == CFG_SEEN_METRICS || cfg_moments_parse(&m, metric, NULL) != 0 ||
            cfg_parts_parse(&p, cfg_json_get(cfg_json_get(outcome, "parts"), metric->string), NULL) != 0)
            continue;
        if (i == v->n_metrics && (v->names[i] = strdup(metric->string)) == NULL)
            continue;
        v->n_metrics += i == v->n_metrics;
        cfg_moments_merge(&v->metrics[i], &m);
        cfg_parts_merge(&v->parts[i], &p);
    }
}

static bool add_text(cJSON *to, const char *name, struct cfg_buf *text)
{
    cJSON *v = NULL;
    return cfg_buf_status(text) == 0 && cfg_json_parse(&v, cfg_buf_slice(text), 8, NULL) == 0 &&
           cfg_json_set(to, name, v) == 0;
}

static bool tell_metric(cJSON *metrics, cJSON *parts, const struct cfg_seen_variant *v, size_t i)
{
    struct cfg_buf text;
    cfg_buf_init(&text, 16384);
    cfg_moments_print(&text, &v->metrics[i]);
    bool ok = add_text(metrics, v->names[i], &text);
    cfg_buf_clear(&text);
    cfg_parts_print(&text, &v->parts[i]);
    ok = ok && add_text(parts, v->names[i], &text);
    cfg_buf_finish(&text);
    return ok;
}

static bool tell_variant(cJSON *list, const struct cfg_seen_variant *v, uint64_t now_ms)
{
    char units[CFG_HLL_REGISTERS + 1];
    cJSON *o = cJSON_CreateObject(), *metrics = cJSON_AddObjectToObject(o, "metrics"),
          *parts = cJSON_AddObjectToObject(o, "parts");
    cfg_hll_print(units, v->registers);
    bool ok = metrics && parts && cJSON_AddStringToObject(o, "flag", v->flag) &&
              cJSON_AddStringToObject(o, "variant", v->variant) && cJSON_AddStringToObject(o, "units", units) &&
              cJSON_AddNumberToObject(o, "age_ms", (double)(now_ms - v->since_ms));
    for (size_t i = 0; ok && i < v->n_metrics; i++)
        ok = tell_metric(metrics, parts, v, i);
    if (ok && cJSON_AddItemToArray(list, o))
        return true;
    cJSON_Delete(o);
    return false;
}

bool cfg_seen_tell(cJSON *list, const struct cfg_seen *s, const char *deployment, uint64_t now_ms)
{
    bool ok = true;
    for (size_t i = 0; ok && i < s->n; i++)
        if (strcmp(s->variants[i]->deployment, deployment) == 0)
            ok = tell_variant(list, s->variants[i], now_ms);
    return ok;
}
