/* Fingerprints of ranks. See fingerprint.h. */
#include "worker/fingerprint.h"
#include <stdio.h>
#include <string.h>

static void put_line(struct cfg_buf *out, const char *what, const char *path, enum cfg_type type,
                     const union cfg_value *v)
{
    cfg_buf_printf(out, "%s%s\t", path, what);
    cfg_value_print(out, type, v);
    cfg_buf_putc(out, '\n');
}

void cfg_fingerprint_print(struct cfg_buf *out, const struct cfg_contract *c, const struct cfg_local *l,
                           const struct cfg_box *boot, uint32_t every)
{
    cfg_buf_printf(out, "steps between two rounds\t%u\n", every);
    for (uint32_t i = 0; i < c->n; i++) {
        const struct cfg_decl *d = &c->items[i];
        cfg_buf_printf(out, "%s (declared)\t%s %s\n", d->path, cfg_type_name(d->type), cfg_class_name(d->apply));
        put_line(out, " (default)", d->path, d->type, &d->def);
        if (d->type == CFG_I64 || d->type == CFG_F64) {
            put_line(out, " (min)", d->path, d->type, &d->min);
            put_line(out, " (max)", d->path, d->type, &d->max);
        }
        if (l->set[i]) {
            put_line(out, " (local override)", d->path, d->type, &l->values[i]);
        }
        if (boot != NULL && (d->apply >= CFG_RESTART || (boot->from_pin != NULL && boot->from_pin[i]))) {
            put_line(out, "", d->path, d->type, &boot->values[i]);
        }
    }
    for (uint32_t i = 0; i < c->n_flags; i++) {
        cfg_buf_printf(out, "%s (declared)\tflag\n", c->flags[i]);
    }
}

/* The value of a key in a text; "nothing" where it has none. */
static struct cfg_slice value_of(const char *text, struct cfg_slice key)
{
    for (const char *line = text; *line != '\0';) {
        const char *end = strchr(line, '\n');
        size_t n = end != NULL ? (size_t)(end - line) : strlen(line);
        if (n > key.len && line[key.len] == '\t' && memcmp(line, key.ptr, key.len) == 0) {
            return (struct cfg_slice){line + key.len + 1, n - key.len - 1};
        }
        line += n + (end != NULL ? 1 : 0);
    }
    return CFG_SLICE_LIT("nothing");
}

static void append(char *out, size_t size, const char *text, size_t len)
{
    size_t n = strlen(out);
    (void)snprintf(out + n, size - n, "%.*s", (int)(len < 100 ? len : 100), text);
}

/* Ranks with the same value together, in the order of the first of each. */
static void describe(char *out, size_t size, struct cfg_slice key, const char *const *texts, uint32_t n)
{
    char number[16];
    append(out, size, key.ptr, key.len);
    for (uint32_t i = 0; i < n; i++) {
        struct cfg_slice v = value_of(texts[i], key);
        uint32_t before = 0;
        while (before < i && !cfg_slice_eq(value_of(texts[before], key), v)) {
            before++;
        }
        if (before < i) {
            continue;
        }
        append(out, size, i > 0 ? "; rank" : ": rank", 6);
        for (uint32_t k = i, listed = 0; k < n && listed < 8; k++) {
            if (cfg_slice_eq(value_of(texts[k], key), v)) {
                int len = snprintf(number, sizeof number, "%s %u", listed++ > 0 ? "," : "", k);
                append(out, size, number, (size_t)len);
            }
        }
        append(out, size, " has ", 5);
        append(out, size, v.ptr, v.len);
    }
}

static bool differs(struct cfg_slice key, const char *const *texts, uint32_t n)
{
    struct cfg_slice first = value_of(texts[0], key);
    for (uint32_t i = 1; i < n; i++) {
        if (!cfg_slice_eq(value_of(texts[i], key), first)) {
            return true;
        }
    }
    return false;
}

bool cfg_fingerprint_difference(struct cfg_slice *key, char *out, size_t size, const char *const *texts, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        for (const char *line = texts[i]; *line != '\0';) {
            size_t len = strcspn(line, "\n");
            *key = (struct cfg_slice){line, strcspn(line, "\t\n")};
            if (differs(*key, texts, n)) {
                out[0] = '\0';
                describe(out, size, *key, texts, n);
                return true;
            }
            line += len + (line[len] == '\n' ? 1 : 0);
        }
    }
    return false;
}
