/* Between bytes, which the model speaks, and text, which clients read. A model of bytes may say half a character, or
 * none at all: what begins a character waits for its rest, what cannot be one becomes U+FFFD, as decoders of UTF-8 do
 * (one per maximal subpart). Pure. */
#ifndef CFG_INFER_TEXT_H
#define CFG_INFER_TEXT_H

#include "proto/json.h"

/* The bytes of a tree's string (U+0000 is one byte here). Writes at most max; returns how many there are. */
size_t cfg_text_bytes(unsigned char *out, size_t max, const char *tree);

/* Appends to *out, in tree encoding, the text of the bytes as far as they are whole characters (with `last`: all of
 * them), and returns how many bytes that took. */
size_t cfg_text_put(struct cfg_buf *out, const unsigned char *bytes, size_t len, bool last);

#endif
