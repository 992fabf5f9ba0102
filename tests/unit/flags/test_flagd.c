/* Every flag of flagd's own test sets: those without targeting answer as flagd does, those with targeting are refused
 * by name. */
#include "flags/flag.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned served, refused;

static bool has_rules(const cJSON *definition)
{
    const cJSON *t = cfg_json_get(definition, "targeting");
    return cJSON_IsObject(t) && t->child;
}

/* What flagd's evaluator says without targeting (its gherkin: evaluation, disabled, no-default-variant, zero-values).
 */
static void check_static(const cJSON *definition, const struct cfg_flag_program *p)
{
    struct cfg_flag_result r = cfg_flag_eval(p, cfg_flag_type_of(p));
    const char *variant = cfg_json_get_str(definition, "defaultVariant", NULL);
    const char *name = definition->string;
    if (strcmp(cfg_json_get_str(definition, "state", ""), "DISABLED") == 0) {
        cr_assert(r.reason == CFG_REASON_DISABLED && r.value == NULL && r.variant == NULL, "%s", name);
    } else if (variant == NULL) {
        cr_assert(r.reason == CFG_REASON_DEFAULT && r.value == NULL && r.variant == NULL, "%s", name);
    } else {
        cr_assert_eq(r.reason, CFG_REASON_STATIC, "%s", name);
        cr_assert_str_eq(r.variant, variant);
        cr_assert(cfg_json_equal(r.value, cfg_json_get(cfg_json_get(definition, "variants"), variant)), "%s", name);
    }
}

static void check_flag(const cJSON *definition)
{
    cJSON *envelope = cJSON_CreateObject();
    cJSON_AddItemToObject(envelope, "definition", cJSON_Duplicate(definition, true));
    struct cfg_flag_program *p = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    int rc = cfg_flag_compile(&p, envelope, &err);
    if (has_rules(definition)) {
        cr_assert_eq(rc, CFG_E_UNSUPPORTED, "%s: %s", definition->string, err.text);
        refused++;
    } else {
        cr_assert_eq(rc, 0, "%s: %s", definition->string, err.text);
        check_static(definition, p);
        served++;
    }
    cfg_flag_free(p);
    cJSON_Delete(envelope);
}

static void check_file(const char *path)
{
    static char bytes[1 << 20];
    FILE *f = fopen(path, "rb");
    cr_assert_not_null(f, "%s", path);
    size_t n = fread(bytes, 1, sizeof bytes, f);
    (void)fclose(f);
    cJSON *doc = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_json_parse(&doc, (struct cfg_slice){bytes, n}, 0, &err), 0, "%s: %s", path, err.text);
    const cJSON *flag;
    cJSON_ArrayForEach(flag, cfg_json_get(doc, "flags"))
    {
        check_flag(flag);
    }
    cJSON_Delete(doc);
}

Test(flagd, test_sets)
{
    const char *root = getenv("CFG_CONFORMANCE_DIR");
    char dir[512];
    (void)snprintf(dir, sizeof dir, "%s/flagd/flags", root ? root : "../shared/conformance");
    DIR *d = opendir(dir);
    if (d == NULL) {
        (void)printf("SKIP: no %s\n", dir);
        (void)fflush(stdout);
        cr_skip_test("no conformance data");
    }
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[1024];
        if (strstr(e->d_name, ".json") == NULL)
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        check_file(path);
    }
    (void)closedir(d);
    (void)printf("%u flags served as flagd does, %u refused for their targeting\n", served, refused);
    cr_assert(served > 0 && refused > 0);
}
