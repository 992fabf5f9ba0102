/* Frames of a tcp group. See group_frame.h. */
#include "worker/group_frame.h"
#include <string.h>

static const char magic[4] = {'C', 'F', 'G', 'R'};

void cfg_set_u64(char *p, uint64_t v)
{
    for (int i = 0; i < 8; i++) {
        p[i] = (char)(v >> (8 * i));
    }
}

static void set_u32(char *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        p[i] = (char)(v >> (8 * i));
    }
}

void cfg_put_u64(struct cfg_buf *out, uint64_t v)
{
    char b[8];
    cfg_set_u64(b, v);
    cfg_buf_put(out, b, sizeof b);
}

void cfg_put_u32(struct cfg_buf *out, uint32_t v)
{
    char b[4];
    set_u32(b, v);
    cfg_buf_put(out, b, sizeof b);
}

uint64_t cfg_get_u64(const char *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--) {
        v = v << 8 | (unsigned char)p[i];
    }
    return v;
}

uint32_t cfg_get_u32(const char *p)
{
    uint32_t v = 0;
    for (int i = 3; i >= 0; i--) {
        v = v << 8 | (unsigned char)p[i];
    }
    return v;
}

void cfg_frame_head(char out[CFG_FRAME_HEAD], const struct cfg_frame *f)
{
    memcpy(out, magic, sizeof magic);
    out[4] = CFG_FRAME_VERSION;
    out[5] = (char)f->type;
    out[6] = out[7] = 0;
    set_u32(out + 8, (uint32_t)f->payload.len);
    set_u32(out + 12, f->rank);
    cfg_set_u64(out + 16, f->incarnation);
    set_u32(out + 24, f->round);
    set_u32(out + 28, 0);
}

void cfg_frame_put(struct cfg_buf *out, const struct cfg_frame *f)
{
    char head[CFG_FRAME_HEAD];
    cfg_frame_head(head, f);
    cfg_buf_put(out, head, sizeof head);
    cfg_buf_put(out, f->payload.ptr, f->payload.len);
}

int cfg_frame_get(struct cfg_frame *out, struct cfg_slice in, struct cfg_error *err)
{
    size_t known = in.len < sizeof magic ? in.len : sizeof magic;
    if (memcmp(in.ptr, magic, known) != 0) {
        return cfg_fail(err, CFG_E_PROTOCOL, "this is no rank of a group");
    }
    if (in.len < CFG_FRAME_HEAD) {
        return 0;
    }
    unsigned version = (unsigned char)in.ptr[4], type = (unsigned char)in.ptr[5];
    uint32_t length = cfg_get_u32(in.ptr + 8);
    if (version != CFG_FRAME_VERSION) {
        return cfg_fail(err, CFG_E_PROTOCOL, "it speaks version %u of the group's protocol, this is version %d",
                        version, CFG_FRAME_VERSION);
    }
    if (type < CFG_FRAME_HELLO || type > CFG_FRAME_ABORT || in.ptr[6] != 0 || in.ptr[7] != 0 ||
        cfg_get_u32(in.ptr + 28) != 0) {
        return cfg_fail(err, CFG_E_PROTOCOL, "a malformed frame (type %u)", type);
    }
    if (length > CFG_FRAME_MAX) {
        return cfg_fail(err, CFG_E_PROTOCOL, "a frame of %u bytes; at most %d are allowed", length, CFG_FRAME_MAX);
    }
    if (in.len - CFG_FRAME_HEAD < length) {
        return 0;
    }
    *out = (struct cfg_frame){
        .type = (enum cfg_frame_type)type,
        .rank = cfg_get_u32(in.ptr + 12),
        .incarnation = cfg_get_u64(in.ptr + 16),
        .round = cfg_get_u32(in.ptr + 24),
        .payload = {in.ptr + CFG_FRAME_HEAD, length},
    };
    return (int)(CFG_FRAME_HEAD + length);
}
