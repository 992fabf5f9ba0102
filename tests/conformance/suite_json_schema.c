/* JSON-Schema-Test-Suite, draft 2020-12: a file is an array of groups {description, schema, tests: [{description, data,
 * valid}]}. Schemas are compiled as the standard has them (unknown keywords ignored); formats are assertions in the
 * folder `format` and annotations elsewhere. `remotes/` beside the data (or in the standard place) is what the suite
 * expects at http://localhost:1234; it holds no tests.
 *
 * Left out, by name: what is no I-JSON (integers beyond 2^53−1, see proto/json.h), and schemas that are refused as
 * unsupported when they are compiled: those of other drafts, and patterns that PCRE2 cannot express. */
#include "proto/schema.h"
#include "tests/conformance/suite.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_REMOTES = 1000, PATH_BYTES = 4096 };

static struct cfg_schema_document remotes[MAX_REMOTES];
static size_t n_remotes;
static char loaded_from[2][2 * PATH_BYTES];

/* --- what the suite serves at http://localhost:1234 --- */

static void load_remote(const char *path, const char *below)
{
    char uri[PATH_BYTES + 64];
    cJSON *schema = NULL;
    struct cfg_buf content;
    if ((size_t)snprintf(uri, sizeof uri, "http://localhost:1234%s", below) >= sizeof uri)
        return;
    for (size_t i = 0; i < n_remotes; i++)
        if (strcmp(remotes[i].uri, uri) == 0)
            return;
    cfg_buf_init(&content, 1 << 24);
    if (n_remotes < MAX_REMOTES && cfg_suite_read(&content, path) &&
        cfg_json_parse(&schema, cfg_buf_slice(&content), 0, NULL) == 0)
        remotes[n_remotes++] = (struct cfg_schema_document){cfg_slice_dup(cfg_slice_str(uri)), schema};
    cfg_buf_finish(&content);
}

static void load_folder(const char *path, size_t root)
{
    struct dirent **entries = NULL;
    int n = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char inner[PATH_BYTES];
        struct stat status;
        bool usable = entries[i]->d_name[0] != '.' &&
                      (size_t)snprintf(inner, sizeof inner, "%s/%s", path, entries[i]->d_name) < sizeof inner &&
                      stat(inner, &status) == 0;
        if (usable && S_ISDIR(status.st_mode))
            load_folder(inner, root);
        else if (usable)
            load_remote(inner, inner + root);
        free(entries[i]);
    }
    free(entries);
}

static void load_remotes(const char *folder, int which)
{
    if (strcmp(loaded_from[which], folder) == 0)
        return;
    (void)snprintf(loaded_from[which], sizeof loaded_from[which], "%s", folder);
    load_folder(folder, strlen(folder));
}

/* The folder `remotes` in the file's folder or the nearest one above it, then the one of the standard data. */
static void find_remotes(const char *path)
{
    char folder[PATH_BYTES], candidate[2 * PATH_BYTES];
    struct stat status;
    (void)snprintf(folder, sizeof folder, "%s", path);
    for (char *slash; (slash = strrchr(folder, '/')) != NULL;) {
        *slash = '\0';
        (void)snprintf(candidate, sizeof candidate, "%s/remotes", folder);
        if (stat(candidate, &status) == 0 && S_ISDIR(status.st_mode)) {
            load_remotes(candidate, 0);
            break;
        }
    }
    const char *dir = getenv("CFG_CONFORMANCE_DIR"), *source = getenv("CFG_SOURCE_DIR");
    (void)snprintf(candidate, sizeof candidate, "%s%s/json-schema/remotes",
                   dir && dir[0] ? dir
                   : source      ? source
                                 : ".",
                   dir && dir[0] ? "" : "/../shared/conformance");
    if (stat(candidate, &status) == 0)
        load_remotes(candidate, 1);
}

/* --- cases --- */

static void judge(struct cfg_suite_run *run, const char *name, const struct cfg_schema *schema, const cJSON *test)
{
    const cJSON *data = cfg_json_get(test, "data");
    bool wanted = cfg_json_get_bool(test, "valid", false);
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *violations = cJSON_CreateArray();
    int quick = cfg_schema_judge(schema, data), code = cfg_schema_check(schema, data, violations, &err);
    char *list = cfg_suite_text(violations);
    if (quick != code)
        cfg_suite_fail(run, name, "the verdict alone is %s, the list's %s", cfg_code_name(quick), cfg_code_name(code));
    else if (code != 0 && code != CFG_E_SCHEMA)
        cfg_suite_fail(run, name, "it ended with %s: %s", cfg_code_name(code), err.text);
    else if ((code == 0) != wanted)
        cfg_suite_fail(run, name, "it must be %s: %s", wanted ? "valid" : "refused", list);
    else if (code != 0 && (cJSON_GetArraySize(violations) == 0 || err.text[0] == '\0'))
        cfg_suite_fail(run, name, "it was refused without a reason");
    else
        cfg_suite_pass(run);
    free(list);
    cJSON_Delete(violations);
}

static void run_group(struct cfg_suite_run *run, const cJSON *group)
{
    const char *what = cfg_json_get_str(group, "description", "(no description)");
    struct cfg_schema_options options = {.lenient = true,
                                         .documents = remotes,
                                         .n_documents = n_remotes,
                                         .assert_formats = strstr(run->path, "/format/")};
    struct cfg_schema *schema = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    int code = cfg_schema_compile(&schema, cfg_json_get(group, "schema"), &options, &err);
    const cJSON *test;
    cJSON_ArrayForEach(test, cfg_json_get(group, "tests"))
    {
        char name[400];
        (void)snprintf(name, sizeof name, "[%s] %s", what, cfg_json_get_str(test, "description", ""));
        if (code == 0)
            judge(run, name, schema, test);
        else if (code == CFG_E_UNSUPPORTED)
            cfg_suite_leave_out(run, name, "refused as unsupported: %s", err.text);
        else
            cfg_suite_fail(run, name, "the schema was refused: %s (%s)", err.text, err.path);
    }
    cfg_schema_free(schema);
}

/* The group cannot be read, so its name is taken from the text. */
static void leave_out_group(struct cfg_suite_run *run, struct cfg_slice text, const struct cfg_error *err)
{
    static const char member[] = "\"description\": \"";
    const char *name = memmem(text.ptr, text.len, member, sizeof member - 1);
    const char *start = name ? name + sizeof member - 1 : text.ptr;
    const char *end = memchr(start, name ? '"' : '\n', text.len - (size_t)(start - text.ptr));
    char shown[100];
    (void)snprintf(shown, sizeof shown, "[%.*s]", end ? (int)(end - start) : 0, start);
    cfg_suite_leave_out(run, shown, "no I-JSON: %s (%s)", err->text, err->path);
}

/* --- the file, group by group, so that one that is no I-JSON does not take the others with it --- */

void cfg_suite_json_schema(struct cfg_suite_run *run, struct cfg_slice content)
{
    const char *draft = strstr(run->path, "/draft");
    while (draft && (draft[6] < '0' || draft[6] > '9'))
        draft = strstr(draft + 1, "/draft");
    if (strstr(run->path, "/remotes/"))
        return;
    if (draft && strncmp(draft, "/draft2020-12/", 14) != 0) {
        cfg_suite_leave_out(run, "", "another draft");
        return;
    }
    find_remotes(run->path);
    struct cfg_slice text;
    for (size_t i = 0; cfg_suite_element(&text, content, &i);) {
        struct cfg_error err = CFG_ERROR_INIT;
        cJSON *group = NULL;
        if (cfg_json_parse(&group, text, 0, &err) == 0)
            run_group(run, group);
        else
            leave_out_group(run, text, &err);
        cJSON_Delete(group);
    }
}
