/* Flags on one core, 1,000 of them, distinct users: a static flag, and five targeting rules with a percentage split
 * behind them; beside each the plain C that somebody would write for just these flags (a hash table of names, strcmp,
 * murmur3). Then loading 100,000 flags, from text and from trees. */
#include "flags/murmur3.h"
#include "flags/set.h"
#include "tests/bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 15, LOOPS = 1000000, FLAGS = 1000, USERS = 1000, ATTRIBUTES = 6, MANY = 100000, TABLE = 4096 };

/* CPU time, as the figures of others are: neighbours on the machine do not count. */
static uint64_t cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

struct user {
    char key[40], email[40];
    const char *country, *plan, *device;
    double age;
    struct cfg_flag_member members[ATTRIBUTES];
    struct cfg_flag_context context;
};

/* --- the plain C --- */

struct plain_flag {
    char name[24];
    bool rules, on;
    struct plain_flag *next;
};

static struct plain_flag plain[FLAGS];
static struct plain_flag *table[TABLE];

static uint32_t fnv(const char *s)
{
    uint32_t h = 2166136261U;
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 16777619U;
    return h;
}

static const struct plain_flag *plain_find(const char *name)
{
    const struct plain_flag *f = table[fnv(name) % TABLE];
    while (f && strcmp(f->name, name) != 0)
        f = f->next;
    return f;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static bool plain_eval(const char *name, const struct user *u)
{
    const struct plain_flag *f = plain_find(name);
    if (f == NULL || !f->rules)
        return f && f->on;
    if (strcmp(u->country, "NZ") == 0 || strcmp(u->plan, "gold") == 0 || strcmp(u->plan, "platinum") == 0 ||
        ends_with(u->email, "@corp.example") || u->age >= 65 || strncmp(u->device, "test-", 5) == 0)
        return true;
    char seed[80];
    int n = snprintf(seed, sizeof seed, "%s%s", name, u->key);
    return ((uint64_t)cfg_murmur3(seed, (size_t)n) * 100) >> 32 < 25;
}

/* --- the flags and the users --- */

static const char variants[] =
    "\"state\":\"ENABLED\",\"variants\":{\"on\":true,\"off\":false},\"defaultVariant\":\"on\"";
static const char rules[] = ",\"targeting\":{\"if\":[{\"==\":[{\"var\":\"country\"},\"NZ\"]},\"on\","
                            "{\"in\":[{\"var\":\"plan\"},[\"gold\",\"platinum\"]]},\"on\","
                            "{\"ends_with\":[{\"var\":\"email\"},\"@corp.example\"]},\"on\","
                            "{\">=\":[{\"var\":\"age\"},65]},\"on\","
                            "{\"starts_with\":[{\"var\":\"device\"},\"test-\"]},\"on\","
                            "{\"fractional\":[[\"on\",25],[\"off\",75]]}]}";

static void must(int rc, const struct cfg_error *err)
{
    if (rc == 0)
        return;
    fprintf(stderr, "bench: %s\n", err->text);
    exit(1);
}

/* A flagd document of n flags, every second one with rules. */
static void write_document(struct cfg_buf *out, unsigned n)
{
    cfg_buf_puts(out, "{\"flags\":{");
    for (unsigned i = 0; i < n; i++)
        cfg_buf_printf(out, "%s\"feature-%05u\":{%s%s}", i ? "," : "", i, variants, i % 2 ? rules : "");
    cfg_buf_puts(out, "}}");
}

static struct cfg_flag_set *make_set(void)
{
    struct cfg_buf text;
    cfg_buf_init(&text, 1 << 26);
    write_document(&text, FLAGS);
    cJSON *document = NULL;
    struct cfg_flag_set *set = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    must(cfg_json_parse(&document, cfg_buf_slice(&text), 0, &err), &err);
    must(cfg_flag_set_compile_flagd(&set, document, false, &err), &err);
    cJSON_Delete(document);
    cfg_buf_finish(&text);
    for (unsigned i = 0; i < FLAGS; i++) {
        (void)snprintf(plain[i].name, sizeof plain[i].name, "feature-%05u", i);
        plain[i].rules = i % 2;
        plain[i].on = true;
        uint32_t slot = fnv(plain[i].name) % TABLE;
        plain[i].next = table[slot];
        table[slot] = &plain[i];
    }
    return set;
}

static struct user *make_users(void)
{
    static const char *const countries[] = {"DE", "FR", "US", "JP"}, *const plans[] = {"free", "silver", "bronze"},
                             *const devices[] = {"phone-7", "tablet-2", "desktop"};
    struct user *users = calloc(USERS, sizeof *users);
    for (unsigned i = 0; users && i < USERS; i++) {
        struct user *u = &users[i];
        (void)snprintf(u->key, sizeof u->key, "%08x-user-%06u", i * 2654435761U, i);
        (void)snprintf(u->email, sizeof u->email, "user%u@mail.example", i);
        u->country = countries[i % 4];
        u->plan = plans[i % 3];
        u->device = devices[i / 7 % 3];
        u->age = 18 + i % 40;
        u->members[0] = cfg_flag_member_str("targetingKey", u->key);
        u->members[1] = cfg_flag_member_str("email", u->email);
        u->members[2] = cfg_flag_member_str("country", u->country);
        u->members[3] = cfg_flag_member_str("plan", u->plan);
        u->members[4] = cfg_flag_member_number("age", u->age);
        u->members[5] = cfg_flag_member_str("device", u->device);
        u->context = (struct cfg_flag_context){.attributes = u->members, .n_attributes = ATTRIBUTES};
    }
    return users;
}

/* --- evaluating --- */

/* Nanoseconds per evaluation; *ons counts what came out on, so that both sides are seen to agree. */
static double time_ours(unsigned *ons, const struct cfg_flag_set *set, const struct user *users, unsigned odd)
{
    uint64_t start = cpu_ns();
    for (unsigned i = 0; i < LOOPS; i++) {
        const char *name = plain[(i * 7919U % (FLAGS / 2)) * 2 + odd].name;
        struct cfg_flag_result r = cfg_flag_set_eval(set, name, 13, CFG_FLAG_BOOL, &users[i % USERS].context);
        *ons += r.value && cJSON_IsTrue(r.value);
    }
    return (double)(cpu_ns() - start) / LOOPS;
}

static double time_plain(unsigned *ons, const struct user *users, unsigned odd)
{
    uint64_t start = cpu_ns();
    for (unsigned i = 0; i < LOOPS; i++)
        *ons += plain_eval(plain[(i * 7919U % (FLAGS / 2)) * 2 + odd].name, &users[i % USERS]);
    return (double)(cpu_ns() - start) / LOOPS;
}

static void compare(const char *what, const struct cfg_flag_set *set, const struct user *users, unsigned odd,
                    const char *goal)
{
    double ours[ROUNDS], naive[ROUNDS];
    for (unsigned r = 0; r < ROUNDS; r++) {
        unsigned a = 0, b = 0;
        ours[r] = time_ours(&a, set, users, odd);
        naive[r] = time_plain(&b, users, odd);
        if (a != b) {
            fprintf(stderr, "bench: %u on, %u in plain C\n", a, b);
            exit(1);
        }
    }
    bench_print_ratio(what, "ns", ours, naive, ROUNDS, goal);
}

/* --- loading --- */

static void load_many(void)
{
    struct cfg_buf text;
    cfg_buf_init(&text, 1 << 28);
    write_document(&text, MANY);
    double parse[5], compile[5];
    size_t bytes = 0;
    struct cfg_error err = CFG_ERROR_INIT;
    for (int r = 0; r < 5; r++) {
        cJSON *document = NULL;
        struct cfg_flag_set *set = NULL;
        uint64_t start = cpu_ns();
        must(cfg_json_parse(&document, cfg_buf_slice(&text), 0, &err), &err);
        uint64_t parsed = cpu_ns();
        must(cfg_flag_set_compile_flagd(&set, document, false, &err), &err);
        parse[r] = (double)(parsed - start) / 1e9;
        compile[r] = (double)(cpu_ns() - parsed) / 1e9;
        bytes = cfg_flag_set_bytes(set);
        cJSON_Delete(document);
        cfg_flag_set_free(set);
    }
    struct bench_spread p = bench_spread(parse, 5), c = bench_spread(compile, 5);
    printf("load 100,000 flags (%.0f MB)  reading JSON %.3f s, compiling %.3f s, together %.3f s (goal 0.5 s); "
           "%zu bytes per flag (goal 1024)\n",
           (double)text.len / 1e6, p.median, c.median, p.median + c.median, bytes / MANY);
    cfg_buf_finish(&text);
}

int main(void)
{
    bench_pin(1);
    struct cfg_flag_set *set = make_set();
    struct user *users = make_users();
    if (users == NULL)
        return 1;
    compare("static flag", set, users, 0, "25 ns");
    compare("five rules and a split", set, users, 1, "150 ns");
    cfg_flag_set_free(set);
    free(users);
    load_many();
    return 0;
}
