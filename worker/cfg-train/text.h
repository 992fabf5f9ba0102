/* The text to learn from: files one behind the other, the last 1/16 of them kept aside for evaluation. Which place a
 * sample is taken from is a pure function of seed and the sample's number, so that neither the number of ranks nor a
 * restart changes the order in which the text is seen. Immutable once read. */
#ifndef CFG_TRAIN_TEXT_H
#define CFG_TRAIN_TEXT_H

#include "proto/digest.h"
#include "worker/model/shape.h"

struct cfg_text {
    unsigned char *bytes; /* owned */
    size_t n, n_train;
    char digest[CFG_DIGEST_TEXT]; /* of all bytes */
};

enum { CFG_TEXT_MIN = 1024, CFG_TEXT_HELD_OUT = 16 };

/* The files in the order given, at most 1 GiB in all. CFG_E_NOT_FOUND, CFG_E_IO, CFG_E_VALUE (too little), CFG_E_LIMIT,
 * CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_text_load(struct cfg_text *out, const char *const *paths, size_t n, struct cfg_error *err);
void cfg_text_finish(struct cfg_text *t); /* takes a zeroed struct */

/* Sample number i of training with this seed. context holds s->context bytes. */
void cfg_text_sample(const struct cfg_text *t, const struct cfg_model_shape *s, uint64_t seed, uint64_t i,
                     unsigned char *context, unsigned char *target);
/* Sample i < n of the part kept aside, evenly spread over it. */
void cfg_text_held_out(const struct cfg_text *t, const struct cfg_model_shape *s, size_t i, size_t n,
                       unsigned char *context, unsigned char *target);

#endif
