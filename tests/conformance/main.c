/* cfg-conformance SUITE [PATH]: runs a suite over its data, or over data of the same form at PATH (a file or a folder).
 * Prints each failed case and each one left out with the reason, and last `N passed, M failed, K left out`. Exit
 * status: 0 when something ran and nothing failed, 1 when not, 77 when there is no data, 2 for a wrong call. */
#include "tests/conformance/suite.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct suite {
    const char *name; /* also its folder's */
    const char *ending;
    cfg_suite_fn fn;
};

static const struct suite suites[] = {
    {"flagd", ".feature", cfg_suite_flagd},        {"json-parsing", ".json", cfg_suite_json_parsing},
    {"json-patch", ".json", cfg_suite_json_patch}, {"hydra", ".jsonl", cfg_suite_hydra},
    {"jsonlogic", ".json", cfg_suite_jsonlogic},   {"json-schema", ".json", cfg_suite_json_schema},
    {"omegaconf", ".jsonl", cfg_suite_omegaconf},
};

enum { N_SUITES = sizeof suites / sizeof suites[0], PATH_BYTES = 4096, EXIT_NO_DATA = 77 };

/* --- verdicts --- */

static void print_verdict(const struct cfg_suite_run *run, const char *word, const char *name, const char *format,
                          va_list args) CFG_PRINTF(4, 0);
static void print_verdict(const struct cfg_suite_run *run, const char *word, const char *name, const char *format,
                          va_list args)
{
    printf("%s %s%s%s: ", word, run->file, name[0] ? " " : "", name);
    (void)vprintf(format, args);
    putchar('\n');
}

void cfg_suite_pass(struct cfg_suite_run *run)
{
    run->passed++;
}

void cfg_suite_fail(struct cfg_suite_run *run, const char *name, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_verdict(run, "FAILED", name, format, args);
    va_end(args);
    run->failed++;
}

void cfg_suite_leave_out(struct cfg_suite_run *run, const char *name, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_verdict(run, "LEFT OUT", name, format, args);
    va_end(args);
    run->left_out++;
}

char *cfg_suite_text(const cJSON *v)
{
    struct cfg_buf out;
    cfg_buf_init(&out, 1 << 24);
    cfg_json_print(&out, v);
    char *text = cfg_buf_steal(&out);
    if (text == NULL) {
        fprintf(stderr, "cfg-conformance: out of memory\n");
        exit(1);
    }
    return text;
}

/* --- files --- */

bool cfg_suite_read(struct cfg_buf *out, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    char chunk[16384];
    size_t n;
    while ((n = fread(chunk, 1, sizeof chunk, file)) > 0)
        cfg_buf_put(out, chunk, n);
    bool good = !ferror(file) && cfg_buf_status(out) == 0;
    (void)fclose(file); /* only read */
    return good;
}

static void run_file(struct cfg_suite_run *run, const struct suite *suite, const char *path, const char *shown)
{
    struct cfg_buf content;
    cfg_buf_init(&content, 1 << 28);
    run->file = shown;
    run->path = path;
    if (cfg_suite_read(&content, path))
        suite->fn(run, cfg_buf_slice(&content));
    else
        cfg_suite_fail(run, "", "cannot be read");
    cfg_buf_finish(&content);
}

static bool ends_with(const char *s, const char *ending)
{
    size_t n = strlen(s), m = strlen(ending);
    return n >= m && strcmp(s + n - m, ending) == 0;
}

static void run_path(struct cfg_suite_run *run, const struct suite *suite, const char *path, size_t root);

static void run_folder(struct cfg_suite_run *run, const struct suite *suite, const char *path, size_t root)
{
    struct dirent **entries = NULL;
    int n = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char inner[PATH_BYTES];
        if (entries[i]->d_name[0] != '.' &&
            (size_t)snprintf(inner, sizeof inner, "%s/%s", path, entries[i]->d_name) < sizeof inner)
            run_path(run, suite, inner, root);
        free(entries[i]);
    }
    free(entries);
}

/* `root` is how much of the path was given, which names in the report do not repeat. */
static void run_path(struct cfg_suite_run *run, const struct suite *suite, const char *path, size_t root)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return;
    if (S_ISDIR(status.st_mode))
        run_folder(run, suite, path, root);
    else if (ends_with(path, suite->ending))
        run_file(run, suite, path, path + root);
}

/* --- the command --- */

static const struct suite *find_suite(const char *name)
{
    for (size_t i = 0; i < N_SUITES; i++)
        if (strcmp(suites[i].name, name) == 0)
            return &suites[i];
    return NULL;
}

static int usage(const char *unknown)
{
    if (unknown)
        fprintf(stderr, "cfg-conformance: there is no suite '%s'\n", unknown);
    fprintf(stderr, "usage: cfg-conformance SUITE [PATH], where SUITE is one of");
    for (size_t i = 0; i < N_SUITES; i++)
        fprintf(stderr, " %s", suites[i].name);
    fprintf(stderr, "\n");
    return 2;
}

/* Where the data lies when no path is given. */
static bool default_path(char out[PATH_BYTES], const struct suite *suite)
{
    const char *dir = getenv("CFG_CONFORMANCE_DIR"), *source = getenv("CFG_SOURCE_DIR");
    int n = dir && dir[0]
                ? snprintf(out, PATH_BYTES, "%s/%s", dir, suite->name)
                : snprintf(out, PATH_BYTES, "%s/../shared/conformance/%s", source ? source : ".", suite->name);
    return n > 0 && n < PATH_BYTES;
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 3)
        return usage(NULL);
    const struct suite *suite = find_suite(argv[1]);
    if (suite == NULL)
        return usage(argv[1]);
    char standard[PATH_BYTES];
    if (!default_path(standard, suite))
        return usage(NULL);
    const char *path = argc == 3 ? argv[2] : standard;
    struct stat status;
    if (stat(path, &status) != 0) {
        printf("SKIP: no conformance data at %s: %s\n", path, strerrordesc_np(errno));
        return EXIT_NO_DATA;
    }
    struct cfg_suite_run run = {.file = ""};
    const char *slash = strrchr(path, '/');
    if (S_ISDIR(status.st_mode))
        run_folder(&run, suite, path, strlen(path) + 1);
    else
        run_file(&run, suite, path, slash ? slash + 1 : path);
    printf("%u passed, %u failed, %u left out\n", run.passed, run.failed, run.left_out);
    return run.failed > 0 || run.passed == 0;
}
