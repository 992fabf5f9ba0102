/* CONFIGD_SOURCE=file:… : what a file means, and following it. */
#include "worker/source.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int view(char **out, const char *text, struct cfg_error *err)
{
    char digest[CFG_DIGEST_TEXT];
    *err = (struct cfg_error)CFG_ERROR_INIT;
    return cfg_source_file_view(out, digest, cfg_slice_str(text), err);
}

Test(file, a_document_is_the_parameters)
{
    char *v = NULL;
    struct cfg_error err;
    cr_assert_eq(view(&v, "{\"a\":{\"b\":1}}", &err), 0, "%s", err.text);
    cr_assert_str_eq(v, "{\"parameters\":{\"a\":{\"b\":1}},\"pinned\":{},\"flags\":{}}");
    free(v);
}

Test(file, a_view_is_a_view)
{
    char *v = NULL;
    struct cfg_error err;
    cr_assert_eq(view(&v, "{\"flags\":{\"e\":{\"f\":true}},\"parameters\":{}}", &err), 0, "%s", err.text);
    cr_assert_not_null(strstr(v, "\"parameters\":{},\"pinned\":{},\"flags\":{\"e\":{\"f\":{\"enabled\":true"), "%s", v);
    free(v);
}

Test(file, what_it_cannot_be)
{
    static const char *const bad[] = {"", "{", "[]", "1", "{\"a\":1,\"a\":2}", "{\"a.b\":1}", "{\"a\":1}x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char *v = NULL;
        struct cfg_error err;
        cr_expect_neq(view(&v, bad[i], &err), 0, "%s", bad[i]);
        cr_expect_null(v);
    }
}

/* --- following --- */

static char dir[64], path[96];
static struct cfg_worker *w;
static cfg_param temp;
static uint64_t step;

static void put(const char *text, bool replace)
{
    char to[128];
    (void)snprintf(to, sizeof to, "%s%s", path, replace ? ".new" : "");
    FILE *f = fopen(to, "w");
    cr_assert_not_null(f);
    cr_assert_geq(fputs(text, f), 0);
    cr_assert_eq(fclose(f), 0);
    if (replace) {
        cr_assert_eq(rename(to, path), 0);
    }
}

static void setup(void)
{
    struct cfg_error err = CFG_ERROR_INIT;
    char source[128];
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    (void)snprintf(dir, sizeof dir, "/tmp/cfg-file-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/chat.json", dir);
    (void)snprintf(source, sizeof source, "file:%s", path);
    o.source = source;
    cr_assert_eq(cfg_worker_open(&w, &o, &err), 0, "%s", err.text);
    temp = cfg_param_f64(w, "t", CFG_LIVE, 0, 2, 0.7);
}

static void teardown(void)
{
    char command[128];
    cfg_worker_close(w);
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}

static double until(const char *revision)
{
    for (;;) {
        const struct cfg_view *v = cfg_step_begin(w, step++);
        if (strcmp(v->revision, revision) == 0) {
            return cfg_get_f64(v, temp);
        }
        (void)cfg_worker_idle(w, 1000);
    }
}

static struct cfg_worker_status wait_rejects(uint64_t n)
{
    struct cfg_worker_status s;
    do {
        cfg_worker_status(w, &s);
    } while (s.rejects < n);
    return s;
}

Test(file, changes_by_writing_and_by_renaming, .init = setup, .fini = teardown, .timeout = 30)
{
    put("{\"t\":1}", false);
    cr_assert_eq(cfg_worker_start(w, 1000, NULL), 0);
    cr_assert_float_eq(until("0-1"), 1, 1e-12);
    put("{\"t\":0.5}", true);
    cr_assert_float_eq(until("0-2"), 0.5, 1e-12);
    put("{\"t\":0.25}", true);
    cr_assert_float_eq(until("0-3"), 0.25, 1e-12);
    struct cfg_worker_status s;
    cfg_worker_status(w, &s);
    cr_assert_str_eq(s.state, "file");
    cr_assert_eq(s.age_ms, 0U);
}

Test(file, broken_or_gone_keeps_the_last_good_one, .init = setup, .fini = teardown, .timeout = 30)
{
    put("{\"t\":1}", true);
    cr_assert_eq(cfg_worker_start(w, 1000, NULL), 0);
    cr_assert_float_eq(until("0-1"), 1, 1e-12);
    put("{\"t\":", true);
    struct cfg_worker_status s = wait_rejects(1);
    cr_assert_not_null(strstr(s.last_reject, "line 1"), "%s", s.last_reject);
    cr_assert_str_eq(s.revision, "0-1");
    cr_assert_eq(unlink(path), 0);
    (void)wait_rejects(2);
    put("{\"t\":9}", true);
    s = wait_rejects(3);
    cr_assert_not_null(strstr(s.last_reject, "outside"), "%s", s.last_reject);
    cr_assert_float_eq(until("0-1"), 1, 1e-12);
    put("{\"t\":1.5}", true);
    cr_assert_float_eq(until("0-3"), 1.5, 1e-12);
}

Test(file, no_good_file_no_start, .init = setup, .fini = teardown, .timeout = 30)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_worker_start(w, 1000, &err), CFG_E_IO);
    cr_assert_not_null(strstr(err.text, "chat.json"));
}

Test(file, a_broken_file_names_the_place, .init = setup, .fini = teardown, .timeout = 30)
{
    struct cfg_error err = CFG_ERROR_INIT;
    put("{\"t\":1,\n \"t\":2}", true);
    cr_assert_eq(cfg_worker_start(w, 1000, &err), CFG_E_JSON);
    cr_assert_not_null(strstr(err.text, "line 2"), "%s", err.text);
}

/* Two writes within one tick of the file system's clock, of the same length: only the event tells. */
Test(file, a_write_that_stat_does_not_show, .init = setup, .fini = teardown, .timeout = 30)
{
    put("{\"t\":0.5}", false);
    cr_assert_eq(cfg_worker_start(w, 1000, NULL), 0);
    cr_assert_float_eq(until("0-1"), 0.5, 1e-12);
    struct stat before;
    int fd = open(path, O_WRONLY);
    cr_assert_geq(fd, 0);
    cr_assert_eq(fstat(fd, &before), 0);
    cr_assert_eq(pwrite(fd, "{\"t\":0.6}", 9, 0), 9);
    const struct timespec times[2] = {before.st_atim, before.st_mtim};
    cr_assert_eq(futimens(fd, times), 0);
    cr_assert_eq(close(fd), 0);
    cr_assert_float_eq(until("0-2"), 0.6, 1e-12);
}
