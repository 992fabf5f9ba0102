/* Answers one request per line, for stats.py: {"effect":[moments, moments]} (treatment, base), {"sequence":[alpha,
 * planned], "difference":d,"variance":v,
 * "freedom":f?}, {"parts":[[unit, x], …]}, {"mismatch":[[counts],[shares]]}, {"power":[alpha, planned, difference, end,
 * looks]},
 * {"plan":[alpha, power, difference, base variance, treatment variance, base share, treatment share, looks]}. */
#include "proto/json.h"
#include "proto/parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static double number(const cJSON *list, int i)
{
    return cJSON_GetArrayItem(list, i)->valuedouble;
}

static void effect(const cJSON *pair)
{
    struct cfg_moments m[2];
    struct cfg_error err;
    struct cfg_effect e;
    for (int i = 0; i < 2; i++) {
        if (cfg_moments_parse(&m[i], cJSON_GetArrayItem(pair, i), &err) != 0) {
            exit(1);
        }
    }
    if (!cfg_effect_of(&e, &m[0], &m[1])) {
        exit(1);
    }
    printf("[%.17g,%.17g,%.17g,%.17g,%.17g,%.17g]\n", e.difference, e.variance, e.relative, e.relative_variance,
           e.cautious, e.freedom);
}

/* [[unit, x], …] */
static void parts(const cJSON *samples)
{
    struct cfg_parts p = {0};
    struct cfg_moments m = {0};
    struct cfg_estimate e;
    const cJSON *s;
    cJSON_ArrayForEach(s, samples)
    {
        cfg_parts_add(&p, (uint64_t)number(s, 0), number(s, 1));
        cfg_moments_add(&m, number(s, 1));
    }
    if (!cfg_parts_estimate(&e, &p, &m)) {
        exit(1);
    }
    printf("[%.17g,%.17g,%.17g]\n", e.mean, e.variance, e.freedom);
}

static void sequence(const cJSON *request)
{
    const cJSON *of = cfg_json_get(request, "sequence");
    struct cfg_sequence s = cfg_sequence_for(number(of, 0), number(of, 1));
    double difference = cfg_json_get(request, "difference")->valuedouble;
    double variance = cfg_json_get(request, "variance")->valuedouble;
    double freedom = cfg_json_get_num(request, "freedom", INFINITY);
    printf("[%.17g,%.17g,%.17g]\n", s.mix, cfg_sequence_half_width(&s, variance, freedom),
           cfg_sequence_p(&s, difference, variance, freedom));
}

static void mismatch(const cJSON *both)
{
    uint64_t counts[CFG_STATS_ARMS_MAX];
    double shares[CFG_STATS_ARMS_MAX];
    const cJSON *c = cJSON_GetArrayItem(both, 0), *s = cJSON_GetArrayItem(both, 1);
    int n = cJSON_GetArraySize(c);
    for (int i = 0; i < n && i < CFG_STATS_ARMS_MAX; i++) {
        counts[i] = (uint64_t)number(c, i);
        shares[i] = number(s, i);
    }
    printf("[%.17g]\n", cfg_mismatch_p(counts, shares, (size_t)n));
}

static void power(const cJSON *p)
{
    struct cfg_sequence s = cfg_sequence_for(number(p, 0), number(p, 1));
    printf("[%.17g]\n", cfg_sequence_power(&s, number(p, 2), number(p, 3), (unsigned)number(p, 4), INFINITY));
}

static void plan(const cJSON *p)
{
    struct cfg_experiment_plan e = {number(p, 0), number(p, 1),           number(p, 2),
                                    number(p, 3), number(p, 4),           number(p, 5),
                                    number(p, 6), (unsigned)number(p, 7), 0};
    printf("[%.17g]\n", cfg_experiment_samples(NULL, &e));
}

int main(void)
{
    static char line[1 << 20];
    while (fgets(line, sizeof line, stdin) != NULL) {
        struct cfg_error err;
        cJSON *request = NULL;
        if (cfg_json_parse(&request, cfg_slice_str(line), 0, &err) != 0) {
            fprintf(stderr, "%s\n", err.text);
            return 1;
        }
        const char *what = request->child->string;
        if (cfg_json_get(request, "effect") != NULL)
            effect(cfg_json_get(request, "effect"));
        else if (cfg_json_get(request, "parts") != NULL)
            parts(cfg_json_get(request, "parts"));
        else if (cfg_json_get(request, "sequence") != NULL)
            sequence(request);
        else if (cfg_json_get(request, "mismatch") != NULL)
            mismatch(cfg_json_get(request, "mismatch"));
        else if (cfg_json_get(request, "power") != NULL)
            power(cfg_json_get(request, "power"));
        else if (cfg_json_get(request, "plan") != NULL)
            plan(cfg_json_get(request, "plan"));
        else {
            fprintf(stderr, "no such question: %s\n", what);
            return 1;
        }
        cJSON_Delete(request);
        (void)fflush(stdout);
    }
    return 0;
}
