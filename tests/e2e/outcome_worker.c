/* A worker whose requests have a planted outcome: `latency_ms` is around 40, and EFFECT more for those that are served
 * the variant "on". LOSE is the share of "on" requests whose outcome gets lost before it is told: a broken split. Every
 * request is of another targeting key. Stops when its standard input ends. */
#include <cfg/flags.h>

#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REQUESTS = 50, PAUSE_MS = 10 };

static unsigned long long state = 88172645463325252ULL;

static double uniform(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return ((double)(state >> 11) + 0.5) / 9007199254740992.0;
}

struct program {
    struct cfg_worker *w;
    cfg_flag flag;
    cfg_metric ms;
    const char *name;
    double effect, lose;
    unsigned long long served;
};

static void serve(struct program *p, const struct cfg_view *v)
{
    struct cfg_context who;
    char user[96];
    union cfg_value def = {.b = false};
    (void)snprintf(user, sizeof user, "%s-%llu", p->name, p->served++);
    cfg_context_init(&who, user);
    struct cfg_flag_answer a = cfg_flag_evaluate(v, p->flag, CFG_FLAG_BOOL, &who, def);
    double noise = sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
    if (!a.value.b || uniform() >= p->lose) {
        cfg_flag_metric(&a, &who, p->ms, 40 + 5 * noise + (a.value.b ? p->effect : 0));
    }
}

int main(int argc, char **argv)
{
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    struct cfg_error err = CFG_ERROR_INIT;
    struct program p = {.w = NULL};
    if (argc != 6) {
        (void)fprintf(stderr, "usage: outcome_worker DEPLOYMENT WORKER NS/FLAG EFFECT LOSE\n");
        return 2;
    }
    o.deployment = argv[1];
    o.worker = p.name = argv[2];
    o.cache = "";
    p.effect = strtod(argv[4], NULL);
    p.lose = strtod(argv[5], NULL);
    state += strlen(argv[2]) * 7919 + (unsigned char)argv[2][strlen(argv[2]) - 1];
    int rc = cfg_worker_open(&p.w, &o, &err);
    if (rc == 0) {
        p.flag = cfg_flag_declare(p.w, argv[3]);
        p.ms = cfg_metric_declare(p.w, "latency_ms");
        rc = cfg_worker_start(p.w, 10000, &err);
    }
    struct pollfd in = {0, POLLIN, 0};
    for (unsigned long long step = 1; rc == 0 && poll(&in, 1, PAUSE_MS) == 0; step++) {
        const struct cfg_view *v = cfg_step_begin(p.w, step);
        for (int i = 0; v != NULL && i < REQUESTS; i++) {
            serve(&p, v);
        }
        cfg_step_end(p.w, NULL);
    }
    cfg_worker_close(p.w);
    if (rc != 0) {
        (void)fprintf(stderr, "outcome_worker: %s\n", err.text);
    }
    return rc == 0 ? 0 : 1;
}
