/* Layers: five of 1,000 keys merged and resolved, a tenth of the values interpolations; and a base of 1,000 keys
 * resolved again under each of 1,000 namespaces that override 50 of them. Beside each the plain C merge that somebody
 * would write for flat documents without interpolations: a hash table of keys, the winners copied out. */
#include "proto/layers.h"
#include "tests/bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 15, LOOPS = 50, GROUPS = 20, KEYS = 1000, LAYERS = 5, NAMESPACES = 1000, OWN = 50, TABLE = 4096 };

static uint64_t cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static void fail(const char *what)
{
    fprintf(stderr, "bench_layers: %s\n", what);
    exit(1);
}

/* Groups of keys, of each of which a layer sets every `step`th from `first` on. Each tenth value is an interpolation.
 */
static cJSON *make_layer(unsigned seed, unsigned first, unsigned step, bool inter)
{
    struct cfg_buf text;
    cJSON *document = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cfg_buf_init(&text, 1 << 24);
    cfg_buf_puts(&text, "{\"top\":{\"value\":3}");
    for (unsigned g = 0; g < GROUPS; g++) {
        bool begun = false;
        for (unsigned k = first; k < KEYS / GROUPS; k += step) {
            if (begun)
                cfg_buf_printf(&text, ",\"key_%u\":", k);
            else
                cfg_buf_printf(&text, ",\"group_%u\":{\"key_%u\":", g, k);
            begun = true;
            if (inter && k % 10 == 0)
                cfg_buf_puts(&text, k % 20 ? "\"${top.value}\"" : "\"v ${.key_1} ${top.value}\"");
            else if (k % 3 == 0)
                cfg_buf_printf(&text, "\"text %u\"", k + seed);
            else
                cfg_buf_printf(&text, "%u", k + seed);
        }
        if (begun)
            cfg_buf_putc(&text, '}');
    }
    cfg_buf_putc(&text, '}');
    if (cfg_json_parse(&document, cfg_buf_slice(&text), 0, &err))
        fail(err.text);
    cfg_buf_finish(&text);
    return document;
}

static cJSON *ours(const struct cfg_layer *layers, size_t n)
{
    struct cfg_layers *l = NULL;
    cJSON *v = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    if (cfg_layers_merge(&l, layers, n, NULL, &err) || cfg_layers_resolve(&v, l, &err))
        fail(err.text);
    cfg_layers_free(l);
    return v;
}

/* --- the plain C: two levels, no interpolations --- */

struct slot {
    const char *group, *key;
    const cJSON *value;
};

static uint32_t fnv(const char *a, const char *b)
{
    uint32_t h = 2166136261U;
    for (; *a; a++)
        h = (h ^ (unsigned char)*a) * 16777619U;
    for (; *b; b++)
        h = (h ^ (unsigned char)*b) * 16777619U;
    return h;
}

static struct slot *find(struct slot *table, const char *group, const char *key)
{
    uint32_t at = fnv(group, key) % TABLE;
    while (table[at].key && (strcmp(table[at].key, key) != 0 || strcmp(table[at].group, group) != 0))
        at = (at + 1) % TABLE;
    return &table[at];
}

static cJSON *plain(const struct cfg_layer *layers, size_t n)
{
    static struct slot table[TABLE], *order[TABLE];
    size_t count = 0;
    memset(table, 0, sizeof table);
    for (size_t i = 0; i < n; i++)
        for (const cJSON *g = layers[i].document->child; g; g = g->next)
            for (const cJSON *k = g->child; k; k = k->next) {
                struct slot *slot = find(table, g->string, k->string);
                if (slot->key == NULL)
                    order[count++] = slot;
                *slot = (struct slot){g->string, k->string, k};
            }
    cJSON *out = cJSON_CreateObject(), *group = NULL;
    for (size_t i = 0; i < count; i++) {
        if (group == NULL || strcmp(group->string, order[i]->group) != 0)
            group = cJSON_AddObjectToObject(out, order[i]->group);
        cJSON *copy = cJSON_Duplicate(order[i]->value, false);
        cfg_json_forget_key(copy);
        (void)cJSON_AddItemToObject(group, order[i]->key, copy);
    }
    return out;
}

/* --- rounds --- */

static double five_ms(cJSON *(*merge)(const struct cfg_layer *, size_t), cJSON *const *documents)
{
    struct cfg_layer layers[LAYERS];
    for (size_t i = 0; i < LAYERS; i++)
        layers[i] = (struct cfg_layer){"layer", documents[i]};
    uint64_t start = cpu_ns();
    for (int i = 0; i < LOOPS; i++)
        cJSON_Delete(merge(layers, LAYERS));
    return (double)(cpu_ns() - start) / 1e6 / LOOPS;
}

static double thousand_ms(cJSON *(*merge)(const struct cfg_layer *, size_t), const cJSON *base, cJSON *const *own)
{
    uint64_t start = cpu_ns();
    for (int i = 0; i < NAMESPACES; i++) {
        struct cfg_layer layers[2] = {{"base", base}, {"own", own[i]}};
        cJSON_Delete(merge(layers, 2));
    }
    return (double)(cpu_ns() - start) / 1e6;
}

int main(void)
{
    static cJSON *own[NAMESPACES];
    cJSON *layers[LAYERS];
    double a[ROUNDS], b[ROUNDS], c[ROUNDS], d[ROUNDS];
    bench_pin(0);
    for (unsigned i = 0; i < LAYERS; i++)
        layers[i] = make_layer(i, 0, 1, i == 0 || i == LAYERS - 1);
    for (unsigned i = 0; i < NAMESPACES; i++)
        own[i] = make_layer(i, i % 20 + 1, KEYS / OWN, false);
    for (size_t r = 0; r < ROUNDS; r++) {
        a[r] = five_ms(ours, layers);
        b[r] = five_ms(plain, layers);
        c[r] = thousand_ms(ours, layers[0], own);
        d[r] = thousand_ms(plain, layers[0], own);
    }
    bench_print_ratio("five layers of 1,000 keys", " ms", a, b, ROUNDS, "2 ms");
    bench_print_ratio("a base of 1,000 keys under 1,000 namespaces", " ms", c, d, ROUNDS, "1,000 ms");
    for (size_t i = 0; i < LAYERS; i++)
        cJSON_Delete(layers[i]);
    for (size_t i = 0; i < NAMESPACES; i++)
        cJSON_Delete(own[i]);
    return 0;
}
