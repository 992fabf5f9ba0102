/* Reading safetensors. See safetensors.h. */
#include "worker/model/safetensors.h"
#include <stdlib.h>
#include <string.h>

enum { LENGTH = 8, HEADER_DEPTH = 8, SHOWN = 80 };

static const struct {
    const char *name;
    unsigned bits;
} dtypes[CFG_ST_N_DTYPES] = {
    [CFG_ST_BOOL] = {"BOOL", 8},       [CFG_ST_U8] = {"U8", 8},           [CFG_ST_I8] = {"I8", 8},
    [CFG_ST_F8_E5M2] = {"F8_E5M2", 8}, [CFG_ST_F8_E4M3] = {"F8_E4M3", 8}, [CFG_ST_F8_E8M0] = {"F8_E8M0", 8},
    [CFG_ST_F4] = {"F4", 4},           [CFG_ST_F6_E2M3] = {"F6_E2M3", 6}, [CFG_ST_F6_E3M2] = {"F6_E3M2", 6},
    [CFG_ST_I16] = {"I16", 16},        [CFG_ST_U16] = {"U16", 16},        [CFG_ST_F16] = {"F16", 16},
    [CFG_ST_BF16] = {"BF16", 16},      [CFG_ST_I32] = {"I32", 32},        [CFG_ST_U32] = {"U32", 32},
    [CFG_ST_F32] = {"F32", 32},        [CFG_ST_F64] = {"F64", 64},        [CFG_ST_I64] = {"I64", 64},
    [CFG_ST_U64] = {"U64", 64},        [CFG_ST_C64] = {"C64", 64},
};

const char *cfg_st_dtype_name(enum cfg_st_dtype t)
{
    return dtypes[t].name;
}

/* A foreign name, fit for one line of an error. */
struct shown {
    char text[SHOWN + 4];
};
static struct shown show(const char *name)
{
    struct shown s;
    size_t n = 0;
    for (; name[n] != '\0' && n < SHOWN; n++) {
        s.text[n] = name[n];
        if ((unsigned char)name[n] < 0x20 || name[n] == 0x7f) {
            s.text[n] = '?';
        }
    }
    memcpy(s.text + n, name[n] != '\0' ? "..." : "", name[n] != '\0' ? 4 : 1);
    return s;
}

/* --- the header --- */

static int header_of(struct cfg_slice *out, struct cfg_slice file, struct cfg_error *err)
{
    uint64_t n = 0;
    if (file.len < LENGTH) {
        return cfg_fail(err, CFG_E_VALUE, "%zu bytes are no safetensors file: it begins with 8 bytes of length",
                        file.len);
    }
    for (unsigned i = LENGTH; i-- > 0;) {
        n = n << 8 | (unsigned char)file.ptr[i];
    }
    if (n > file.len - LENGTH) {
        return cfg_fail(err, CFG_E_VALUE,
                        "its header would have %llu bytes, the whole file has %zu: it is cut short or no safetensors "
                        "file",
                        (unsigned long long)n, file.len);
    }
    if (n > CFG_ST_HEADER_MAX) {
        return cfg_fail(err, CFG_E_LIMIT, "its header has %llu bytes, more than the %d that are read",
                        (unsigned long long)n, CFG_ST_HEADER_MAX);
    }
    if (n == 0 || file.ptr[LENGTH] != '{') {
        return cfg_fail(err, CFG_E_VALUE, "its header does not begin with '{'");
    }
    *out = (struct cfg_slice){file.ptr + LENGTH, (size_t)n};
    return 0;
}

static int check_metadata(const cJSON *metadata, struct cfg_error *err)
{
    if (!cJSON_IsObject(metadata)) {
        return cfg_fail(err, CFG_E_VALUE, "__metadata__ is no object");
    }
    for (const cJSON *m = metadata->child; m != NULL; m = m->next) {
        if (!cJSON_IsString(m)) {
            return cfg_fail(err, CFG_E_VALUE, "__metadata__.%s is no string", show(m->string).text);
        }
    }
    return 0;
}

/* --- one tensor --- */

/* A number of the header: whole, from 0 to 2^53 − 1. */
static bool whole(uint64_t *out, const cJSON *v)
{
    if (!cJSON_IsNumber(v) || v->valuedouble < 0 || v->valuedouble > 9007199254740991.0) {
        return false;
    }
    *out = (uint64_t)v->valuedouble;
    return !((double)*out < v->valuedouble);
}

static int read_dtype(struct cfg_st_tensor *t, const cJSON *v, struct cfg_error *err)
{
    const char *name = cfg_json_get_str(v, "dtype", NULL);
    for (unsigned i = 0; name != NULL && i < CFG_ST_N_DTYPES; i++) {
        if (strcmp(dtypes[i].name, name) == 0) {
            t->dtype = (enum cfg_st_dtype)i;
            return 0;
        }
    }
    return name == NULL
               ? cfg_fail(err, CFG_E_VALUE, "tensor %s: it has no dtype", show(t->name).text)
               : cfg_fail(err, CFG_E_VALUE, "tensor %s: no dtype is called '%s'", show(t->name).text, show(name).text);
}

static int read_shape(struct cfg_st_tensor *t, uint64_t *count, const cJSON *v, struct cfg_error *err)
{
    const cJSON *shape = cfg_json_get(v, "shape");
    *count = 1;
    if (!cJSON_IsArray(shape)) {
        return cfg_fail(err, CFG_E_VALUE, "tensor %s: it has no shape", show(t->name).text);
    }
    for (const cJSON *d = shape->child; d != NULL; d = d->next) {
        uint64_t dim;
        if (!whole(&dim, d)) {
            return cfg_fail(err, CFG_E_VALUE, "tensor %s: its shape holds what is no whole number", show(t->name).text);
        }
        if (t->n_dims == CFG_ST_DIMS_MAX) {
            return cfg_fail(err, CFG_E_LIMIT, "tensor %s: more than %d dimensions", show(t->name).text,
                            CFG_ST_DIMS_MAX);
        }
        if (__builtin_mul_overflow(*count, dim, count)) {
            return cfg_fail(err, CFG_E_VALUE, "tensor %s: its shape is too large", show(t->name).text);
        }
        t->dims[t->n_dims++] = dim;
    }
    return 0;
}

static int read_bytes(struct cfg_st_tensor *t, uint64_t count, const cJSON *v, struct cfg_slice data,
                      struct cfg_error *err)
{
    const cJSON *offsets = cfg_json_get(v, "data_offsets");
    uint64_t begin, end, bits;
    if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 || !whole(&begin, offsets->child) ||
        !whole(&end, offsets->child->next)) {
        return cfg_fail(err, CFG_E_VALUE, "tensor %s: data_offsets are not two whole numbers", show(t->name).text);
    }
    if (begin > end || end > data.len) {
        return cfg_fail(err, CFG_E_VALUE,
                        "tensor %s: its bytes [%llu, %llu) do not lie in the buffer of %zu: the file is cut short or "
                        "damaged",
                        show(t->name).text, (unsigned long long)begin, (unsigned long long)end, data.len);
    }
    if (__builtin_mul_overflow(count, dtypes[t->dtype].bits, &bits)) {
        return cfg_fail(err, CFG_E_VALUE, "tensor %s: its shape is too large", show(t->name).text);
    }
    if (bits % 8 != 0) {
        return cfg_fail(err, CFG_E_VALUE, "tensor %s: its %llu values of %s end inside a byte", show(t->name).text,
                        (unsigned long long)count, dtypes[t->dtype].name);
    }
    if (bits / 8 != end - begin) {
        return cfg_fail(err, CFG_E_VALUE, "tensor %s: its shape needs %llu bytes of %s, its offsets span %llu",
                        show(t->name).text, (unsigned long long)bits / 8, dtypes[t->dtype].name,
                        (unsigned long long)(end - begin));
    }
    t->bytes = (struct cfg_slice){data.ptr + begin, (size_t)(end - begin)};
    return 0;
}

static int read_tensor(struct cfg_st_tensor *t, const cJSON *v, struct cfg_slice data, struct cfg_error *err)
{
    uint64_t count;
    *t = (struct cfg_st_tensor){.name = v->string};
    if (!cJSON_IsObject(v)) {
        return cfg_fail(err, CFG_E_VALUE, "tensor %s: it is no object", show(v->string).text);
    }
    for (const cJSON *m = v->child; m != NULL; m = m->next) {
        if (strcmp(m->string, "dtype") != 0 && strcmp(m->string, "shape") != 0 &&
            strcmp(m->string, "data_offsets") != 0) {
            return cfg_fail(err, CFG_E_VALUE, "tensor %s: unknown member %s", show(v->string).text,
                            show(m->string).text);
        }
    }
    int rc = read_dtype(t, v, err);
    rc = rc == 0 ? read_shape(t, &count, v, err) : rc;
    return rc == 0 ? read_bytes(t, count, v, data, err) : rc;
}

/* --- all of them --- */

static int by_place(const void *a, const void *b)
{
    const struct cfg_st_tensor *x = a;
    const struct cfg_st_tensor *y = b;
    if (x->bytes.ptr != y->bytes.ptr) {
        return x->bytes.ptr < y->bytes.ptr ? -1 : 1;
    }
    return x->bytes.len != y->bytes.len ? (x->bytes.len < y->bytes.len ? -1 : 1) : strcmp(x->name, y->name);
}

/* Sorted, each must begin where the one before ends, and the last end with the buffer. */
static int check_cover(const struct cfg_safetensors *s, struct cfg_slice data, struct cfg_error *err)
{
    const char *at = data.ptr;
    for (size_t i = 0; i < s->n; i++) {
        const struct cfg_st_tensor *t = &s->tensors[i];
        if (t->bytes.ptr < at) {
            return cfg_fail(err, CFG_E_VALUE, "tensor %s overlaps %s", show(t->name).text,
                            show(s->tensors[i - 1].name).text);
        }
        if (t->bytes.ptr > at) {
            return cfg_fail(err, CFG_E_VALUE, "%zu bytes in front of tensor %s belong to none",
                            (size_t)(t->bytes.ptr - at), show(t->name).text);
        }
        at += t->bytes.len;
    }
    if (at != data.ptr + data.len) {
        return cfg_fail(err, CFG_E_VALUE, "%zu bytes at its end belong to no tensor",
                        (size_t)(data.ptr + data.len - at));
    }
    return 0;
}

static int read_all(struct cfg_safetensors *s, struct cfg_slice data, struct cfg_error *err)
{
    size_t most = (size_t)cJSON_GetArraySize(s->header);
    if (most > CFG_ST_TENSORS_MAX) {
        return cfg_fail(err, CFG_E_LIMIT, "it names %zu tensors, more than the %d that are read", most,
                        CFG_ST_TENSORS_MAX);
    }
    s->tensors = calloc(most + 1, sizeof *s->tensors);
    if (s->tensors == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    for (const cJSON *v = s->header->child; v != NULL; v = v->next) {
        bool metadata = strcmp(v->string, "__metadata__") == 0;
        int rc = metadata ? check_metadata(v, err) : read_tensor(&s->tensors[s->n], v, data, err);
        if (rc != 0) {
            return rc;
        }
        s->n += metadata ? 0 : 1;
    }
    qsort(s->tensors, s->n, sizeof *s->tensors, by_place);
    return check_cover(s, data, err);
}

int cfg_safetensors_parse(struct cfg_safetensors *out, struct cfg_slice file, struct cfg_error *err)
{
    struct cfg_safetensors s = {0};
    struct cfg_slice header;
    int rc = header_of(&header, file, err);
    if (rc != 0) {
        return rc;
    }
    /* Writers pad the header with spaces to a multiple of 8; the JSON reader takes white space behind the value. */
    rc = cfg_json_parse(&s.header, header, HEADER_DEPTH, err);
    if (rc != 0) {
        return cfg_error_wrap(err, "its header");
    }
    const struct cfg_slice data = {header.ptr + header.len, file.len - LENGTH - header.len};
    rc = read_all(&s, data, err);
    if (rc != 0) {
        cfg_safetensors_finish(&s);
        return rc;
    }
    *out = s;
    return 0;
}

void cfg_safetensors_finish(struct cfg_safetensors *s)
{
    cJSON_Delete(s->header);
    free(s->tensors);
    memset(s, 0, sizeof *s);
}

const struct cfg_st_tensor *cfg_safetensors_find(const struct cfg_safetensors *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++) {
        if (strcmp(s->tensors[i].name, name) == 0) {
            return &s->tensors[i];
        }
    }
    return NULL;
}

const char *cfg_safetensors_metadata(const struct cfg_safetensors *s, const char *key)
{
    return cfg_json_get_str(cfg_json_get(s->header, "__metadata__"), key, NULL);
}

int cfg_safetensors_floats(float *out, size_t count, const struct cfg_st_tensor *t, struct cfg_error *err)
{
    size_t size = t->dtype == CFG_ST_BF16 ? 2 : 4;
    if (t->dtype != CFG_ST_F32 && t->dtype != CFG_ST_BF16) {
        return cfg_fail(err, CFG_E_VALUE, "tensor %s is %s; F32 and BF16 can be read", show(t->name).text,
                        dtypes[t->dtype].name);
    }
    if (t->bytes.len != count * size) {
        return cfg_fail(err, CFG_E_VALUE, "tensor %s has %zu values, not %zu", show(t->name).text, t->bytes.len / size,
                        count);
    }
    for (size_t i = 0; i < count; i++) {
        const unsigned char *p = (const unsigned char *)t->bytes.ptr + i * size;
        uint32_t bits = size == 2 ? (uint32_t)p[0] << 16 | (uint32_t)p[1] << 24
                                  : (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        memcpy(&out[i], &bits, sizeof bits);
    }
    return 0;
}
