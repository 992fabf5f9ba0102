#include "flags/arena.h"
#include "flags/value.h"

#include <stdalign.h>
#include <string.h>

enum { FIRST_CHUNK = 512, LARGEST_CHUNK = 1 << 20, ALIGNMENT = 16 };

struct arena_chunk {
    struct arena_chunk *next;
    size_t used, size;
    alignas(ALIGNMENT) char bytes[];
};

/* Reads eight bytes at a time: names are short, and every lookup hashes one. */
uint32_t cfg_flag_name_hash(const char *name, size_t len)
{
    static const uint64_t a = 0x9e3779b97f4a7c15U, b = 0xd6e8feb86659fd93U;
    uint64_t h = len * a, word = 0;
    for (; len >= 8; len -= 8, name += 8) {
        memcpy(&word, name, 8);
        h = (h ^ word) * b;
        h ^= h >> 32;
    }
    word = 0;
    if (len >= 4) {
        uint32_t low, high;
        memcpy(&low, name, 4);
        memcpy(&high, name + len - 4, 4);
        word = (uint64_t)high << 32 | low;
    } else if (len > 0) {
        word =
            (uint64_t)(uint8_t)name[0] | (uint64_t)(uint8_t)name[len / 2] << 8 | (uint64_t)(uint8_t)name[len - 1] << 16;
    }
    h = (h ^ word) * b;
    h ^= h >> 29;
    h *= a;
    return (uint32_t)(h >> 32);
}

void cfg_arena_init(struct arena *a, size_t expected)
{
    memset(a, 0, sizeof *a);
    a->next_size = expected < FIRST_CHUNK ? FIRST_CHUNK : expected > LARGEST_CHUNK ? LARGEST_CHUNK : expected;
}

void cfg_arena_seal(struct arena *a)
{
    cJSON_free((void *)a->table);
    a->table = NULL;
    a->table_size = a->n_strings = 0;
}

void cfg_arena_finish(struct arena *a)
{
    cfg_arena_seal(a);
    struct arena_chunk *c = a->chunks;
    while (c != NULL) {
        struct arena_chunk *next = c->next;
        cJSON_free(c);
        c = next;
    }
    a->chunks = NULL;
}

static bool add_chunk(struct arena *a, size_t at_least)
{
    size_t size = a->next_size > at_least ? a->next_size : at_least;
    struct arena_chunk *c = cJSON_malloc(sizeof *c + size);
    if (c == NULL)
        return false;
    c->next = a->chunks;
    c->used = 0;
    c->size = size;
    a->chunks = c;
    a->bytes += sizeof *c + size;
    if (a->next_size < LARGEST_CHUNK)
        a->next_size *= 2;
    return true;
}

void *cfg_arena_take(struct arena *a, size_t n)
{
    if (n > SIZE_MAX / 2)
        return NULL;
    n = (n + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    struct arena_chunk *c = a->chunks;
    if ((c == NULL || c->size - c->used < n) && !add_chunk(a, n))
        return NULL;
    c = a->chunks;
    void *p = c->bytes + c->used;
    c->used += n;
    return memset(p, 0, n);
}

static bool grow_table(struct arena *a)
{
    size_t size = a->table_size ? a->table_size * 2 : 32;
    const struct arena_string **table = cJSON_malloc(size * sizeof *table);
    if (table == NULL)
        return false;
    memset((void *)table, 0, size * sizeof *table);
    for (size_t i = 0; i < a->table_size; i++) {
        if (a->table[i] == NULL)
            continue;
        size_t at = a->table[i]->hash & (size - 1);
        while (table[at] != NULL)
            at = (at + 1) & (size - 1);
        table[at] = a->table[i];
    }
    cJSON_free((void *)a->table);
    a->table = table;
    a->table_size = size;
    return true;
}

const struct arena_string *cfg_arena_intern(struct arena *a, const char *bytes, size_t n)
{
    if (n >= UINT32_MAX || ((a->n_strings + 1) * 2 > a->table_size && !grow_table(a)))
        return NULL;
    uint32_t hash = cfg_flag_name_hash(bytes, n);
    size_t at = hash & (a->table_size - 1);
    for (; a->table[at] != NULL; at = (at + 1) & (a->table_size - 1))
        if (a->table[at]->hash == hash && a->table[at]->len == n && memcmp(a->table[at]->bytes, bytes, n) == 0)
            return a->table[at];
    struct arena_string *s = cfg_arena_take(a, sizeof *s + n + 1);
    if (s == NULL)
        return NULL;
    s->hash = hash;
    s->len = (uint32_t)n;
    memcpy(s->bytes, bytes, n);
    a->table[at] = s;
    a->n_strings++;
    return s;
}

const struct arena_string *cfg_arena_intern_tree(struct arena *a, const char *text)
{
    size_t n = strlen(text);
    if (strchr(text, '\xC0') == NULL)
        return cfg_arena_intern(a, text, n);
    char *copy = cJSON_malloc(n + 1);
    if (copy == NULL)
        return NULL;
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        bool nul = text[i] == '\xC0' && text[i + 1] == '\x80';
        copy[m++] = nul ? '\0' : text[i];
        i += nul;
    }
    const struct arena_string *s = cfg_arena_intern(a, copy, m);
    cJSON_free(copy);
    return s;
}
