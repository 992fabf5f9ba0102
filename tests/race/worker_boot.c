/* The first step against the first view: whichever comes first decides what is pinned, and then it never moves.
 *
 * start gives up at once, so that steps may run on the code's defaults; a view with another pinned value arrives while
 * the first steps are taken. */
#include "worker/open.h"
#include "worker/source_memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIVES = 400 };

static const char view[] = "{\"parameters\":{},\"pinned\":{\"tp\":4},\"flags\":{}}";

static int fail(const char *what)
{
    (void)fprintf(stderr, "worker_boot: %s\n", what);
    return 1;
}

static int live(unsigned turn, unsigned *on_view, const char *digest)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_memory_source *source = NULL;
    struct cfg_worker *w = NULL;
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    o.deployment = "blue";
    o.worker = "w0";
    o.cache = "";
    if (cfg_memory_source_new(&source, &err) != 0 ||
        cfg_worker_open_source(&w, &o, cfg_memory_source_base(source), &err) != 0) {
        return fail(err.text);
    }
    cfg_param tp = cfg_param_i64(w, "tp", CFG_PINNED, 1, 8, 1);
    if (cfg_worker_start(w, 0, &err) != CFG_E_TIMEOUT) {
        return fail("start did not give up");
    }
    cfg_memory_push_state(source, CFG_SOURCE_CONNECTED, NULL);
    cfg_memory_push_view(source, "1-1", digest, "S", view);
    for (volatile unsigned spin = 0; spin < turn * 50; spin++) { /* meets the view's way at another place every time */
    }
    const struct cfg_view *v = cfg_step_begin(w, 0);
    int64_t first = cfg_get_i64(v, tp);
    for (uint64_t step = 1; strcmp(v->revision, "1-1") != 0; step++) {
        v = cfg_step_begin(w, step);
    }
    int rc = cfg_get_i64(v, tp) == first ? 0 : fail("a pinned value moved between two steps");
    *on_view += first == 4;
    cfg_worker_close(w);
    return rc;
}

int main(void)
{
    char digest[CFG_DIGEST_TEXT];
    unsigned on_view = 0;
    cJSON *tree = NULL;
    if (cfg_json_parse(&tree, cfg_slice_str(view), 0, NULL) != 0 || cfg_digest_json(digest, tree) != 0) {
        return fail("no digest");
    }
    cJSON_Delete(tree);
    for (unsigned turn = 0; turn < LIVES; turn++) {
        if (live(turn * 4, &on_view, digest) != 0) {
            return 1;
        }
    }
    (void)printf("%d lives, %u of them booted on the view\n", LIVES, on_view);
    return 0;
}
