/* What a request pays in a worker, per flag: evaluation against the step's view with the exposure counted, beside the
 * plain C that somebody would write for just this flag with a counter per variant. Then what a variant's parameters
 * cost: deciding an overlay and reading from it. */
#include "flags/murmur3.h"
#include "tests/bench/bench.h"

#include <cfg/flags.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 15, LOOPS = 1000000, USERS = 1000 };

static const char VIEW[] =
    "{\"parameters\":{\"sampling\":{\"temperature\":0.5,\"top_p\":1}},\"pinned\":{},\"flags\":{\"experiment\":{"
    "\"static\":{\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"on\":true,\"off\":false},\"defaultVariant\":"
    "\"on\"}},"
    "\"ab.flag\":{\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"on\":true,\"off\":false},\"defaultVariant\":"
    "\"on\",\"targeting\":{\"if\":[{\"==\":[{\"var\":\"country\"},\"NZ\"]},\"on\","
    "{\"in\":[{\"var\":\"plan\"},[\"gold\",\"platinum\"]]},\"on\","
    "{\"ends_with\":[{\"var\":\"email\"},\"@corp.example\"]},\"on\","
    "{\">=\":[{\"var\":\"age\"},65]},\"on\",{\"starts_with\":[{\"var\":\"device\"},\"test-\"]},\"on\","
    "{\"fractional\":[[\"on\",25],[\"off\",75]]}]}}},"
    "\"heat\":{\"overrides\":{\"hot\":{\"sampling.temperature\":0.9}},\"definition\":{\"state\":\"ENABLED\","
    "\"variants\":{\"hot\":1,\"cold\":2},\"defaultVariant\":\"cold\","
    "\"targeting\":{\"fractional\":[[\"hot\",50],[\"cold\",50]]}}}}}}";

struct user {
    char key[40], email[40];
    const char *country, *plan, *device;
    double age;
    struct cfg_context who;
};

static struct user users[USERS];
static _Atomic(uint64_t) served[2];
static cfg_flag fixed, ab;
static cfg_param temperature, top_p;

static uint64_t cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static struct cfg_worker *open_worker(void)
{
    char path[] = "/tmp/bench-request.XXXXXX.json", source[64];
    int fd = mkstemps(path, 5);
    if (fd < 0 || write(fd, VIEW, sizeof VIEW - 1) != (ssize_t)sizeof VIEW - 1)
        exit(1);
    close(fd);
    (void)snprintf(source, sizeof source, "file:%s", path);
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    o.source = source;
    o.deployment = "bench";
    o.cache = "";
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_worker *w = NULL;
    if (cfg_worker_open(&w, &o, &err) == 0) {
        temperature = cfg_param_f64(w, "sampling.temperature", CFG_LIVE, 0, 2, 0.7);
        top_p = cfg_param_f64(w, "sampling.top_p", CFG_LIVE, 0, 1, 1);
        fixed = cfg_flag_declare(w, "experiment/static");
        ab = cfg_flag_declare(w, "experiment/ab.flag");
        if (cfg_worker_start(w, 5000, &err) == 0) {
            (void)unlink(path);
            return w;
        }
    }
    fprintf(stderr, "bench: %s\n", err.text);
    exit(1);
}

static void describe(struct user *u)
{
    cfg_context_init(&u->who, u->key);
    cfg_context_string(&u->who, "email", u->email);
    cfg_context_string(&u->who, "country", u->country);
    cfg_context_string(&u->who, "plan", u->plan);
    cfg_context_number(&u->who, "age", u->age);
    cfg_context_string(&u->who, "device", u->device);
}

static void make_users(void)
{
    static const char *const countries[] = {"DE", "FR", "US", "JP"}, *const plans[] = {"free", "silver", "bronze"},
                             *const devices[] = {"phone-7", "tablet-2", "desktop"};
    for (unsigned i = 0; i < USERS; i++) {
        struct user *u = &users[i];
        (void)snprintf(u->key, sizeof u->key, "%08x-user-%06u", i * 2654435761U, i);
        (void)snprintf(u->email, sizeof u->email, "user%u@mail.example", i);
        u->country = countries[i % 4];
        u->plan = plans[i % 3];
        u->device = devices[i / 7 % 3];
        u->age = 18 + i % 40;
        describe(u);
    }
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static bool plain_eval(const struct user *u)
{
    if (strcmp(u->country, "NZ") == 0 || strcmp(u->plan, "gold") == 0 || strcmp(u->plan, "platinum") == 0 ||
        ends_with(u->email, "@corp.example") || u->age >= 65 || strncmp(u->device, "test-", 5) == 0)
        return true;
    char seed[80];
    int n = snprintf(seed, sizeof seed, "%s%s", "ab.flag", u->key);
    return ((uint64_t)cfg_murmur3(seed, (size_t)n) * 100) >> 32 < 25;
}

static double time_flag(unsigned *ons, const struct cfg_view *v, cfg_flag f)
{
    uint64_t start = cpu_ns();
    for (unsigned i = 0; i < LOOPS; i++)
        *ons += cfg_flag_bool(v, f, &users[i % USERS].who, false);
    return (double)(cpu_ns() - start) / LOOPS;
}

static double time_plain(unsigned *ons, bool rules)
{
    uint64_t start = cpu_ns();
    for (unsigned i = 0; i < LOOPS; i++) {
        bool on = !rules || plain_eval(&users[i % USERS]);
        (void)atomic_fetch_add_explicit(&served[on], 1, memory_order_relaxed);
        *ons += on;
    }
    return (double)(cpu_ns() - start) / LOOPS;
}

static void compare(const char *what, const struct cfg_view *v, cfg_flag f, bool rules, const char *goal)
{
    double ours[ROUNDS], naive[ROUNDS];
    for (unsigned r = 0; r < ROUNDS; r++) {
        unsigned a = 0, b = 0;
        ours[r] = time_flag(&a, v, f);
        naive[r] = time_plain(&b, rules);
        if (a != b) {
            fprintf(stderr, "bench: %u on, %u in plain C\n", a, b);
            exit(1);
        }
    }
    bench_print_ratio(what, "ns", ours, naive, ROUNDS, goal);
}

static void time_rest(const struct cfg_view *v)
{
    double context[ROUNDS], begin[ROUNDS], read[ROUNDS], sum = 0;
    struct cfg_overlay o;
    for (unsigned r = 0; r < ROUNDS; r++) {
        uint64_t start = cpu_ns();
        for (unsigned i = 0; i < LOOPS; i++)
            describe(&users[i % USERS]);
        context[r] = (double)(cpu_ns() - start) / LOOPS;
        start = cpu_ns();
        for (unsigned i = 0; i < LOOPS; i++) {
            cfg_overlay_begin(&o, v, &users[i % USERS].who);
            sum += o.n_values;
        }
        begin[r] = (double)(cpu_ns() - start) / LOOPS;
        start = cpu_ns();
        for (unsigned i = 0; i < LOOPS; i++) {
            __asm__ volatile("" : : : "memory");
            sum += cfg_overlay_f64(&o, temperature) + cfg_overlay_f64(&o, top_p);
        }
        read[r] = (double)(cpu_ns() - start) / LOOPS / 2;
    }
    struct bench_spread c = bench_spread(context, ROUNDS), b = bench_spread(begin, ROUNDS),
                        g = bench_spread(read, ROUNDS);
    printf("a context of six attributes       %.1f ns (%.1f … %.1f)\n", c.median, c.min, c.max);
    printf("parameters decided by one split   %.1f ns (%.1f … %.1f)\n", b.median, b.min, b.max);
    printf("reading one of them               %.2f ns (%.2f … %.2f)%s\n", g.median, g.min, g.max, sum > 0 ? "" : "!");
}

int main(void)
{
    bench_pin(1);
    struct cfg_worker *w = open_worker();
    make_users();
    const struct cfg_view *v = cfg_step_begin(w, 0);
    compare("request: static flag, counted", v, fixed, false, "tens of ns");
    compare("request: five rules and a split, counted", v, ab, true, "150 ns");
    time_rest(v);
    cfg_worker_close(w);
    return 0;
}
