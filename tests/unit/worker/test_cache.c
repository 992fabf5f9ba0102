#include "worker/cache.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static struct cfg_contract contract;
static struct cfg_local local;
static struct cfg_box *box;
static struct cfg_buf file;
static char dir[64], path[96];

static struct cfg_box *box_of(const char *revision, const char *view)
{
    cJSON *tree = NULL;
    char digest[CFG_DIGEST_TEXT];
    cr_assert_eq(cfg_json_parse(&tree, cfg_slice_str(view), 0, NULL), 0);
    cr_assert_eq(cfg_digest_json(digest, tree), 0);
    cJSON_Delete(tree);
    struct cfg_box *b = NULL;
    const struct cfg_view_input in = {revision, digest, "store-1", cfg_slice_str(view), 0};
    cr_assert_eq(cfg_prepare(&b, &contract, &local, NULL, &in, NULL), 0);
    return b;
}

static void setup(void)
{
    cr_assert_eq(cfg_local_parse(&local, &contract, NULL, NULL), 0);
    box = box_of("3-205", "{\"parameters\":{\"t\":\"\\u0000\xc3\xa9\"},\"pinned\":{},\"flags\":{}}");
    cfg_buf_init(&file, 65536);
    cr_assert_eq(cfg_cache_encode(&file, "blue", box, 1795370501000123, NULL), 0);
    (void)snprintf(dir, sizeof dir, "/tmp/cfg-cache-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/a/b/view", dir);
}

static void teardown(void)
{
    char command[128];
    cfg_box_free(box);
    cfg_buf_finish(&file);
    cfg_local_finish(&local);
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(cache, .init = setup, .fini = teardown);

static int decode(struct cfg_slice bytes, struct cfg_error *err)
{
    struct cfg_cached c = {0};
    int rc = cfg_cache_decode(&c, bytes, "blue", err);
    if (rc != 0) {
        cr_assert_null(c.view, "untouched on failure");
    }
    cfg_cached_finish(&c);
    return rc;
}

Test(cache, what_goes_in_comes_out)
{
    struct cfg_cached c;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_cache_decode(&c, cfg_buf_slice(&file), "blue", &err), 0, "%s", err.text);
    cr_assert_str_eq(c.revision, "3-205");
    cr_assert_str_eq(c.store, "store-1");
    cr_assert_str_eq(c.digest, box->digest);
    cr_assert_eq(c.time_us, 1795370501000123);
    cr_assert(cfg_slice_eq((struct cfg_slice){c.view, c.view_len}, cfg_bytes_slice(box->text)));
    cfg_cached_finish(&c);
}

Test(cache, every_truncation_is_refused)
{
    for (size_t n = 0; n < file.len; n++) {
        struct cfg_error err = CFG_ERROR_INIT;
        cr_assert_neq(decode((struct cfg_slice){file.data, n}, &err), 0, "cut to %zu bytes", n);
        cr_assert_neq(err.text[0], '\0');
    }
}

Test(cache, every_changed_byte_is_refused)
{
    for (size_t i = 0; i < file.len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            struct cfg_error err = CFG_ERROR_INIT;
            file.data[i] = (char)(file.data[i] ^ (1 << bit));
            cr_assert_neq(decode(cfg_buf_slice(&file), &err), 0, "byte %zu bit %u", i, bit);
            file.data[i] = (char)(file.data[i] ^ (1 << bit));
        }
    }
    cr_assert_eq(decode(cfg_buf_slice(&file), NULL), 0);
}

Test(cache, added_bytes_are_refused)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cfg_buf_putc(&file, '\n');
    cr_assert_neq(decode(cfg_buf_slice(&file), &err), 0);
}

/* A sum that fits does not excuse what it sums up. */
static int decode_body(const char *body, struct cfg_error *err)
{
    char sum[CFG_DIGEST_TEXT];
    struct cfg_buf b;
    cfg_buf_init(&b, 65536);
    cfg_buf_puts(&b, body);
    cr_assert_eq(cfg_digest_bytes(sum, cfg_buf_slice(&b)), 0);
    cfg_buf_printf(&b, "%s\n", sum);
    int rc = decode(cfg_buf_slice(&b), err);
    cfg_buf_finish(&b);
    return rc;
}

Test(cache, wrong_heads_with_a_right_sum)
{
#define VIEW  "{\"parameters\":{},\"pinned\":{},\"flags\":{}}"
#define D     "sha256:0000000000000000000000000000000000000000000000000000000000000000"
#define AFTER "\",\"digest\":\"" D "\",\"time_us\":1,\"length\":40}\n" VIEW "\n"
    static const struct {
        const char *body, *says;
    } wrong[] = {
        {"configd-view 2\n{}\n\n", "version"},
        {"configd-view 1\n", "head"},
        {"configd-view 1\n\n\n", "line 1"},
        {"configd-view 1\n{}\n\n", "deployment"},
        {"configd-view 1\n{\"deployment\":\"blue\",\"store\":\"s\",\"revision\":\"1-1\"}\n\n", "digest"},
        {"configd-view 1\n{\"deployment\":\"blue\",\"store\":\"s\",\"revision\":\"1-1" AFTER "x", "long"},
        {"configd-view 1\n{\"deployment\":\"green\",\"store\":\"s\",\"revision\":\"1-1" AFTER, "green"},
        {"configd-view 1\n{\"deployment\":\"blue\",\"store\":\"s\",\"revision\":\"one" AFTER, ""},
        {"configd-view 1\n{\"deployment\":\"blue\",\"store\":\"s\",\"revision\":\"1-1" AFTER, "digest"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct cfg_error err = CFG_ERROR_INIT;
        cr_expect_neq(decode_body(wrong[i].body, &err), 0, "%zu", i);
        cr_expect_not_null(strstr(err.text, wrong[i].says), "%zu: %s", i, err.text);
    }
}

Test(cache, stored_and_loaded_with_its_directories)
{
    struct cfg_cached c;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_cache_load(&c, path, "blue", &err), CFG_E_NOT_FOUND);
    cr_assert_eq(cfg_cache_store(path, cfg_buf_slice(&file), true, &err), 0, "%s", err.text);
    cr_assert_eq(cfg_cache_load(&c, path, "blue", &err), 0, "%s", err.text);
    cr_assert_str_eq(c.revision, "3-205");
    cfg_cached_finish(&c);
    cr_assert_eq(cfg_cache_load(&c, path, "green", &err), CFG_E_VALUE);
}

Test(cache, a_full_disk_keeps_the_old_file)
{
    struct cfg_cached c;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_cache_store(path, cfg_buf_slice(&file), true, &err), 0);
    struct cfg_box *newer = box_of("3-206", "{\"parameters\":{},\"pinned\":{},\"flags\":{}}");
    struct cfg_buf next;
    cfg_buf_init(&next, 65536);
    cr_assert_eq(cfg_cache_encode(&next, "blue", newer, 1, NULL), 0);
    cr_assert_neq(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
    const struct rlimit none = {100, RLIM_INFINITY}, all = {RLIM_INFINITY, RLIM_INFINITY};
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
    int rc = cfg_cache_store(path, cfg_buf_slice(&next), true, &err);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &all), 0);
    cr_assert_eq(rc, CFG_E_IO);
    cr_assert_eq(cfg_cache_load(&c, path, "blue", &err), 0, "%s", err.text);
    cr_assert_str_eq(c.revision, "3-205");
    cfg_cached_finish(&c);
    char tmp[128];
    (void)snprintf(tmp, sizeof tmp, "%s.tmp", path);
    cr_assert_neq(access(tmp, F_OK), 0, "no remains");
    cr_assert_eq(cfg_cache_store(path, cfg_buf_slice(&next), true, &err), 0, "%s", err.text);
    cfg_buf_finish(&next);
    cfg_box_free(newer);
}

Test(cache, a_temporary_of_another_process)
{
    struct cfg_error err = CFG_ERROR_INIT;
    char tmp[128];
    cr_assert_eq(cfg_cache_store(path, cfg_buf_slice(&file), false, &err), 0);
    (void)snprintf(tmp, sizeof tmp, "%s.tmp", path);
    int fd = open(tmp, O_WRONLY | O_CREAT, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(flock(fd, LOCK_EX), 0);
    cr_assert_eq(cfg_cache_store(path, cfg_buf_slice(&file), false, &err), CFG_E_IN_USE, "being written now");
    cr_assert_eq(write(fd, "half", 4), 4);
    (void)close(fd);
    cr_assert_eq(cfg_cache_store(path, cfg_buf_slice(&file), false, &err), 0, "left by a killed one: %s", err.text);
    struct cfg_cached c;
    cr_assert_eq(cfg_cache_load(&c, path, "blue", &err), 0, "%s", err.text);
    cfg_cached_finish(&c);
}

static int store_box(const char *revision, struct cfg_error *err)
{
    struct cfg_box *b = box_of(revision, "{\"parameters\":{},\"pinned\":{},\"flags\":{}}");
    struct cfg_buf bytes;
    cfg_buf_init(&bytes, 65536);
    cr_assert_eq(cfg_cache_encode(&bytes, "blue", b, 1, NULL), 0);
    int rc = cfg_cache_store(path, cfg_buf_slice(&bytes), false, err);
    cfg_buf_finish(&bytes);
    cfg_box_free(b);
    return rc;
}

Test(cache, an_older_view_never_replaces_a_newer_one)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_cached c;
    char tmp[128];
    (void)snprintf(tmp, sizeof tmp, "%s.tmp", path);
    cr_assert_eq(store_box("3-206", &err), 0, "%s", err.text);
    cr_assert_eq(store_box("3-205", &err), CFG_E_SUPERSEDED);
    cr_assert_eq(store_box("2-999", &err), CFG_E_SUPERSEDED, "an older epoch");
    cr_assert_neq(access(tmp, F_OK), 0, "no remains");
    cr_assert_eq(cfg_cache_load(&c, path, "blue", &err), 0, "%s", err.text);
    cr_assert_str_eq(c.revision, "3-206");
    cfg_cached_finish(&c);
    cr_assert_eq(store_box("3-206", &err), 0, "the same again: %s", err.text);
    cr_assert_eq(store_box("4-1", &err), 0, "%s", err.text);
    cr_assert_eq(truncate(path, 200), 0);
    cr_assert_eq(store_box("3-205", &err), 0, "damage with a newer head is no view: %s", err.text);
}

Test(cache, a_path_that_cannot_be)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_cached c;
    cr_assert_eq(cfg_cache_store("/dev/null/x", cfg_buf_slice(&file), true, &err), CFG_E_IO);
    cr_assert_eq(cfg_cache_load(&c, "/dev/null/x", "blue", &err), CFG_E_NOT_FOUND);
    cr_assert_eq(cfg_cache_load(&c, dir, "blue", &err), CFG_E_IO, "a directory");
    cr_assert_neq(cfg_cache_load(&c, "/dev/null", "blue", &err), 0);
    cr_assert_neq(cfg_cache_load(&c, "/dev/zero", "blue", &err), 0, "endless");
}
