/* What the ranks of a tcp group say to each other, as bytes. Pure.
 *
 * A frame is 32 bytes of head, little endian, and its payload:
 *     "CFGR" | version u8 | type u8 | 0 u16 | length u32 | rank u32 | incarnation u64 | round u32 | 0 u32
 * Everything is checked before it is believed; a length beyond the limit is refused before a byte of it is kept. */
#ifndef CFG_WORKER_GROUP_FRAME_H
#define CFG_WORKER_GROUP_FRAME_H

#include "proto/buf.h"

enum { CFG_FRAME_HEAD = 32, CFG_FRAME_VERSION = 1, CFG_FRAME_MAX = 2 << 20 };

enum cfg_frame_type {
    CFG_FRAME_HELLO = 1, /* to rank 0: world u32, 0 u32, the job's name */
    CFG_FRAME_WELCOME,   /* from rank 0: all are there; the incarnation is the head's */
    CFG_FRAME_REFUSE,    /* from rank 0: u8 superseded?, text */
    CFG_FRAME_WORDS,     /* to rank 0: this rank's words; from it: their minima; i64 each */
    CFG_FRAME_BYTES,     /* a broadcast */
    CFG_FRAME_ABORT,     /* the incarnation is over: text */
};

struct cfg_frame {
    enum cfg_frame_type type;
    uint32_t rank; /* whose, or, in ABORT, who is the cause */
    uint64_t incarnation;
    uint32_t round;
    struct cfg_slice payload; /* borrowed */
};

/* The head alone. */
void cfg_frame_head(char out[CFG_FRAME_HEAD], const struct cfg_frame *f);
/* Appends the frame; the buffer's own status tells when it does not fit. */
void cfg_frame_put(struct cfg_buf *out, const struct cfg_frame *f);
/* The frame at the front of `in`: its length in bytes, 0 when more are needed, CFG_E_PROTOCOL for what is none. */
int cfg_frame_get(struct cfg_frame *out, struct cfg_slice in, struct cfg_error *err);

void cfg_put_u32(struct cfg_buf *out, uint32_t v);
void cfg_put_u64(struct cfg_buf *out, uint64_t v);
uint32_t cfg_get_u32(const char *p);
uint64_t cfg_get_u64(const char *p);
void cfg_set_u64(char *p, uint64_t v);

#endif
