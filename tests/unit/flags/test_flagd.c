/* Every flag of flagd's own test sets is accepted as people would write it, but for those that are there to be wrong
 * and those with a result that is no variant (a "fail" that is never reached, mostly); each of those is refused with
 * its path. What they all answer is the conformance suite's matter. */
#include "flags/set.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const wrong[] = {
    "error-targeting-flag",   "ref-to-nonexistent-evaluator-flag", "semver-invalid-operator-flag",
    "semver-wrong-args-flag", "starts-with-wrong-args-flag",       "ends-with-wrong-args-flag",
};

static unsigned accepted, refused;

static bool is_wrong(const char *name)
{
    size_t i = 0;
    while (i < sizeof wrong / sizeof wrong[0] && strcmp(wrong[i], name) != 0)
        i++;
    return i < sizeof wrong / sizeof wrong[0];
}

static void check_flag(const cJSON *document, const cJSON *definition)
{
    cJSON *flags = cJSON_CreateObject();
    cr_assert_eq(cfg_json_set(flags, definition->string, cJSON_Duplicate(definition, true)), 0);
    struct cfg_flag_source source = {
        .flags = flags, .evaluators = cfg_json_get(document, "$evaluators"), .plain = true};
    cJSON *others = NULL; /* one file counts on an evaluator of another */
    cr_assert_eq(cfg_json_parse(&others, CFG_SLICE_LIT("{\"is_ballmer\":true}"), 0, NULL), 0);
    if (source.evaluators == NULL)
        source.evaluators = others;
    struct cfg_flag_set *set = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    int rc = cfg_flag_set_compile(&set, &source, &err);
    bool no_variant = rc != 0 && strstr(err.text, "is not among the variants");
    cr_assert(no_variant || (rc != 0) == is_wrong(definition->string), "%s: %s", definition->string, err.text);
    if (rc != 0)
        cr_assert(strncmp(err.path, definition->string, strlen(definition->string)) == 0, "%s", err.path);
    refused += rc != 0;
    accepted += rc == 0;
    cfg_flag_set_free(set);
    cJSON_Delete(others);
    cJSON_Delete(flags);
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
        check_flag(doc, flag);
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
    (void)printf("%u flags accepted, %u refused\n", accepted, refused);
    cr_assert(accepted > 0 && refused > 0);
}
