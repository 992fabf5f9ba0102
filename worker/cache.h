/* The last good view on disk: what a worker runs on when it restarts while configd is away.
 *
 * Format, version 1, text with LF line ends:
 *     configd-view 1
 *     {"deployment","store","revision","digest","time_us","length"}
 *     the view's JSON, exactly `length` bytes
 *     sha256:… over every byte before this line
 * The reader believes nothing: any byte missing, added or changed, another format, another deployment, a digest that is
 * not the view's, and the file counts as absent, with the reason. Encoding and decoding are pure; cache_file.c is the
 * edge. */
#ifndef CFG_WORKER_CACHE_H
#define CFG_WORKER_CACHE_H

#include "worker/prepare.h"

struct cfg_cached {
    char deployment[128];
    char store[CFG_STORE_TEXT];
    char revision[CFG_REV_TEXT];
    char digest[CFG_DIGEST_TEXT];
    int64_t time_us; /* wall clock: when configd last confirmed this view */
    char *view;      /* owned, NUL-terminated */
    size_t view_len;
};

void cfg_cached_finish(struct cfg_cached *c); /* takes a zeroed struct */

/* Appends the file's content. CFG_E_NOMEM, CFG_E_LIMIT. */
CFG_MUST_CHECK int cfg_cache_encode(struct cfg_buf *out, const char *deployment, const struct cfg_box *b,
                                    int64_t time_us, struct cfg_error *err);
/* Reads it back. CFG_E_VALUE with what is wrong; *out (returned-owned: cfg_cached_finish) is filled on success only.
 * deployment: whose cache it must be. */
CFG_MUST_CHECK int cfg_cache_decode(struct cfg_cached *out, struct cfg_slice file, const char *deployment,
                                    struct cfg_error *err);

/* What the head line says, without proof: `file` may be cut anywhere behind it. */
struct cfg_cache_head {
    char deployment[128];
    char store[CFG_STORE_TEXT];
    struct cfg_rev rev;
};
CFG_MUST_CHECK int cfg_cache_peek(struct cfg_cache_head *out, struct cfg_slice file); /* CFG_E_VALUE */

/* The whole file; CFG_E_NOT_FOUND when there is none, CFG_E_IO, and decode's errors. */
CFG_MUST_CHECK int cfg_cache_load(struct cfg_cached *out, const char *path, const char *deployment,
                                  struct cfg_error *err);
/* Replaces the file atomically: a temporary beside it, fsync (when `durable`), rename, fsync of the directory. On
 * failure the old file stays as it was. Missing directories are made (0700). content is what cfg_cache_encode made.
 * CFG_E_IO; CFG_E_IN_USE while another process is replacing it; CFG_E_SUPERSEDED when the file holds a newer view of
 * the same store already (a newer incarnation of this worker wrote it): order holds on disk too. */
CFG_MUST_CHECK int cfg_cache_store(const char *path, struct cfg_slice content, bool durable, struct cfg_error *err);

#endif
