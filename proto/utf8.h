/* UTF-8 as RFC 3629 has it, and the tree's one addition: U+0000 is held as C0 80. Internal to proto. Pure. */
#ifndef CFG_PROTO_UTF8_H
#define CFG_PROTO_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Length of the valid sequence at p < end (no overlong form, no surrogate, nothing above U+10FFFF); 0 if it is broken.
 */
size_t cfg_utf8_length(const unsigned char *p, const unsigned char *end);
/* Writes c, which is no surrogate and at most U+10FFFF, in up to 4 bytes; returns the place behind it. */
char *cfg_utf8_put(char *to, uint32_t c);

/* Takes out of a text, in place, the bytes that are no UTF-8: what is left of a character that a bounded print has cut
 * in two. C0 80, a tree's U+0000, stays. */
void cfg_utf8_mend(char *text);

#endif
