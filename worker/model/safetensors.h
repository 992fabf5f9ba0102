/* The safetensors format: a strict reader of anybody's bytes and an atomic writer.
 *
 *     length of the header, u64 little endian | header: JSON | the tensors' bytes
 *
 * The header maps names to {"dtype","shape","data_offsets":[begin,end]}, and "__metadata__" to strings. As the format
 * demands, everything is checked before a byte of a tensor is read: the header's length against the file, its JSON, its
 * keys (no duplicates), each dtype, each shape times the dtype's size against its offsets, and that the tensors cover
 * the buffer without overlap or hole. Reading is pure and never trusts alignment. */
#ifndef CFG_MODEL_SAFETENSORS_H
#define CFG_MODEL_SAFETENSORS_H

#include "proto/json.h"

enum {
    CFG_ST_HEADER_MAX = 16 << 20, /* the format allows 100 MB; such a header would be 100,000s of tensors */
    CFG_ST_DIMS_MAX = 8,
    CFG_ST_TENSORS_MAX = 65536,
};

enum cfg_st_dtype {
    CFG_ST_BOOL,
    CFG_ST_U8,
    CFG_ST_I8,
    CFG_ST_F8_E5M2,
    CFG_ST_F8_E4M3,
    CFG_ST_F8_E8M0,
    CFG_ST_F4,
    CFG_ST_F6_E2M3,
    CFG_ST_F6_E3M2,
    CFG_ST_I16,
    CFG_ST_U16,
    CFG_ST_F16,
    CFG_ST_BF16,
    CFG_ST_I32,
    CFG_ST_U32,
    CFG_ST_F32,
    CFG_ST_F64,
    CFG_ST_I64,
    CFG_ST_U64,
    CFG_ST_C64,
    CFG_ST_N_DTYPES
};
const char *cfg_st_dtype_name(enum cfg_st_dtype t);

struct cfg_st_tensor {
    const char *name; /* borrowed from the header */
    enum cfg_st_dtype dtype;
    unsigned n_dims;
    uint64_t dims[CFG_ST_DIMS_MAX];
    struct cfg_slice bytes; /* borrowed from the file */
};

struct cfg_safetensors {
    cJSON *header; /* owned */
    struct cfg_st_tensor *tensors;
    size_t n; /* in the order of their bytes */
};

/* `file` is borrowed as long as *out lives. *out is filled whole or untouched; cfg_safetensors_finish frees.
 * CFG_E_VALUE says what is wrong and of which tensor, CFG_E_LIMIT (more than this reader takes), CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_safetensors_parse(struct cfg_safetensors *out, struct cfg_slice file, struct cfg_error *err);
void cfg_safetensors_finish(struct cfg_safetensors *s); /* takes a zeroed struct */
/* NULL: there is none. Borrowed. */
const struct cfg_st_tensor *cfg_safetensors_find(const struct cfg_safetensors *s, const char *name);
const char *cfg_safetensors_metadata(const struct cfg_safetensors *s, const char *key);
/* The tensor's values as float32; it must have exactly `count`, as F32 or BF16. CFG_E_VALUE names it. */
CFG_MUST_CHECK int cfg_safetensors_floats(float *out, size_t count, const struct cfg_st_tensor *t,
                                          struct cfg_error *err);

/* One tensor to write, as F32. */
struct cfg_st_part {
    const char *name;
    uint32_t rows, cols; /* rows 0: a vector of cols */
    const float *values; /* borrowed */
};
/* Writes PATH whole or not at all: a temporary beside it, synced, renamed, the directory synced. What lay there before
 * stays on failure. metadata: an object of strings, borrowed. CFG_E_IO says which file and why (a full disk, say),
 * CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_safetensors_write(const char *path, const struct cfg_st_part *parts, size_t n,
                                         const cJSON *metadata, struct cfg_error *err);

/* A whole file's bytes, returned-owned in *out (free *out.ptr's memory with cfg_file_free). CFG_E_NOT_FOUND, CFG_E_IO,
 * CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_file_read(struct cfg_slice *out, const char *path, struct cfg_error *err);
void cfg_file_free(struct cfg_slice *file);

#endif
