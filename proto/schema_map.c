/* The compiler's hash table, and hashes of texts and values. */
#include "proto/schema_internal.h"

#include <stdlib.h>
#include <string.h>

uint32_t cfg_schema_hash(const char *s, size_t n)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)s[i]) * 16777619u;
    return h;
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xFF51AFD7ED558CCDu;
    x ^= x >> 33;
    x *= 0xC4CEB9FE1A85EC53u;
    return x ^ (x >> 33);
}

static uint64_t hash_text(const char *s)
{
    uint64_t h = 14695981039346656037u;
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 1099511628211u;
    return mix(h);
}

uint64_t cfg_schema_hash_value(const cJSON *v)
{
    uint64_t h = 0, bits;
    if (cJSON_IsObject(v)) {
        for (const cJSON *m = v->child; m; m = m->next)
            h += mix(hash_text(m->string) ^ (cfg_schema_hash_value(m) * 31)); /* the order of members is no matter */
        return mix(h ^ 1);
    }
    if (cJSON_IsArray(v)) {
        for (const cJSON *m = v->child; m; m = m->next)
            h = mix(h + cfg_schema_hash_value(m) + 1);
        return mix(h ^ 2);
    }
    if (cJSON_IsString(v))
        return hash_text(v->valuestring) ^ 3;
    if (cJSON_IsNumber(v)) {
        double d = v->valuedouble == 0 ? 0 : v->valuedouble; /* −0 equals 0 */
        memcpy(&bits, &d, sizeof bits);
        return mix(bits ^ 4);
    }
    return cJSON_IsNull(v) ? 5 : cJSON_IsTrue(v) ? 6 : 7;
}

static uint64_t hash_key(const void *key, bool text)
{
    return text ? hash_text(key) : mix((uint64_t)(uintptr_t)key);
}

static struct schema_entry *find(const struct schema_map *m, const void *key, bool text, uint64_t hash)
{
    for (size_t i = hash & (m->size - 1);; i = (i + 1) & (m->size - 1)) {
        struct schema_entry *e = &m->entries[i];
        if (e->key == NULL)
            return e;
        if (e->hash == hash && e->text == text && (text ? strcmp(e->key, key) == 0 : e->key == key))
            return e;
    }
}

void *cfg_schema_map_get(const struct schema_map *m, const void *key, bool text)
{
    return m->size ? find(m, key, text, hash_key(key, text))->value : NULL;
}

static int grow(struct schema_map *m)
{
    struct schema_map wide = {.n = m->n, .size = m->size ? m->size * 2 : 64};
    wide.entries = calloc(wide.size, sizeof *wide.entries);
    if (wide.entries == NULL)
        return CFG_E_NOMEM;
    for (size_t i = 0; i < m->size; i++)
        if (m->entries[i].key)
            *find(&wide, m->entries[i].key, m->entries[i].text, m->entries[i].hash) = m->entries[i];
    free(m->entries);
    *m = wide;
    return 0;
}

int cfg_schema_map_set(struct schema_map *m, const void *key, bool text, void *value)
{
    if (m->n * 2 >= m->size && grow(m))
        return CFG_E_NOMEM;
    uint64_t hash = hash_key(key, text);
    struct schema_entry *e = find(m, key, text, hash);
    m->n += e->key == NULL;
    *e = (struct schema_entry){hash, key, text, value};
    return 0;
}

void cfg_schema_map_finish(struct schema_map *m)
{
    free(m->entries);
}
