/* flagd's `fractional`: a hash of who asks, spread over weighted entries.
 *
 *   version 1   |hash as int32| / (2^31−1) × 100, against running percentages
 *   version 2   (hash × Σ weights) >> 32, against running weights: exact for any weights up to 2^31−1
 *   version 3   as 2, over the deterministic CBOR of any value but null instead of a string's bytes
 * Without a value of its own the flag's name and the targeting key are hashed: one after the other (1, 2), as an array
 * of the two (3). */
#include "flags/logic.h"
#include "flags/murmur3.h"

#include <math.h>
#include <string.h>

static const char name[] = "targetingKey";

static const struct cfg_flag_value *targeting_key(const struct logic_run *r)
{
    const struct cfg_flag_value *data = &r->scope->data;
    for (uint32_t i = 0; data->kind == CFG_VALUE_OBJECT && i < data->len; i++) {
        const struct cfg_flag_member *m = &data->as.members[i];
        if (m->name_len == sizeof name - 1 && same_bytes(m->name, name, sizeof name - 1))
            return m->value.kind == CFG_VALUE_STRING ? &m->value : NULL;
    }
    return NULL;
}

static void note_unnamed(struct logic_run *r)
{
    if (r->explain == NULL)
        return;
    struct cfg_flag_note note = {.kind = CFG_NOTE_UNNAMED, .name = {name, sizeof name - 1}};
    r->explain->fn(r->explain->user, &note);
}

/* Of the flag's name and the targeting key. */
static bool hash_implicit(uint32_t *out, struct logic_run *r)
{
    const struct cfg_flag_value *key = targeting_key(r);
    if (key == NULL) {
        note_unnamed(r);
        return false;
    }
    if (r->hash_version == 3) {
        const struct cfg_flag_value pair[] = {value_string(r->flag_key.ptr, r->flag_key.len), *key};
        const struct cfg_flag_value array = value_array(pair, 2);
        return cfg_cbor_hash(out, r, &array);
    }
    struct cfg_murmur3 h = r->seed;
    cfg_murmur3_add(&h, key->as.string, key->len);
    *out = cfg_murmur3_end(&h);
    return cfg_logic_charge(r, key->len / 64);
}

static bool hash_operand(uint32_t *out, struct logic_run *r, const struct logic_node *operand)
{
    struct cfg_flag_value v = cfg_logic_eval(r, operand);
    if (r->error)
        return false;
    if (r->hash_version == 3)
        return v.kind != CFG_VALUE_NULL && v.kind != CFG_VALUE_ARRAY && cfg_cbor_hash(out, r, &v);
    if (v.kind == CFG_VALUE_NULL)
        return hash_implicit(out, r);
    if (v.kind != CFG_VALUE_STRING || !cfg_logic_charge(r, v.len / 64))
        return false;
    *out = cfg_murmur3(v.as.string, v.len);
    return true;
}

/* --- weights --- */

/* What an entry weighs when that is computed: null is 1, negative is 0. False when it cannot be a weight. */
static bool computed_weight(uint32_t *out, struct logic_run *r, const struct logic_node *weight)
{
    struct cfg_flag_value v = cfg_logic_eval(r, weight);
    double w = v.kind == CFG_VALUE_NUMBER ? v.as.number : 1;
    if (r->error || (v.kind != CFG_VALUE_NUMBER && v.kind != CFG_VALUE_NULL) || w != floor(w) || w > INT32_MAX)
        return false;
    *out = w > 0 ? (uint32_t)w : 0;
    return true;
}

static bool weight_of(uint32_t *out, struct logic_run *r, const struct logic_node *node, uint32_t i)
{
    const struct logic_node *pair = node->as.kids + 1 + (size_t)2 * i;
    if (node->weight_total == 0)
        return computed_weight(out, r, &pair[1]);
    *out = pair->weight_total; /* literals were summed when the rule was compiled */
    return true;
}

static uint64_t total_weight(struct logic_run *r, const struct logic_node *node)
{
    uint64_t total = node->weight_total;
    if (total > 0)
        return total;
    for (uint32_t i = 0; i < node->n; i++) {
        uint32_t w;
        if (!weight_of(&w, r, node, i))
            return 0;
        total += w;
    }
    return total <= INT32_MAX ? total : 0;
}

static bool is_reached(const struct logic_run *r, uint32_t hash, uint64_t bucket, uint64_t end, uint64_t total)
{
    if (r->hash_version != 1)
        return bucket < end;
    int32_t as_signed;
    memcpy(&as_signed, &hash, sizeof as_signed);
    return fabs((double)as_signed) / INT32_MAX * 100 < 100 * (double)end / (double)total;
}

static void note_bucket(struct logic_run *r, uint32_t index, uint64_t bucket, uint64_t total)
{
    if (r->explain == NULL)
        return;
    struct cfg_flag_note note = {.kind = CFG_NOTE_BUCKET, .index = index, .bucket = bucket, .total = total};
    r->explain->fn(r->explain->user, &note);
}

struct cfg_flag_value cfg_logic_fractional(struct logic_run *r, const struct logic_node *node)
{
    uint32_t hash, weight, chosen = UINT32_MAX;
    bool hashed = node->bits & NODE_HAS_KEY ? hash_operand(&hash, r, node->as.kids) : hash_implicit(&hash, r);
    uint64_t total = hashed ? total_weight(r, node) : 0;
    if (total == 0)
        return value_null();
    uint64_t bucket = hash * total >> 32, end = 0;
    for (uint32_t i = 0; i < node->n; i++) {
        if (!weight_of(&weight, r, node, i))
            return value_null();
        end += weight;
        if (weight > 0) /* version 1's top end rounds to 100 %: it is the last entry's */
            chosen = i;
        if (is_reached(r, hash, bucket, end, total))
            break;
    }
    note_bucket(r, chosen, bucket, total);
    return cfg_logic_eval(r, node->as.kids + 1 + (size_t)2 * chosen);
}
