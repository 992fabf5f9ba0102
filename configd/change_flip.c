/* A flip record is written by the holder of the lock "flips" alone, and only forwards. */
#include "configd/change_draft.h"

#include <string.h>

int cfg_flags_check_flip(struct cfg_bench *b, const struct cfg_draft *d, struct cfg_error *err)
{
    struct cfg_draft *lock;
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_LOCK, CFG_FLIP_LOCK_NAME, NULL);
    double before = cfg_json_get_num(d->before, "at", -1), after = cfg_json_get_num(d->after, "at", -1);
    int rc = cfg_bench_open(&lock, b, &id, err);
    if (rc == 0)
        rc = cfg_bench_guard_head(b, lock, err);
    if (rc != 0)
        return rc;
    const char *holder = cfg_json_get_str(lock->after, "holder", ""), *author = b->change->author;
    if (author == NULL || holder[0] == '\0' || strcmp(holder, author) != 0)
        return cfg_fail(err, CFG_E_CONFLICT, "the lock \"%s\" is not held by %s", CFG_FLIP_LOCK_NAME,
                        author ? author : "anybody");
    if (after <= before)
        return cfg_fail(err, CFG_E_CONFLICT, "the flip at %.0f has been told already", before);
    return 0;
}
