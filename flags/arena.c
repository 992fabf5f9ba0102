#include "flags/arena.h"
#include "flags/value.h"

#include <stdalign.h>
#include <string.h>

enum { FIRST_CHUNK = 512, LARGEST_CHUNK = 1 << 20, DRAFT_CHUNK = 1 << 14, ALIGNMENT = 16 };

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

void cfg_flag_arena_init(struct flag_arena *a, size_t expected)
{
    memset(a, 0, sizeof *a);
    a->next_size = expected < FIRST_CHUNK ? FIRST_CHUNK : expected > LARGEST_CHUNK ? LARGEST_CHUNK : expected;
}

static void free_chunks(struct arena_chunk **chunks, const struct arena_chunk *until)
{
    while (*chunks != until) {
        struct arena_chunk *next = (*chunks)->next;
        cJSON_free(*chunks);
        *chunks = next;
    }
}

void cfg_flag_arena_seal(struct flag_arena *a)
{
    cJSON_free((void *)a->table);
    cJSON_free(a->blocks);
    free_chunks(&a->drafts, NULL);
    a->table = NULL;
    a->blocks = NULL;
    a->table_size = a->n_strings = a->blocks_size = a->n_blocks = 0;
}

void cfg_flag_arena_finish(struct flag_arena *a)
{
    cfg_flag_arena_seal(a);
    free_chunks(&a->chunks, NULL);
}

static bool add_chunk(struct flag_arena *a, size_t at_least)
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
    size_t quarter = a->bytes / 4; /* so that no more than that is wasted, and chunks stay few */
    a->next_size = quarter < FIRST_CHUNK ? FIRST_CHUNK : quarter > LARGEST_CHUNK ? LARGEST_CHUNK : quarter;
    return true;
}

void *cfg_flag_arena_take(struct flag_arena *a, size_t n)
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

/* --- shared blocks --- */

void *cfg_flag_arena_draft(struct flag_arena *a, size_t n)
{
    if (n > SIZE_MAX / 2)
        return NULL;
    n = (n + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    struct arena_chunk *c = a->drafts;
    if (c == NULL || c->size - c->used < n) {
        size_t size = n > DRAFT_CHUNK ? n : DRAFT_CHUNK;
        c = cJSON_malloc(sizeof *c + size);
        if (c == NULL)
            return NULL;
        *c = (struct arena_chunk){.next = a->drafts, .size = size};
        a->drafts = c;
    }
    void *p = c->bytes + c->used;
    c->used += n;
    return memset(p, 0, n);
}

/* A draft in an older chunk stays until all are dropped: newer drafts may lie in between. */
static void end_draft(struct flag_arena *a, const char *block)
{
    struct arena_chunk *c = a->drafts;
    if (c != NULL && (uintptr_t)block >= (uintptr_t)c->bytes && (uintptr_t)block < (uintptr_t)(c->bytes + c->used))
        c->used = (size_t)(block - c->bytes);
}

void cfg_flag_arena_drop_drafts(struct flag_arena *a)
{
    while (a->drafts != NULL && a->drafts->next != NULL)
        free_chunks(&a->drafts, a->drafts->next);
    if (a->drafts != NULL)
        a->drafts->used = 0;
}

static void put_block(struct arena_block *blocks, size_t size, const struct arena_block *b)
{
    size_t at = b->hash & (size - 1);
    while (blocks[at].n != 0)
        at = (at + 1) & (size - 1);
    blocks[at] = *b;
}

static bool grow_blocks(struct flag_arena *a)
{
    size_t size = a->blocks_size ? a->blocks_size * 2 : 32;
    struct arena_block *blocks = cJSON_malloc(size * sizeof *blocks);
    if (blocks == NULL)
        return false;
    memset(blocks, 0, size * sizeof *blocks);
    for (size_t i = 0; i < a->blocks_size; i++)
        if (a->blocks[i].n != 0)
            put_block(blocks, size, &a->blocks[i]);
    cJSON_free(a->blocks);
    a->blocks = blocks;
    a->blocks_size = size;
    return true;
}

const void *cfg_flag_arena_share(struct flag_arena *a, void *block, size_t n)
{
    if (n >= UINT32_MAX || ((a->n_blocks + 1) * 2 > a->blocks_size && !grow_blocks(a)))
        return NULL;
    uint32_t hash = cfg_flag_name_hash(block, n);
    size_t at = hash & (a->blocks_size - 1);
    const void *kept = NULL;
    for (; kept == NULL && a->blocks[at].n != 0; at = (at + 1) & (a->blocks_size - 1))
        if (a->blocks[at].hash == hash && a->blocks[at].n == n && memcmp(a->blocks[at].bytes, block, n) == 0)
            kept = a->blocks[at].bytes;
    if (kept == NULL) {
        void *copy = cfg_flag_arena_take(a, n);
        if (copy == NULL)
            return NULL;
        kept = memcpy(copy, block, n);
        const struct arena_block b = {kept, hash, (uint32_t)n};
        put_block(a->blocks, a->blocks_size, &b);
        a->n_blocks++;
    }
    end_draft(a, block);
    return kept;
}

/* --- strings --- */

static bool grow_table(struct flag_arena *a)
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

const struct arena_string *cfg_flag_arena_intern(struct flag_arena *a, const char *bytes, size_t n)
{
    if (n >= UINT32_MAX || ((a->n_strings + 1) * 2 > a->table_size && !grow_table(a)))
        return NULL;
    uint32_t hash = cfg_flag_name_hash(bytes, n);
    size_t at = hash & (a->table_size - 1);
    for (; a->table[at] != NULL; at = (at + 1) & (a->table_size - 1))
        if (a->table[at]->hash == hash && a->table[at]->len == n && memcmp(a->table[at]->bytes, bytes, n) == 0)
            return a->table[at];
    struct arena_string *s = cfg_flag_arena_take(a, sizeof *s + n + 1);
    if (s == NULL)
        return NULL;
    s->hash = hash;
    s->len = (uint32_t)n;
    memcpy(s->bytes, bytes, n);
    a->table[at] = s;
    a->n_strings++;
    return s;
}

const struct arena_string *cfg_flag_arena_intern_tree(struct flag_arena *a, const char *text)
{
    size_t n = strlen(text);
    if (strchr(text, '\xC0') == NULL)
        return cfg_flag_arena_intern(a, text, n);
    char *copy = cJSON_malloc(n + 1);
    if (copy == NULL)
        return NULL;
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        bool nul = text[i] == '\xC0' && text[i + 1] == '\x80';
        copy[m++] = nul ? '\0' : text[i];
        i += nul;
    }
    const struct arena_string *s = cfg_flag_arena_intern(a, copy, m);
    cJSON_free(copy);
    return s;
}
