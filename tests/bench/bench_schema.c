/* A document of 200 keys against its schema: ours, and the two fastest validators for Python, jsonschema-rs (Rust) and
 * fastjsonschema (generated Python), on the same schema and document. Once with the document in memory, as each of them
 * holds it (a cJSON tree, Python objects), once from its text. Then all violations of a bad document, ours alone. */
#include "proto/schema.h"
#include "tests/bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 15, LOOPS = 2000, GROUPS = 10, KEYS = 20 };

/* CPU time, so that neighbours on the machine do not count; the Python side measures its own likewise. */
static uint64_t cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static void die(const char *what, const struct cfg_error *err)
{
    (void)fprintf(stderr, "bench_schema: %s%s%s\n", what, err ? ": " : "", err ? err->text : "");
    exit(1);
}

/* --- schema and document: ten objects of twenty members, of five kinds --- */

static void put_schema(struct cfg_buf *out)
{
    static const char *const kinds[] = {
        "{\"type\":\"number\",\"minimum\":0,\"maximum\":1000}",
        "{\"type\":\"integer\",\"minimum\":1,\"multipleOf\":2}",
        "{\"enum\":[\"greedy\",\"beam\",\"nucleus\",\"typical\"]}",
        "{\"type\":\"string\",\"minLength\":1,\"maxLength\":64}",
        "{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"maxItems\":8}",
    };
    cfg_buf_puts(out, "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{");
    for (int g = 0; g < GROUPS; g++) {
        cfg_buf_printf(out, "%s\"group_%d\":{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{",
                       g ? "," : "", g);
        for (int k = 0; k < KEYS; k++)
            cfg_buf_printf(out, "%s\"parameter_%d\":%s", k ? "," : "", k, kinds[k % 5]);
        cfg_buf_puts(out, "},\"required\":[\"parameter_0\",\"parameter_1\",\"parameter_2\"]}");
    }
    cfg_buf_puts(out, "},\"required\":[\"group_0\",\"group_1\"]}");
}

static void put_document(struct cfg_buf *out)
{
    static const char *const values[] = {"0.75", "128", "\"typical\"", "\"a text of some length\"", "[1,2,3,4]"};
    cfg_buf_putc(out, '{');
    for (int g = 0; g < GROUPS; g++) {
        cfg_buf_printf(out, "%s\"group_%d\":{", g ? "," : "", g);
        for (int k = 0; k < KEYS; k++)
            cfg_buf_printf(out, "%s\"parameter_%d\":%s", k ? "," : "", k, values[k % 5]);
        cfg_buf_putc(out, '}');
    }
    cfg_buf_putc(out, '}');
}

static cJSON *parse(const struct cfg_buf *text)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *v = NULL;
    if (cfg_json_parse(&v, cfg_buf_slice(text), 0, &err) != 0)
        die("cannot read", &err);
    return v;
}

/* --- the Python side --- */

struct peer {
    pid_t pid;
    FILE *in, *out;
};

static void save(char name[32], const struct cfg_buf *text)
{
    (void)snprintf(name, 32, "/tmp/bench_schema_XXXXXX");
    int fd = mkstemp(name);
    if (fd < 0 || write(fd, text->data, text->len) != (ssize_t)text->len)
        die("cannot write to /tmp", NULL);
    (void)close(fd);
}

static struct peer start_peer(const char *schema, const char *document)
{
    const char *own = getenv("CFG_BENCH_PYTHON"), *python = own ? own : "build/bench-venv/bin/python";
    int to[2], from[2];
    struct peer p = {0, NULL, NULL};
    if (access(python, X_OK) != 0 || pipe(to) != 0 || pipe(from) != 0)
        return p;
    p.pid = fork();
    if (p.pid == 0) {
        (void)dup2(to[0], STDIN_FILENO);
        (void)dup2(from[1], STDOUT_FILENO);
        (void)close(to[1]);
        (void)close(from[0]);
        (void)execl(python, python, "tests/bench/bench_schema.py", schema, document, (char *)NULL);
        _exit(127);
    }
    (void)close(to[0]);
    (void)close(from[1]);
    p.in = fdopen(to[1], "w");
    p.out = fdopen(from[0], "r");
    return p;
}

/* Microseconds per verdict. */
static double ask(const struct peer *p, const char *name)
{
    char line[64];
    (void)fprintf(p->in, "%s %d\n", name, LOOPS);
    if (fflush(p->in) != 0 || fgets(line, sizeof line, p->out) == NULL)
        die("the Python side has ended", NULL);
    return strtod(line, NULL) * 1e6 / LOOPS;
}

/* --- ours --- */

static double judge(const struct cfg_schema *s, const cJSON *document)
{
    int valid = 0;
    uint64_t start = cpu_ns();
    for (int i = 0; i < LOOPS; i++)
        valid += cfg_schema_judge(s, document) == 0;
    uint64_t end = cpu_ns();
    if (valid != LOOPS)
        die("the document is not valid", NULL);
    return (double)(end - start) / 1000 / LOOPS;
}

static double judge_text(const struct cfg_schema *s, const struct cfg_buf *text)
{
    uint64_t start = cpu_ns();
    for (int i = 0; i < LOOPS; i++) {
        cJSON *document = parse(text);
        if (cfg_schema_judge(s, document) != 0)
            die("the document is not valid", NULL);
        cJSON_Delete(document);
    }
    return (double)(cpu_ns() - start) / 1000 / LOOPS;
}

/* Every tenth key is wrong. */
static double list_violations(const struct cfg_schema *s, const cJSON *document)
{
    cJSON *bad = cJSON_Duplicate(document, true);
    for (cJSON *g = bad->child; g; g = g->next)
        for (cJSON *m = g->child; m; m = m->next)
            if (cJSON_IsNumber(m) && m->valuedouble == 128)
                m->valuedouble = -1;
    uint64_t start = cpu_ns();
    for (int i = 0; i < LOOPS; i++) {
        cJSON *list = cJSON_CreateArray();
        if (cfg_schema_check(s, bad, list, NULL) != CFG_E_SCHEMA)
            die("the bad document is valid", NULL);
        cJSON_Delete(list);
    }
    double us = (double)(cpu_ns() - start) / 1000 / LOOPS;
    cJSON_Delete(bad);
    return us;
}

static void compare(const struct cfg_schema *s, const cJSON *document, const struct cfg_buf *text, const struct peer *p)
{
    static const char *const names[] = {"rs", "fast", "rs+parse", "fast+parse"};
    double ours[2][ROUNDS], copy[ROUNDS], theirs[4][ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        ours[0][i] = judge(s, document);
        ours[1][i] = judge_text(s, text);
        for (int k = 0; p->in && k < 4; k++)
            theirs[k][i] = ask(p, names[k]);
    }
    static const char *const what[] = {"200 keys in memory, jsonschema-rs", "200 keys in memory, fastjsonschema",
                                       "200 keys from text, jsonschema-rs", "200 keys from text, fastjsonschema"};
    for (int k = 0; k < 4; k++) {
        memcpy(copy, ours[k / 2], sizeof copy);
        if (p->in)
            bench_print_ratio(what[k], "us", copy, theirs[k], ROUNDS, k < 2 ? "<= 50 us, ratio <= 0.2" : NULL);
    }
    struct bench_spread verdict = bench_spread(ours[0], ROUNDS), whole = bench_spread(ours[1], ROUNDS);
    (void)printf("200 keys: verdict %.1f us (%.1f ... %.1f), with parsing %.1f us (%.1f ... %.1f)\n", verdict.median,
                 verdict.min, verdict.max, whole.median, whole.min, whole.max);
}

int main(void)
{
    struct cfg_buf schema_text, text;
    struct cfg_schema *schema = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    char schema_file[32], document_file[32];
    cfg_buf_init(&schema_text, 1 << 20);
    cfg_buf_init(&text, 1 << 20);
    put_schema(&schema_text);
    put_document(&text);
    cJSON *tree = parse(&schema_text), *document = parse(&text);
    uint64_t start = cpu_ns();
    if (cfg_schema_compile(&schema, tree, NULL, &err) != 0)
        die("the schema is refused", &err);
    double compiling = (double)(cpu_ns() - start) / 1000;
    save(schema_file, &schema_text);
    save(document_file, &text);
    struct peer peer = start_peer(schema_file, document_file);
    if (peer.in == NULL)
        (void)printf("no jsonschema-rs and fastjsonschema here (scripts/setup --bench): ours alone\n");
    compare(schema, document, &text, &peer);
    (void)printf("200 keys: compiling the schema %.0f us, listing 40 violations %.1f us\n", compiling,
                 list_violations(schema, document));
    if (peer.in) {
        (void)fclose(peer.in);
        (void)fclose(peer.out);
        (void)waitpid(peer.pid, NULL, 0);
    }
    (void)unlink(schema_file);
    (void)unlink(document_file);
    cfg_schema_free(schema);
    cJSON_Delete(tree);
    cJSON_Delete(document);
    cfg_buf_finish(&schema_text);
    cfg_buf_finish(&text);
    return 0;
}
