#include "tests/bench/layers_plain.h"
#include "proto/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GROUPS = 20, TABLE = 4096 };

cJSON *bench_layer(unsigned seed, unsigned first, unsigned step, bool inter)
{
    struct cfg_buf text;
    cJSON *document = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cfg_buf_init(&text, 1 << 24);
    cfg_buf_puts(&text, "{\"top\":{\"value\":3}");
    for (unsigned g = 0; g < GROUPS; g++) {
        bool begun = false;
        for (unsigned k = first; k < BENCH_LAYER_KEYS / GROUPS; k += step) {
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
    if (cfg_json_parse(&document, cfg_buf_slice(&text), 0, &err)) {
        fprintf(stderr, "bench: %s\n", err.text);
        exit(1);
    }
    cfg_buf_finish(&text);
    return document;
}

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

cJSON *bench_plain_merge(const struct cfg_layer *layers, size_t n)
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
