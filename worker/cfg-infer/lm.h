/* A byte-level language model learnt from a text in milliseconds: interpolated Kneser-Ney over a suffix array.
 *
 * The suffix array (4 bytes per byte of text) sorts all places by what follows them, so the places of any context are
 * one range, found by bisection, and counting what follows it is a walk over that range. No tables of n-grams, so
 * memory is bounded by the text, whatever the order. Immutable once learnt: any number of threads may ask. */
#ifndef CFG_INFER_LM_H
#define CFG_INFER_LM_H

#include "worker/model/sample.h"
#include <cfg/error.h>
#include <stddef.h>

struct cfg_lm;

/* Learns `text`, which is borrowed for *out's life. order: longest context in bytes, 1 to 15. *out is returned-owned.
 * CFG_E_INVALID (no text, order), CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_lm_new(struct cfg_lm **out, const char *text, size_t len, unsigned order, struct cfg_error *err);
void cfg_lm_free(struct cfg_lm *lm); /* NULL is fine */

/* The probabilities of the byte after `context` (only its last `order` bytes count); they sum to one, and only bytes
 * that occur in the text have any. */
void cfg_lm_next(const struct cfg_lm *lm, const unsigned char *context, size_t len, double p[CFG_SYMBOLS]);

#endif
