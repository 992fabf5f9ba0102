#include "configd/fleet_seen.h"

#include "proto/digest.h"
#include "proto/etcd_msg.h"

#include <stdlib.h>
#include <string.h>

uint64_t fleet_mark(const char *worker)
{
    char digest[CFG_DIGEST_TEXT], hex[FLEET_MARK_BYTES * 2 + 1] = "";
    if (cfg_digest_bytes(digest, cfg_slice_str(worker)) == 0)
        memcpy(hex, digest + sizeof "sha256:" - 1, sizeof hex - 1);
    return strtoull(hex, NULL, 16);
}

void fleet_mark_put(struct cfg_buf *out, uint64_t mark)
{
    for (unsigned i = 0; i < FLEET_MARK_BYTES; i++)
        cfg_buf_putc(out, (char)(mark >> (8 * (FLEET_MARK_BYTES - 1 - i)) & 0xff));
}

void fleet_seen_add(struct fleet_seen *s, uint64_t mark)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 64;
        uint64_t *items = reallocarray(s->items, cap, sizeof *items);
        if (items == NULL)
            return;
        s->items = items;
        s->cap = cap;
    }
    s->items[s->n++] = mark;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void sort(struct fleet_seen *s)
{
    if (s->sorted == s->n)
        return;
    qsort(s->items, s->n, sizeof *s->items, by_value);
    size_t kept = 1;
    for (size_t i = 1; i < s->n; i++)
        if (s->items[i] != s->items[kept - 1])
            s->items[kept++] = s->items[i];
    s->n = s->sorted = kept;
}

static uint64_t read_mark(const char *bytes)
{
    uint64_t mark = 0;
    for (unsigned i = 0; i < FLEET_MARK_BYTES; i++)
        mark = mark << 8 | (unsigned char)bytes[i];
    return mark;
}

/* Of one contract: workers, less those met before. */
static uint64_t count_marks(struct fleet_seen *s, uint64_t workers, struct cfg_slice text, bool note)
{
    size_t len = 0;
    char *bytes = malloc(text.len / 4 * 3 + 1);
    uint64_t known = 0;
    if (bytes == NULL || !cfg_base64_decode_to(bytes, &len, text) || len % FLEET_MARK_BYTES != 0 ||
        len / FLEET_MARK_BYTES > workers) {
        free(bytes);
        return workers;
    }
    sort(s);
    size_t before = s->sorted;
    for (size_t i = 0; i < len; i += FLEET_MARK_BYTES) {
        uint64_t mark = read_mark(bytes + i);
        if (before > 0 && bsearch(&mark, s->items, before, sizeof mark, by_value))
            known++;
        else if (note)
            fleet_seen_add(s, mark);
    }
    free(bytes);
    return workers - known;
}

static bool read_workers(uint64_t *out, const cJSON *record)
{
    return cfg_json_need_u64(record, "workers", out, NULL) == 0;
}

static uint64_t count(struct fleet_seen *s, const cJSON *record, bool note)
{
    const cJSON *contracts = cfg_json_get(record, "contracts"), *entry, *ids = cfg_json_get(record, "ids");
    uint64_t workers = 0, told = 0, fresh = 0, n;
    if (!read_workers(&workers, record))
        return 1; /* a record that cannot be read is not nobody */
    if (cJSON_IsString(ids))
        return count_marks(s, workers, cfg_slice_str(ids->valuestring), note);
    cJSON_ArrayForEach(entry, contracts)
    {
        if (!read_workers(&n, entry) || n > workers - told)
            continue;
        told += n;
        fresh += count(s, entry, note);
    }
    return fresh + (workers - told);
}

uint64_t fleet_seen_count(struct fleet_seen *s, const cJSON *record)
{
    return count(s, record, true);
}

uint64_t fleet_seen_lacks(struct fleet_seen *s, const cJSON *record)
{
    return count(s, record, false);
}

void fleet_seen_finish(struct fleet_seen *s)
{
    free(s->items);
    *s = (struct fleet_seen){NULL, 0, 0, 0};
}
