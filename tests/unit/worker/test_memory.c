/* Every allocation of the pure parts fails in turn: each must end in an error or a whole result, without a leak (the
 * sanitizer's word) and without touching the out parameter. Linked with --wrap, so that our own objects' calls come
 * here. */
#include "worker/cache.h"
#include "worker/report.h"
#include "worker/source.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* The linker's names; visible, because it looks for them from shared libraries too. */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
char *__real_strdup(const char *s);
CFG_API void *__wrap_malloc(size_t n);
CFG_API void *__wrap_calloc(size_t n, size_t size);
CFG_API void *__wrap_realloc(void *p, size_t n);
CFG_API char *__wrap_strdup(const char *s);

static unsigned countdown; /* 0: nothing fails */
static bool failed;

static bool fails(void)
{
    bool now = countdown > 0 && --countdown == 0;
    failed = failed || now;
    return now;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}

char *__wrap_strdup(const char *s)
{
    return fails() ? NULL : __real_strdup(s);
}

/* Runs `attempt` with the 1st, 2nd, … allocation failing until one run meets no failure. attempt returns 0 or an error;
 * it must not succeed by leaving something out, which it checks itself. */
static void sweep(int (*attempt)(void))
{
    unsigned refused = 0;
    cJSON_Hooks hooks = {__wrap_malloc, free};
    cJSON_InitHooks(&hooks);
    for (unsigned n = 1;; n++) {
        countdown = n;
        failed = false;
        int rc = attempt();
        countdown = 0;
        if (!failed) {
            cr_assert_eq(rc, 0, "without a failure it succeeds: %d", rc);
            break;
        }
        refused += rc != 0;
    }
    cJSON_InitHooks(NULL);
    cr_assert_gt(refused, 0U, "no allocation was met");
}

#define VIEW                                                                                                     \
    "{\"parameters\":{\"name\":\"two\",\"tree\":{\"a\":[1,{\"b\":null}]},\"path\":\"/"                           \
    "new\"},\"pinned\":{\"d\":{\"tp\":4}},"                                                                      \
    "\"flags\":{\"e\":{\"f\":{\"enabled\":true,\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"on\":true," \
    "\"off\":"                                                                                                   \
    "false},\"defaultVariant\":\"on\"}}}}}"

static struct cfg_contract contract;
static struct cfg_local local;

static int declare(struct cfg_contract *c)
{
    static const struct cfg_decl d[] = {
        {(char *)(uintptr_t) "name", CFG_STRING, CFG_LIVE, {0}, {0}, {.string = "one"}},
        {(char *)(uintptr_t) "tree", CFG_JSON, CFG_LIVE, {0}, {0}, {.string = "{\"x\":[]}"}},
        {(char *)(uintptr_t) "path", CFG_STRING, CFG_RESTART, {0}, {0}, {.string = "/old"}},
        {(char *)(uintptr_t) "d.tp", CFG_I64, CFG_PINNED, {.i64 = 4}, {.i64 = 4}, {.i64 = 4}},
        {(char *)(uintptr_t) "e/f", CFG_FLAG, CFG_LIVE, {0}, {0}, {.b = false}},
    };
    for (size_t i = 0; i < sizeof d / sizeof d[0]; i++) {
        if (cfg_contract_add(c, &d[i]) == UINT32_MAX) {
            return c->error.code;
        }
    }
    return 0;
}

static void setup(void)
{
    memset(&contract, 0, sizeof contract);
    cr_assert_eq(declare(&contract), 0, "%s", contract.error.text);
    cr_assert_eq(cfg_local_parse(&local, &contract, NULL, NULL), 0);
}

static void teardown(void)
{
    cfg_local_finish(&local);
    cfg_contract_finish(&contract);
}

TestSuite(memory, .init = setup, .fini = teardown);

static int attempt_declare(void)
{
    struct cfg_contract c = {0};
    int rc = declare(&c);
    cfg_contract_finish(&c);
    return rc;
}

static int attempt_local(void)
{
    struct cfg_local l = {0};
    int rc = cfg_local_parse(&l, &contract, "name=a;tree={a: [1, 2]};e/f=on;name=b", NULL);
    cr_assert(rc == 0 || l.set == NULL);
    cfg_local_finish(&l);
    return rc;
}

static int attempt_prepare(void)
{
    const struct cfg_view_input in = {"1-7", "sha256:x", "S", CFG_SLICE_LIT(VIEW), 0};
    struct cfg_box *boot = NULL, *b = NULL;
    int rc = cfg_prepare(&boot, &contract, &local, NULL, &in, NULL);
    if (rc == 0) {
        rc = cfg_prepare(&b, &contract, &local, boot, &in, NULL);
    }
    cr_assert(rc == 0 || b == NULL);
    if (rc == 0) {
        cr_assert_str_eq(b->values[0].string, "two");
        cr_assert(b->values[4].b);
    }
    cfg_box_free(b);
    cfg_box_free(boot);
    return rc;
}

static int attempt_file_view(void)
{
    char *view = NULL;
    char digest[CFG_DIGEST_TEXT];
    int rc = cfg_source_file_view(&view, digest,
                                  CFG_SLICE_LIT("{\"parameters\":{\"a\":1},\"flags\":{\"e\":{\"f\":true}}}"), NULL);
    cr_assert_eq(rc == 0, view != NULL);
    free(view);
    return rc;
}

static int attempt_cache(void)
{
    const struct cfg_view_input in = {"1-7", "sha256:x", "S", CFG_SLICE_LIT(VIEW), 0};
    struct cfg_box *b = NULL;
    struct cfg_cached c = {0};
    struct cfg_buf file;
    cfg_buf_init(&file, 65536);
    int rc = cfg_prepare(&b, &contract, &local, NULL, &in, NULL);
    if (rc == 0) {
        cJSON *tree = NULL;
        rc = cfg_json_parse(&tree, in.text, 0, NULL);
        rc = rc != 0 ? rc : cfg_digest_json(b->digest, tree);
        cJSON_Delete(tree);
    }
    rc = rc != 0 ? rc : cfg_cache_encode(&file, "blue", b, 1, NULL);
    rc = rc != 0 ? rc : cfg_cache_decode(&c, cfg_buf_slice(&file), "blue", NULL);
    cr_assert_eq(rc == 0, c.view != NULL);
    cfg_cached_finish(&c);
    cfg_buf_finish(&file);
    cfg_box_free(b);
    return rc;
}

static int attempt_registration(void)
{
    const struct cfg_identity id = {.deployment = "blue",
                                    .worker = "w0",
                                    .incarnation = "cafe",
                                    .host = "node7",
                                    .pid = 42,
                                    .rank = 0,
                                    .world = 1,
                                    .group = "g",
                                    .address = "n0:7"};
    struct cfg_buf out;
    cfg_buf_init(&out, 65536);
    cfg_registration_print(&out, &id, &contract, NULL, NULL, "S", NULL);
    int rc = cfg_buf_status(&out);
    cr_assert(rc != 0 || strstr(out.data, "\"pin\":{\"d\":{\"tp\":4}}") != NULL);
    cfg_buf_finish(&out);
    return rc;
}

Test(memory, declarations)
{
    sweep(attempt_declare);
}

Test(memory, overrides)
{
    sweep(attempt_local);
}

Test(memory, views)
{
    sweep(attempt_prepare);
}

Test(memory, files)
{
    sweep(attempt_file_view);
}

Test(memory, caches)
{
    sweep(attempt_cache);
}

Test(memory, registrations)
{
    sweep(attempt_registration);
}
