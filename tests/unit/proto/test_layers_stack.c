/* Layers pushed over a merged set come to what merging everything anew comes to, and leave nothing behind. Documents
 * are drawn: objects small and large, interpolations that lead anywhere, null, "???", lists. */
#include "proto/layers.h"
#include "proto/patch.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { ROUNDS = 400, PUSHES = 6 };

static unsigned seed;

static unsigned draw(unsigned n)
{
    seed = seed * 1103515245U + 12345U;
    return (seed >> 16) % n;
}

static cJSON *draw_value(unsigned depth);

static cJSON *draw_object(unsigned depth, unsigned most)
{
    cJSON *object = cJSON_CreateObject();
    for (unsigned n = draw(most + 1); n > 0; n--) {
        char key[8];
        (void)snprintf(key, sizeof key, "k%u", draw(20));
        if (cfg_json_get(object, key) == NULL)
            cr_assert(cJSON_AddItemToObject(object, key, draw_value(depth + 1)));
    }
    return object;
}

static cJSON *draw_value(unsigned depth)
{
    static const char *const texts[] = {
        "plain",   "???",      "${k1}",          "${k2.k3}",    "${.k4}",       "a ${k5} b",        "${k6}",
        "${..k7}", "${k8[0]}", "${oc.env:HOME}", "${eval:1+1}", "${k9.k1.k2}x", "${oc.select:k3,1}"};
    switch (draw(depth < 3 ? 8 : 5)) {
    case 0:
        return cJSON_CreateNull();
    case 1:
        return cJSON_CreateNumber(draw(3));
    case 2:
    case 3:
        return cJSON_CreateString(texts[draw(sizeof texts / sizeof texts[0])]);
    case 4: {
        cJSON *list = cJSON_CreateArray();
        for (unsigned n = draw(3); n > 0; n--)
            cr_assert(cJSON_AddItemToArray(list, draw(2) ? cJSON_CreateNumber(draw(2)) : cJSON_CreateString("${k1}")));
        return list;
    }
    default:
        return draw_object(depth, depth < 2 ? 14 : 3);
    }
}

static void free_text(char **text)
{
    cfg_buf_finish(&(struct cfg_buf){.data = *text});
}

/* What resolving comes to, failures included, as one text. Consumes document. */
static char *told(int code, cJSON *document, const cJSON *failures, const struct cfg_error *err)
{
    struct cfg_buf out;
    cfg_buf_init(&out, 1 << 24);
    cfg_buf_printf(&out, "%d %s ", code, code ? err->text : "");
    if (document)
        cfg_json_print(&out, document);
    if (failures)
        cfg_json_print(&out, failures);
    cJSON_Delete(document);
    return cfg_buf_steal(&out);
}

static char *resolve(struct cfg_layers *l, bool lenient)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *document = NULL, *failures = lenient ? cJSON_CreateArray() : NULL;
    cfg_layers_set_failures(l, failures);
    int code = cfg_layers_resolve(&document, l, &err);
    char *text = told(code, document, failures, &err);
    cfg_layers_set_failures(l, NULL);
    cJSON_Delete(failures);
    return text;
}

static const struct cfg_layers_options keep = {.env_mode = CFG_LAYERS_ENV_KEEP};

/* The three layers merged anew. */
static char *anew(const struct cfg_layer *layers, size_t n, bool lenient)
{
    struct cfg_layers *l = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    int code = cfg_layers_merge(&l, layers, n, &keep, &err);
    char *text = code ? told(code, NULL, NULL, &err) : resolve(l, lenient);
    cfg_layers_free(l);
    return text;
}

static char *pushed(struct cfg_layers *l, const struct cfg_layer *over, size_t n, bool lenient)
{
    struct cfg_error err = CFG_ERROR_INIT;
    int code = 0;
    for (size_t i = 0; i < n && code == 0; i++)
        code = cfg_layers_push(l, &over[i], &err);
    char *text = code ? told(code, NULL, NULL, &err) : resolve(l, lenient);
    cfg_layers_pop(l);
    return text;
}

Test(layers_stack, what_is_pushed_is_merged_and_popped_without_a_trace)
{
    size_t succeeded = 0;
    for (seed = 1; seed < ROUNDS * 7919U; seed = seed + 7919U) {
        unsigned first = seed;
        cJSON *documents[3] = {draw_object(0, 16)};
        struct cfg_layer layers[3] = {{"base", documents[0]}};
        struct cfg_layers *l = NULL;
        cr_assert_eq(cfg_layers_merge(&l, layers, 1, &keep, NULL), 0);
        for (unsigned i = 0; i < PUSHES; i++) {
            bool lenient = draw(2);
            size_t n = 1 + draw(2);
            for (size_t k = 1; k <= n; k++)
                layers[k] = (struct cfg_layer){k == 1 ? "own" : "pin", documents[k] = draw_object(0, 10)};
            char *expected = anew(layers, n + 1, lenient), *got = pushed(l, layers + 1, n, lenient);
            cr_assert_str_eq(got, expected, "seed %u, push %u:\n%s\n%s", first, i, got, expected);
            succeeded += strncmp(got, "0 ", 2) == 0;
            free_text(&expected);
            free_text(&got);
            for (size_t k = 1; k <= n; k++)
                cJSON_Delete(documents[k]);
        }
        char *expected = anew(layers, 1, true), *got = resolve(l, true);
        cr_assert_str_eq(got, expected, "seed %u", first);
        free_text(&expected);
        free_text(&got);
        cfg_layers_free(l);
        cJSON_Delete(documents[0]);
        seed = first;
    }
    cr_assert_gt(succeeded, (size_t)ROUNDS); /* not all of them fail */
}

Test(layers_stack, differences_are_those_of_the_whole_documents)
{
    size_t compared = 0;
    for (seed = 3; seed < ROUNDS * 7919U; seed = seed + 7919U) {
        unsigned first = seed;
        cJSON *a = draw_object(0, 16), *b = cJSON_Duplicate(a, true), *over = draw_object(0, 8),
              *change = draw_object(0, 3);
        for (const cJSON *m = change->child; m; m = m->next)
            cr_assert_eq(cfg_json_set(b, m->string, cJSON_Duplicate(m, true)), 0);
        struct cfg_layer before = {"base", a}, after = {"base", b}, own = {"own", over};
        struct cfg_layers *x = NULL, *y = NULL;
        cJSON *failures = cJSON_CreateArray(), *part_x = NULL, *part_y = NULL, *all_x = NULL, *all_y = NULL;
        cr_assert_eq(cfg_layers_merge(&x, &before, 1, &keep, NULL), 0);
        cr_assert_eq(cfg_layers_merge(&y, &after, 1, &keep, NULL), 0);
        cfg_layers_set_failures(x, failures);
        bool lenient = draw(3) > 0;
        cfg_layers_set_failures(y, lenient ? failures : NULL);
        if (cfg_layers_push(x, &own, NULL) == 0 && cfg_layers_push(y, &own, NULL) == 0) {
            int code = cfg_layers_differ(&part_x, &part_y, x, y, NULL);
            cr_assert_eq(code == 0, cfg_layers_resolve(&all_y, y, NULL) == 0, "seed %u", first);
            if (code == 0) {
                cr_assert_eq(cfg_layers_resolve(&all_x, x, NULL), 0);
                cJSON *parts = cfg_patch_describe(part_x, part_y), *whole = cfg_patch_describe(all_x, all_y);
                cr_assert(cfg_json_equal(parts, whole), "seed %u", first);
                compared += whole->child != NULL;
                cJSON_Delete(parts);
                cJSON_Delete(whole);
            }
        }
        cJSON *const all[] = {part_x, part_y, all_x, all_y};
        cfg_layers_free(x);
        cfg_layers_free(y);
        for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
            cJSON_Delete(all[i]);
        cJSON_Delete(failures);
        cJSON_Delete(a);
        cJSON_Delete(b);
        cJSON_Delete(over);
        cJSON_Delete(change);
        seed = first;
    }
    cr_assert_gt(compared, (size_t)ROUNDS / 10);
}

Test(layers_stack, only_two_at_a_time)
{
    cJSON *object = cJSON_CreateObject();
    struct cfg_layer layer = {"x", object};
    struct cfg_layers *l = NULL;
    cr_assert_eq(cfg_layers_merge(&l, &layer, 1, NULL, NULL), 0);
    cr_assert_eq(cfg_layers_push(l, &layer, NULL), 0);
    cr_assert_eq(cfg_layers_push(l, &layer, NULL), 0);
    cr_assert_eq(cfg_layers_push(l, &layer, NULL), CFG_E_INVALID);
    cr_assert_eq(cfg_layers_push(l, &layer, NULL), 0); /* the failure took the others off */
    cfg_layers_free(l);
    cJSON_Delete(object);
}
