#include "client/cfgctl/run_plan.h"
#include "client/cfgctl/cli.h"
#include "proto/path.h"

#include <stdlib.h>
#include <string.h>

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

int run_accelerate_at(int argc, const char *const *argv)
{
    const char *program = argc > 0 ? base_name(argv[0]) : "";
    if (strcmp(program, "accelerate-launch") == 0)
        return 1;
    if (strcmp(program, "accelerate") == 0 && argc > 1 && strcmp(argv[1], "launch") == 0)
        return 2;
    bool python = strncmp(program, "python", 6) == 0;
    for (int i = 1; python && i + 1 < argc && argv[i][0] == '-'; i++)
        if (strcmp(argv[i], "-m") == 0)
            return strcmp(argv[i + 1], "accelerate.commands.launch") == 0 ? i + 2 : 0;
    return 0;
}

/* Is the option among the launcher's own: up to the script? What comes behind a script is the script's. */
static bool has_option(int argc, const char *const *argv, int from, const char *name)
{
    size_t n = strlen(name);
    for (int i = from; i < argc; i++) {
        const char *a = argv[i];
        bool same = strncmp(a, "--", 2) == 0;
        for (size_t k = 2; same && k < n; k++)
            same = a[k] == name[k] || (a[k] == '-' && name[k] == '_'); /* Accelerate takes both spellings */
        if (same && (a[n] == '\0' || a[n] == '='))
            return true;
        size_t length = strlen(a);
        if (length > 3 && a[0] != '-' && strcmp(a + length - 3, ".py") == 0)
            return false;
    }
    return false;
}

static bool inserts(int argc, const char *const *argv, int *at)
{
    *at = run_accelerate_at(argc, argv);
    return *at > 0 && !has_option(argc, argv, *at, "--config_file");
}

bool run_wants_launch_file(int argc, const char *const *argv)
{
    int at;
    for (int i = 0; i < argc; i++)
        if (strstr(argv[i], RUN_LAUNCH_FILE))
            return true;
    return inserts(argc, argv, &at);
}

bool run_is_launcher(int argc, const char *const *argv)
{
    static const char *const names[] = {"torchrun", "mpirun", "mpiexec", "srun", "deepspeed"};
    bool launcher = run_accelerate_at(argc, argv) > 0 || run_wants_launch_file(argc, argv);
    for (size_t i = 0; argc > 0 && i < sizeof names / sizeof names[0]; i++)
        launcher = launcher || strcmp(base_name(argv[0]), names[i]) == 0;
    return launcher;
}

/* --- lists of strings --- */

struct strings {
    char **list;
    size_t n, room;
    bool failed;
};

/* Consumes text; NULL counts as failed memory. */
static void add_own(struct strings *s, char *text)
{
    if (s->n + 1 >= s->room) {
        size_t room = s->room ? 2 * s->room : 32;
        char **list = reallocarray(s->list, room, sizeof *list);
        s->failed = s->failed || list == NULL;
        s->list = list ? list : s->list;
        s->room = list ? room : s->room;
    }
    if (s->failed || text == NULL) {
        s->failed = true;
        free(text);
        return;
    }
    s->list[s->n++] = text;
    s->list[s->n] = NULL;
}

static int finish(struct strings *s, char ***out, struct cfg_error *err)
{
    if (s->failed) {
        run_strings_free(s->list);
        return cli_no_memory(err);
    }
    *out = s->list;
    return 0;
}

void run_strings_free(char **strings)
{
    for (size_t i = 0; strings && strings[i]; i++)
        free(strings[i]);
    free(strings);
}

/* --- arguments --- */

static char *with_file(const char *argument, const char *file)
{
    struct cfg_buf b;
    const char *p = argument, *hit;
    cfg_buf_init(&b, (size_t)1 << 20);
    cfg_buf_puts(&b, "");
    for (; file && (hit = strstr(p, RUN_LAUNCH_FILE)) != NULL; p = hit + sizeof RUN_LAUNCH_FILE - 1) {
        cfg_buf_put(&b, p, (size_t)(hit - p));
        cfg_buf_puts(&b, file);
    }
    cfg_buf_puts(&b, p);
    char *copy = cfg_buf_status(&b) == 0 ? strdup(b.data ? b.data : "") : NULL;
    cfg_buf_finish(&b);
    return copy;
}

static void insert(struct strings *s, int argc, const char *const *argv, int at, const char *file, const cJSON *flags)
{
    add_own(s, strdup("--config_file"));
    add_own(s, strdup(file));
    for (const cJSON *f = flags ? flags->child : NULL; f;) {
        const cJSON *value = f->next && strncmp(f->next->valuestring, "--", 2) != 0 ? f->next : NULL;
        if (!has_option(argc, argv, at, f->valuestring)) {
            add_own(s, strdup(f->valuestring));
            if (value)
                add_own(s, strdup(value->valuestring));
        }
        f = value ? value->next : f->next;
    }
}

int run_arguments(char ***out, int argc, const char *const *argv, const char *launch_file, const cJSON *flags,
                  struct cfg_error *err)
{
    struct strings s = {.list = NULL};
    int at = 0;
    bool inserted = launch_file && inserts(argc, argv, &at);
    for (int i = 0; i < argc; i++) {
        if (inserted && i == at)
            insert(&s, argc, argv, at, launch_file, flags);
        add_own(&s, with_file(argv[i], launch_file));
    }
    if (inserted && at == argc)
        insert(&s, argc, argv, at, launch_file, flags);
    return finish(&s, out, err);
}

/* --- environment --- */

static char *assignment(const char *name, const char *value)
{
    size_t n = strlen(name), m = strlen(value);
    char *text = malloc(n + m + 2);
    if (text == NULL)
        return NULL;
    memcpy(text, name, n);
    text[n] = '=';
    memcpy(text + n + 1, value, m + 1);
    return text;
}

static bool is_set(const cJSON *variables, const char *entry)
{
    const cJSON *v;
    size_t n = strcspn(entry, "=");
    cJSON_ArrayForEach(v, variables)
    {
        if (strlen(v->string) == n && memcmp(v->string, entry, n) == 0)
            return true;
    }
    return false;
}

int run_environment(char ***out, char *const *base, const cJSON *variables, struct cfg_error *err)
{
    struct strings s = {.list = NULL};
    const cJSON *v;
    for (size_t i = 0; base[i]; i++)
        if (!is_set(variables, base[i]))
            add_own(&s, strdup(base[i]));
    cJSON_ArrayForEach(v, variables)
    {
        add_own(&s, assignment(v->string, v->valuestring));
    }
    return finish(&s, out, err);
}

/* --- changes --- */

struct comparing {
    const cJSON *other;
    cJSON *paths;
    run_live_fn live;
    void *arg;
    bool missing_only; /* the second pass: what the other has too was seen in the first */
    bool failed;
};

static bool compare(const char *path, const cJSON *value, void *arg)
{
    struct comparing *c = arg;
    const cJSON *other = cfg_path_get(c->other, path);
    bool differs = c->missing_only ? other == NULL : other == NULL || !cfg_json_equal(other, value);
    if (!differs || (c->live && c->live(path, c->arg)))
        return true;
    cJSON *text = cJSON_CreateString(path);
    if (text && cJSON_AddItemToArray(c->paths, text))
        return true;
    cJSON_Delete(text);
    c->failed = true;
    return false;
}

int run_changes(cJSON **out, const cJSON *before, const cJSON *now, run_live_fn live, void *arg, struct cfg_error *err)
{
    struct comparing c = {.other = before, .paths = cJSON_CreateArray(), .live = live, .arg = arg};
    bool whole = c.paths && cfg_path_each_leaf(now, compare, &c);
    c.other = now;
    c.missing_only = true;
    whole = whole && cfg_path_each_leaf(before, compare, &c);
    if (!whole) {
        cJSON_Delete(c.paths);
        return cli_no_memory(err);
    }
    *out = c.paths;
    return 0;
}
