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

static size_t metric_of(const struct cfg_seen_variant *v, const char *name)
{
    size_t i = 0;
    while (i < v->n_metrics && strcmp(v->names[i], name) != 0)
        i++;
    return i;
}

const struct cfg_moments *cfg_seen_metric(const struct cfg_seen_variant *v, const char *metric)
{
    size_t i = metric_of(v, metric);
    return i < v->n_metrics ? &v->metrics[i] : NULL;
}

void cfg_seen_outcome(struct cfg_seen *s, const char *deployment, const cJSON *outcome, uint64_t now_ms)
{
    struct cfg_seen_variant *v = variant_at(s, deployment, cfg_json_get_str(outcome, "flag", ""),
                                            cfg_json_get_str(outcome, "variant", ""), now_ms);
    const cJSON *metric;
    struct cfg_moments m;
    if (v == NULL || !cfg_hll_unite(v->registers, cfg_json_get_str(outcome, "units", "")))
        return;
    cJSON_ArrayForEach(metric, cfg_json_get(outcome, "metrics"))
    {
        size_t i = metric_of(v, metric->string);
        if (i == CFG_SEEN_METRICS || cfg_moments_parse(&m, metric, NULL) != 0)
            continue;
        if (i == v->n_metrics && (v->names[i] = strdup(metric->string)) == NULL)
            continue;
        v->n_metrics += i == v->n_metrics;
        cfg_moments_merge(&v->metrics[i], &m);
    }
}
