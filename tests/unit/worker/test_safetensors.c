/* safetensors: what is read, what is refused and how it is said, and files that are written whole or not at all. */
#include "worker/model/safetensors.h"
#include "worker/model/weights.h"

#include <criterion/criterion.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file of this header and `data` bytes of buffer (0, 1, 2, …), returned-owned. */
static struct cfg_slice file_of(const char *header, size_t data)
{
    size_t n = strlen(header);
    char *bytes = malloc(8 + n + data);
    cr_assert_not_null(bytes);
    for (unsigned i = 0; i < 8; i++) {
        bytes[i] = (char)(n >> (8 * i) & 0xff);
    }
    memcpy(bytes + 8, header, n);
    for (size_t i = 0; i < data; i++) {
        bytes[8 + n + i] = (char)i;
    }
    return (struct cfg_slice){bytes, 8 + n + data};
}

static void refused(const char *header, size_t data, int code, const char *says)
{
    struct cfg_safetensors s = {0};
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_slice f = file_of(header, data);
    cr_expect_eq(cfg_safetensors_parse(&s, f, &err), code, "%s: %d %s", header, err.code, err.text);
    cr_expect(strstr(err.text, says) != NULL, "%s: %s", header, err.text);
    cr_expect_null(s.header);
    cfg_file_free(&f);
}

Test(safetensors, tensors_are_found_with_their_bytes)
{
    struct cfg_safetensors s = {0};
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_slice f = file_of("{\"__metadata__\":{\"who\":\"me\"},\"b\":{\"dtype\":\"BF16\",\"shape\":[2],"
                                 "\"data_offsets\":[8,12]},\"a\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":"
                                 "[0,8]},\"none\":{\"dtype\":\"I64\",\"shape\":[0,5],\"data_offsets\":[8,8]},"
                                 "\"one\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[12,13]}}   ",
                                 13);
    float a[2], b[2], want;
    cr_assert_eq(cfg_safetensors_parse(&s, f, &err), 0, "%s", err.text);
    cr_expect_eq(s.n, 4U);
    cr_expect_str_eq(cfg_safetensors_metadata(&s, "who"), "me");
    cr_expect_null(cfg_safetensors_metadata(&s, "what"));
    cr_expect_null(cfg_safetensors_find(&s, "__metadata__"));
    cr_assert_eq(cfg_safetensors_floats(a, 2, cfg_safetensors_find(&s, "a"), &err), 0);
    cr_assert_eq(cfg_safetensors_floats(b, 2, cfg_safetensors_find(&s, "b"), &err), 0);
    memcpy(&want, "\4\5\6\7", 4);
    cr_expect_eq(a[1], want);
    memcpy(&want, "\0\0\12\13", 4);
    cr_expect_eq(b[1], want, "bf16 is the upper half of a float");
    cr_expect_eq(cfg_safetensors_floats(a, 3, cfg_safetensors_find(&s, "a"), &err), CFG_E_VALUE);
    cr_expect_eq(cfg_safetensors_floats(a, 1, cfg_safetensors_find(&s, "one"), &err), CFG_E_VALUE);
    cr_expect_str_eq(err.text, "tensor one is U8; F32 and BF16 can be read");
    cfg_safetensors_finish(&s);
    cfg_file_free(&f);
}

#define T(dtype, shape, offsets) "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

Test(safetensors, what_is_wrong_is_said)
{
    refused("[1]", 0, CFG_E_VALUE, "does not begin with '{'");
    refused("", 0, CFG_E_VALUE, "does not begin with '{'");
    refused("{\"a\":", 0, CFG_E_JSON, "its header");
    refused("{\"a\":1,\"a\":2}", 0, CFG_E_JSON, "its header");
    refused("{\"a\":1}", 0, CFG_E_VALUE, "tensor a: it is no object");
    refused("{\"__metadata__\":[]}", 0, CFG_E_VALUE, "__metadata__ is no object");
    refused("{\"__metadata__\":{\"n\":1}}", 0, CFG_E_VALUE, "__metadata__.n is no string");
    refused("{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, CFG_E_VALUE, "it has no dtype");
    refused("{\"a\":" T("Q7", "[1]", "[0,4]") "}", 4, CFG_E_VALUE, "no dtype is called 'Q7'");
    refused("{\"a\\n\":" T("f32", "[1]", "[0,4]") "}", 4, CFG_E_VALUE, "tensor a?: no dtype is called 'f32'");
    refused("{\"a\":" T("F32", "1", "[0,4]") "}", 4, CFG_E_VALUE, "it has no shape");
    refused("{\"a\":" T("F32", "[-1]", "[0,4]") "}", 4, CFG_E_VALUE, "no whole number");
    refused("{\"a\":" T("F32", "[1.5]", "[0,4]") "}", 4, CFG_E_VALUE, "no whole number");
    refused("{\"a\":" T("F32", "[9007199254740991,9007199254740991]", "[0,4]") "}", 4, CFG_E_VALUE, "too large");
    refused("{\"a\":" T("F64", "[9007199254740991,2000]", "[0,4]") "}", 4, CFG_E_VALUE, "too large");
    refused("{\"a\":" T("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4, CFG_E_LIMIT, "more than 8 dimensions");
    refused("{\"a\":" T("F32", "[1]", "[0]") "}", 4, CFG_E_VALUE, "not two whole numbers");
    refused("{\"a\":" T("F32", "[1]", "[4,0]") "}", 4, CFG_E_VALUE, "do not lie in the buffer");
    refused("{\"a\":" T("F32", "[2]", "[0,8]") "}", 4, CFG_E_VALUE, "cut short");
    refused("{\"a\":" T("F32", "[2]", "[0,4]") "}", 4, CFG_E_VALUE, "needs 8 bytes of F32, its offsets span 4");
    refused("{\"a\":" T("F4", "[3]", "[0,1]") "}", 1, CFG_E_VALUE, "end inside a byte");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", 4, CFG_E_VALUE,
            "unknown member x");
    refused("{\"a\":" T("F32", "[1]", "[0,4]") ",\"b\":" T("F32", "[1]", "[2,6]") "}", 6, CFG_E_VALUE,
            "tensor b overlaps a");
    refused("{\"a\":" T("F32", "[1]", "[0,4]") ",\"b\":" T("F32", "[1]", "[0,4]") "}", 4, CFG_E_VALUE, "overlaps");
    refused("{\"a\":" T("F32", "[1]", "[0,4]") ",\"b\":" T("F32", "[1]", "[6,10]") "}", 10, CFG_E_VALUE,
            "2 bytes in front of tensor b");
    refused("{\"a\":" T("F32", "[1]", "[0,4]") "}", 9, CFG_E_VALUE, "5 bytes at its end");
}

Test(safetensors, a_header_longer_than_the_file_or_than_is_sensible)
{
    struct cfg_safetensors s = {0};
    struct cfg_error err = CFG_ERROR_INIT;
    cr_expect_eq(cfg_safetensors_parse(&s, (struct cfg_slice){"1234567", 7}, &err), CFG_E_VALUE);
    cr_expect_eq(cfg_safetensors_parse(&s, (struct cfg_slice){"\377\377\377\377\377\377\377\377{}", 10}, &err),
                 CFG_E_VALUE);
    cr_expect(strstr(err.text, "cut short") != NULL, "%s", err.text);
    size_t n = (size_t)CFG_ST_HEADER_MAX + 1;
    char *many = calloc(1, n + 8);
    cr_assert_not_null(many);
    many[3] = 1, many[0] = 1; /* 16 MiB and one byte */
    cr_expect_eq(cfg_safetensors_parse(&s, (struct cfg_slice){many, n + 8}, &err), CFG_E_LIMIT);
    free(many);
}

/* --- the model's weights --- */

static const struct cfg_model_shape shape = {3, 2, 5, 2};

static char dir[64];
static void make_dir(void)
{
    (void)snprintf(dir, sizeof dir, "/tmp/cfg-st-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
}
static void drop_dir(void)
{
    char name[2][96];
    (void)snprintf(name[0], sizeof name[0], "%s/m", dir);
    (void)snprintf(name[1], sizeof name[1], "%s/m.tmp", dir);
    (void)unlink(name[0]);
    (void)unlink(name[1]);
    (void)rmdir(dir);
}

enum { N_PARTS = 7 };
static size_t parts_of(struct cfg_st_part *parts, const float *values, char names[N_PARTS][32])
{
    size_t n = cfg_model_n_tensors(&shape);
    for (size_t i = 0; i < n; i++) {
        struct cfg_model_tensor t = cfg_model_tensor(&shape, i);
        memcpy(names[i], t.name, sizeof t.name);
        parts[i] = (struct cfg_st_part){names[i], t.rows, t.cols, values + t.offset};
    }
    return n;
}

static cJSON *metadata(void)
{
    cJSON *m = NULL;
    cr_assert_eq(cfg_json_parse(&m,
                                CFG_SLICE_LIT("{\"format\":\"configd.byte-lm.1\",\"shape\":\"{\\\"context\\\":3,"
                                              "\\\"embed\\\":2,\\\"hidden\\\":5,\\\"layers\\\":2}\",\"step\":\"60\","
                                              "\"revision\":\"1-20\",\"text_digest\":\"sha256:ab\"}"),
                                0, NULL),
                 0);
    return m;
}

static int save(const char *path, const float *values, struct cfg_error *err)
{
    struct cfg_st_part parts[N_PARTS];
    char names[N_PARTS][32];
    cJSON *m = metadata();
    int rc = cfg_safetensors_write(path, parts, parts_of(parts, values, names), m, err);
    cJSON_Delete(m);
    return rc;
}

Test(weights, what_is_written_is_read_back, .init = make_dir, .fini = drop_dir)
{
    char path[96];
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_weights w = {0};
    (void)snprintf(path, sizeof path, "%s/m", dir);
    float *all = calloc(cfg_model_n_parameters(&shape), sizeof *all);
    cr_assert_not_null(all);
    cfg_model_initialise(all, &shape, 1);
    cr_assert_eq(save(path, all, &err), 0, "%s", err.text);
    cr_assert_eq(cfg_weights_load(&w, path, &err), 0, "%s", err.text);
    cr_expect(cfg_model_shape_equal(&w.shape, &shape));
    cr_expect_eq(memcmp(w.values, all, cfg_model_n_parameters(&shape) * sizeof *all), 0);
    cr_expect_eq(w.step, 60U);
    cr_expect_str_eq(w.revision, "1-20");
    cr_expect_str_eq(w.text_digest, "sha256:ab");
    cr_expect_eq(strncmp(w.digest, "sha256:", 7), 0);
    cfg_weights_finish(&w);
    /* A value that is no number. */
    all[3] = NAN;
    cr_assert_eq(save(path, all, &err), 0);
    cr_expect_eq(cfg_weights_load(&w, path, &err), CFG_E_VALUE);
    cr_expect(strstr(err.text, "tensor embed.weight holds 1 values that are not finite") != NULL, "%s", err.text);
    free(all);
}

/* Every byte of a good file cut off, and every byte of its header changed: refused, or read as something whole. */
Test(weights, damaged_files_are_refused, .init = make_dir, .fini = drop_dir)
{
    char path[96];
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_weights w = {0};
    struct cfg_slice file;
    float *all = calloc(cfg_model_n_parameters(&shape), sizeof *all);
    (void)snprintf(path, sizeof path, "%s/m", dir);
    cr_assert_not_null(all);
    cr_assert_eq(save(path, all, &err), 0);
    cr_assert_eq(cfg_file_read(&file, path, &err), 0);
    for (size_t n = 0; n < file.len; n += n < 1200 ? 1 : 61) {
        cr_assert_neq(cfg_weights_read(&w, (struct cfg_slice){file.ptr, n}, "it", &err), 0, "%zu bytes", n);
        cr_assert_eq(strncmp(err.text, "it: ", 4), 0);
    }
    char *copy = malloc(file.len);
    cr_assert_not_null(copy);
    for (size_t i = 0; i < 700; i++) {
        memcpy(copy, file.ptr, file.len);
        copy[i] ^= 0x15;
        if (cfg_weights_read(&w, (struct cfg_slice){copy, file.len}, "it", &err) == 0) {
            cr_assert(cfg_model_shape_equal(&w.shape, &shape), "only what is not the shape may differ");
            cfg_weights_finish(&w);
        }
    }
    free(copy);
    free(all);
    cfg_file_free(&file);
}

Test(weights, foreign_files_are_told_apart)
{
    static const struct {
        const char *header;
        const char *says;
    } cases[] = {
        {"{}", "it holds no byte-level model"},
        {"{\"__metadata__\":{\"format\":\"pt\"}}", "it holds no byte-level model"},
        {"{\"__metadata__\":{\"format\":\"configd.byte-lm.1\",\"shape\":\"{\"}}", "its shape"},
        {"{\"__metadata__\":{\"format\":\"configd.byte-lm.1\",\"shape\":\"{\\\"context\\\":1}\"}}", "embed"},
        {"{\"__metadata__\":{\"format\":\"configd.byte-lm.1\",\"shape\":\"{\\\"context\\\":1,\\\"embed\\\":1,"
         "\\\"hidden\\\":1,\\\"layers\\\":99}\"}}",
         "model.layers=99"},
        {"{\"__metadata__\":{\"format\":\"configd.byte-lm.1\",\"shape\":\"{\\\"context\\\":1,\\\"embed\\\":1,"
         "\\\"hidden\\\":16384,\\\"layers\\\":2}\"}}",
         "tensor embed.weight is missing"},
        {"{\"__metadata__\":{\"format\":\"configd.byte-lm.1\",\"shape\":\"{\\\"context\\\":1,\\\"embed\\\":1,"
         "\\\"hidden\\\":1,\\\"layers\\\":1}\"},\"lora.a\":" T("F32", "[1]", "[0,4]") "}",
         "tensor lora.a belongs to no model"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cfg_weights w = {0};
        struct cfg_error err = CFG_ERROR_INIT;
        struct cfg_slice f = file_of(cases[i].header, strstr(cases[i].header, "[0,4]") != NULL ? 4 : 0);
        cr_expect_lt(cfg_weights_read(&w, f, "x.safetensors", &err), 0);
        cr_expect(strstr(err.text, cases[i].says) != NULL, "%s", err.text);
        cr_expect_null(w.values);
        cfg_file_free(&f);
    }
    struct cfg_weights w = {0};
    struct cfg_error err = CFG_ERROR_INIT;
    cr_expect_eq(cfg_weights_load(&w, "/nonexistent/m", &err), CFG_E_NOT_FOUND);
    cr_expect_eq(cfg_weights_load(&w, "/tmp", &err), CFG_E_IO);
}

/* A disk that is full in the middle: an error that says so, and the file of before, whole. */
Test(weights, a_full_disk_leaves_the_last_file, .init = make_dir, .fini = drop_dir)
{
    char path[96], tmp[112];
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_weights w = {0};
    struct stat st;
    float *all = calloc(cfg_model_n_parameters(&shape), sizeof *all);
    (void)snprintf(path, sizeof path, "%s/m", dir);
    (void)snprintf(tmp, sizeof tmp, "%s/m.tmp", dir);
    cr_assert_not_null(all);
    all[0] = 1;
    cr_assert_eq(save(path, all, &err), 0);
    all[0] = 2;
    cr_assert_neq(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &(struct rlimit){2048, RLIM_INFINITY}), 0);
    cr_expect_eq(save(path, all, &err), CFG_E_IO);
    cr_expect(strstr(err.text, "File too large") != NULL, "%s", err.text);
    cr_expect_neq(stat(tmp, &st), 0, "nothing is left lying about");
    cr_assert_eq(cfg_weights_load(&w, path, &err), 0, "%s", err.text);
    cr_expect_eq(w.values[0], 1.0F);
    cfg_weights_finish(&w);
    free(all);
}
