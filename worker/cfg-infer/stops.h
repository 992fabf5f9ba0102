/* Stop sequences: where an answer ends although it could go on. Pure, no allocation. */
#ifndef CFG_INFER_STOPS_H
#define CFG_INFER_STOPS_H

#include "proto/json.h"

enum { CFG_STOPS_MAX = 4, CFG_STOP_BYTES = 128 };

struct cfg_stops {
    unsigned n;
    struct {
        unsigned len;
        char bytes[CFG_STOP_BYTES];
    } of[CFG_STOPS_MAX];
};

/* From JSON: a string, an array of at most CFG_STOPS_MAX of them, or null (none). name is what errors call it.
 * CFG_E_INVALID with that as the path. */
CFG_MUST_CHECK int cfg_stops_read(struct cfg_stops *out, const cJSON *v, const char *name, struct cfg_error *err);

/* How many bytes of a stop sequence `text` ends with; 0: none. Asked after every byte. */
unsigned cfg_stops_match(const struct cfg_stops *s, const unsigned char *text, size_t len);
/* How many bytes at the end of `text` may be the beginning of a stop sequence, and so must not be shown yet. */
unsigned cfg_stops_hold(const struct cfg_stops *s, const unsigned char *text, size_t len);

#endif
