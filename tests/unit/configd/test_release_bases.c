/* Bases that many releases share are merged once: what comes out is what merging each time gives. */
#include "configd/release.h"
#include "proto/patch.h"

#include <criterion/criterion.h>
#include <stdio.h>

static cJSON *parse(const char *text)
{
    cJSON *v = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(text), 0, &err), 0, "%s", err.text);
    return v;
}

/* The changes that cfg_release_differ finds, or the error. Consumes nothing. */
static cJSON *changes(const struct cfg_closure *before, const struct cfg_closure *after, struct cfg_release_options *o,
                      struct cfg_release_bases *bases)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *x = NULL, *y = NULL;
    o->bases = bases;
    if (cfg_release_differ(&x, &y, before, after, o, &err) != 0)
        return cJSON_CreateString(err.text);
    cJSON *found = cfg_patch_describe(x, y);
    cJSON_Delete(x);
    cJSON_Delete(y);
    return found;
}

/* Twelve pins, more than are kept, each over several namespaces, with and without merging bases once. */
Test(release_bases, bases_merged_once_come_to_what_merging_each_time_comes_to)
{
    static const char *const own_texts[] = {
        "{\"document\":{}}",
        "{\"document\":{\"seed\":9,\"distributed\":{\"tp\":2,\"pp\":\"${seed}\"}}}",
        "{\"document\":{\"twice\":\"${eval: 2 * ${seed}}\",\"tp\":\"${distributed.tp}\",\"new\":{\"a\":[1]}}}",
        "{\"document\":{\"broken\":\"${nowhere}\"}}",
        "{\"document\":{\"needed\":1,\"home\":\"${oc.env:HOME}\"}}",
    };
    cJSON *low = parse("{\"document\":{\"x\":1,\"needed\":\"???\"}}");
    cJSON *was = parse("{\"document\":{\"seed\":1,\"distributed\":{\"tp\":4,\"k\":[1]},\"gone\":{\"a\":1}}}");
    cJSON *is =
        parse("{\"document\":{\"seed\":2,\"distributed\":{\"tp\":8,\"k\":[1,2]},\"made\":{\"b\":2},\"p3\":{\"z\":1}}}");
    struct cfg_release_bases *bases = cfg_release_bases_new();
    int refused = 0, changed = 0;
    for (int p = 0; p < 12; p++) {
        char keys[64], values[64];
        (void)snprintf(keys, sizeof keys, "[\"distributed.tp\",\"p%d\"]", p);
        (void)snprintf(values, sizeof values, "{\"distributed\":{\"tp\":%d},\"p%d\":{\"y\":\"\\\\${x}\"}}", p, p);
        cJSON *pin_keys = parse(keys), *pin = parse(values);
        for (size_t i = 0; i < 2 * sizeof own_texts / sizeof own_texts[0]; i++) {
            cJSON *own = parse(own_texts[i / 2]);
            struct cfg_closure_item a[] = {{"low", 1, 1, low}, {"base", 1, 2, was}, {"own", 1, 3, own}};
            struct cfg_closure_item b[] = {{"low", 1, 1, low}, {"base", 2, 4, is}, {"own", 1, 3, own}};
            const struct cfg_closure before = {a, 3}, after = {b, 3};
            struct cfg_release_options o = {.pin_keys = pin_keys, .pin = pin, .incomplete = i % 2};
            cJSON *once = changes(&before, &after, &o, bases), *each = changes(&before, &after, &o, NULL);
            cr_assert(cfg_json_equal(once, each), "pin %d, namespace %zu", p, i);
            refused += cJSON_IsString(once);
            changed += cJSON_IsArray(once) && once->child;
            cJSON_Delete(once);
            cJSON_Delete(each);
            cJSON *x = NULL, *y = NULL;
            o.bases = bases;
            int code = cfg_release_resolve(&x, NULL, &after, &o, NULL);
            o.bases = NULL;
            cr_assert_eq(code, cfg_release_resolve(&y, NULL, &after, &o, NULL));
            cr_assert(code != 0 || cfg_json_equal(x, y), "pin %d, namespace %zu", p, i);
            cJSON_Delete(x);
            cJSON_Delete(y);
            cJSON_Delete(own);
        }
        cJSON_Delete(pin_keys);
        cJSON_Delete(pin);
    }
    cr_assert(refused > 0 && changed > 0);
    cfg_release_bases_free(bases);
    cJSON_Delete(low);
    cJSON_Delete(was);
    cJSON_Delete(is);
}
