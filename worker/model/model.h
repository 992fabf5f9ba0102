/* A byte-level language model with back ends behind one vtable: `cpu` (OpenBLAS and vectorised loops, float32) and
 * `cuda` (cuBLAS and kernels; float32, or bf16 products with float32 sums and float32 master weights).
 *
 *     cfg_model_new(&m, &options, &err);
 *     cfg_model_load(m, weights, &err);                    flat float32, laid out as shape.h says
 *     cfg_model_capture(m, (uint32_t[]){1, 8, 64}, 3, &err);
 *     cfg_model_live(m, &live, &err);                      whenever live parameters change; cheap, no capture
 *     cfg_model_infer(m, &batch, &err);                    one byte for each row
 *
 * Inference. A call takes up to as many rows as the largest captured bucket and runs in the smallest bucket that holds
 * them. Promise: the logits of a row (and so its byte, given its uniform number) depend on the weights, its context and
 * nothing else, bit for bit: not on the other rows, how many there are, its place among them, or the bucket. It holds
 * for one process and back end; another CPU model or GPU may round otherwise. How: products run over tiles of a fixed
 * number of rows, whatever the bucket, so a row always meets the same kernel.
 *
 * Live parameters. Temperature, top-k and top-p are one versioned struct. On CUDA it lies in device memory, where the
 * kernels read it; cfg_model_live copies it there in stream order from double-buffered pinned memory, so captured
 * graphs stay as they are (figures.captures counts them), and the step's last kernel writes back the version that it
 * used: batch.version. A row may carry values of its own for any of them.
 *
 * Training. cfg_model_gradients adds up the gradient of the summed loss of a micro batch in one flat buffer; the caller
 * reduces that over ranks (cfg_model_gradient) and cfg_model_update clips, updates by Adam and clears it. On the CPU
 * with one BLAS thread, results are bit-identical from run to run on the same CPU model.
 *
 * Threads: one at a time per model. Models of one process are independent, but share OpenBLAS's thread count. */
#ifndef CFG_MODEL_MODEL_H
#define CFG_MODEL_MODEL_H

#include "worker/model/sample.h"
#include "worker/model/shape.h"

enum cfg_model_precision { CFG_FLOAT32, CFG_BF16 };

enum {
    CFG_MODEL_ROWS_MAX = 65536,
    CFG_MODEL_BUCKETS_MAX = 16,
    CFG_MODEL_BUCKET_MAX = 4096,
    CFG_GRADIENT_EXTRA = 4 /* floats behind the gradient that are reduced with it */
};

/* What the kernels read. Copied as it is into device memory. */
struct cfg_live_params {
    uint64_t version; /* the caller's; comes back in batch.version */
    float temperature, top_p;
    uint32_t top_k, reserved; /* reserved: 0 */
};

enum { CFG_OWN_TEMPERATURE = 1, CFG_OWN_TOP_P = 2, CFG_OWN_TOP_K = 4 }; /* cfg_model_row.own */

/* How one row of a batch is sampled: by the live parameters, except where `own` says otherwise. Copied as it is. */
struct cfg_model_row {
    double uniform; /* [0, 1) */
    float temperature, top_p;
    uint32_t top_k, own;
};

struct cfg_model_batch {
    uint32_t n;                       /* rows, 1 … the largest bucket */
    const unsigned char *contexts;    /* n × shape.context bytes (cfg_model_context). Borrowed */
    const struct cfg_model_row *rows; /* n, or NULL: nothing is sampled. Borrowed */
    unsigned char *bytes;             /* out, with rows: n */
    float *logits;                    /* out: n × 256, or NULL: not wanted */
    uint64_t version;                 /* out: of the live parameters that this call ran with */
    uint32_t bucket;                  /* out: the bucket it ran in */
};

/* One update of the weights. */
struct cfg_model_update {
    double lr, clip; /* clip: greatest norm of the gradient; 0: none */
    double scale;    /* 1 / samples: turns the summed gradient into the mean's */
    uint64_t step;   /* 1 for the first: Adam's correction of its bias */
};
enum { CFG_ADAM_BETA1_PERMILLE = 900, CFG_ADAM_BETA2_PERMILLE = 990 }; /* epsilon: 1e-8 */

struct cfg_model_updated {
    double grad_norm;   /* of the mean gradient, before clipping; not finite when the gradient is not */
    uint64_t nonfinite; /* members of the gradient that are NaN or infinite; when there are any nothing was updated */
};

struct cfg_model_figures {
    uint64_t captures; /* buckets prepared: rises in cfg_model_capture only */
    uint64_t launches; /* calls of cfg_model_infer that ran */
};

struct cfg_model;
struct cfg_model_ops {
    const char *name; /* "cpu", "cuda" */
    int (*load)(struct cfg_model *m, const float *weights, struct cfg_error *err);
    int (*store)(struct cfg_model *m, float *weights, struct cfg_error *err);
    int (*capture)(struct cfg_model *m, struct cfg_error *err); /* m->buckets is filled */
    int (*live)(struct cfg_model *m, const struct cfg_live_params *p, struct cfg_error *err);
    int (*infer)(struct cfg_model *m, struct cfg_model_batch *b, struct cfg_error *err); /* b->bucket is set */
    int (*gradients)(struct cfg_model *m, const unsigned char *contexts, const unsigned char *targets, uint32_t n,
                     double *loss, struct cfg_error *err);
    int (*loss)(struct cfg_model *m, const unsigned char *contexts, const unsigned char *targets, uint32_t n,
                double *loss, struct cfg_error *err);
    int (*update)(struct cfg_model *m, const struct cfg_model_update *u, struct cfg_model_updated *out,
                  struct cfg_error *err);
    float *(*gradient)(struct cfg_model *m);
    int (*gradient_read)(struct cfg_model *m, float *out, struct cfg_error *err);
    int (*gradient_write)(struct cfg_model *m, const float *in, struct cfg_error *err);
    int (*extra_read)(struct cfg_model *m, float out[CFG_GRADIENT_EXTRA], struct cfg_error *err);
    int (*extra_write)(struct cfg_model *m, const float in[CFG_GRADIENT_EXTRA], struct cfg_error *err);
    int (*moments_read)(struct cfg_model *m, float *first, float *second, struct cfg_error *err);
    int (*moments_write)(struct cfg_model *m, const float *first, const float *second, struct cfg_error *err);
    void (*free)(struct cfg_model *m);
};

/* The first member of every back end. Read-only for users. */
struct cfg_model {
    const struct cfg_model_ops *ops;
    struct cfg_model_shape shape;
    enum cfg_model_precision precision;
    uint32_t train_rows;
    uint32_t n_buckets, buckets[CFG_MODEL_BUCKETS_MAX]; /* rising */
    bool on_device;                                     /* the gradient lies in device memory */
    void *stream;                                       /* its cudaStream_t, where on_device */
    char device[96];                                    /* its name, for people */
    double device_bytes_per_s, device_flops;            /* greatest, float32; 0: not known */
    struct cfg_model_figures figures;
};

struct cfg_model_options {
    struct cfg_model_shape shape;
    const char *backend; /* NULL or "auto": cuda where a device is there and this build has it, else cpu */
    enum cfg_model_precision precision; /* the cpu back end takes CFG_FLOAT32 only */
    uint32_t train_rows;                /* greatest micro batch; 0: inference only, no gradients are allocated */
    unsigned threads;                   /* of OpenBLAS; 0: 1 */
    int device;                         /* of cuda: its number among those that the process sees */
};

/* *out is returned-owned (cfg_model_free) and has weights of zero. CFG_E_VALUE (shape), CFG_E_INVALID (back end name,
 * train_rows), CFG_E_UNSUPPORTED (precision; a back end that this build or this machine does not have), CFG_E_NOMEM,
 * CFG_E_IO (CUDA says why). */
CFG_MUST_CHECK int cfg_model_new(struct cfg_model **out, const struct cfg_model_options *o, struct cfg_error *err);
void cfg_model_free(struct cfg_model *m); /* NULL is fine */
/* Whether cfg_model_new can make this back end here; *why (static or until the next call) says why not. */
bool cfg_model_has_backend(const char *backend, const char **why);
/* "float32", "bf16", and back; CFG_E_INVALID names what there is. */
const char *cfg_model_precision_name(enum cfg_model_precision p);
CFG_MUST_CHECK int cfg_model_precision_read(enum cfg_model_precision *out, const char *name, struct cfg_error *err);

/* All weights: cfg_model_n_parameters floats, copied. */
CFG_MUST_CHECK int cfg_model_load(struct cfg_model *m, const float *weights, struct cfg_error *err);
CFG_MUST_CHECK int cfg_model_store(struct cfg_model *m, float *weights, struct cfg_error *err);

/* --- inference --- */
/* Prepares these batch sizes (rising, 1 … CFG_MODEL_BUCKET_MAX, at most CFG_MODEL_BUCKETS_MAX of them), replacing any
 * before. Once, at the start: it allocates and, on CUDA, captures a graph each. CFG_E_INVALID, CFG_E_NOMEM, CFG_E_IO.
 */
CFG_MUST_CHECK int cfg_model_capture(struct cfg_model *m, const uint32_t *buckets, size_t n, struct cfg_error *err);
/* From the next cfg_model_infer on; *p is copied. Before the first call: version 0, temperature 0. CFG_E_IO. */
CFG_MUST_CHECK int cfg_model_live(struct cfg_model *m, const struct cfg_live_params *p, struct cfg_error *err);
/* CFG_E_LIMIT: more rows than the largest bucket (or none captured); CFG_E_INVALID: no rows; CFG_E_IO. */
CFG_MUST_CHECK int cfg_model_infer(struct cfg_model *m, struct cfg_model_batch *b, struct cfg_error *err);
/* The bucket that n rows run in; 0: none holds them. */
uint32_t cfg_model_bucket(const struct cfg_model *m, uint32_t n);

/* --- training (train_rows > 0) --- */
/* Adds the gradient of the rows' summed loss, −ln p(target), to the gradient buffer and the loss itself to *loss.
 * n ≤ train_rows. CFG_E_LIMIT, CFG_E_IO. */
CFG_MUST_CHECK int cfg_model_gradients(struct cfg_model *m, const unsigned char *contexts, const unsigned char *targets,
                                       uint32_t n, double *loss, struct cfg_error *err);
/* Only the loss, for evaluation. */
CFG_MUST_CHECK int cfg_model_loss(struct cfg_model *m, const unsigned char *contexts, const unsigned char *targets,
                                  uint32_t n, double *loss, struct cfg_error *err);
/* The gradient buffer itself, n_parameters + CFG_GRADIENT_EXTRA floats (the last ones are the caller's), in host or,
 * where m->on_device, device memory; work on it is ordered by m->stream there. Borrowed. */
float *cfg_model_gradient(struct cfg_model *m);
/* Through host memory, extra floats included; for reductions that do not know the device. */
CFG_MUST_CHECK int cfg_model_gradient_read(struct cfg_model *m, float *out, struct cfg_error *err);
CFG_MUST_CHECK int cfg_model_gradient_write(struct cfg_model *m, const float *in, struct cfg_error *err);
/* Only the floats behind the gradient. */
CFG_MUST_CHECK int cfg_model_extra_read(struct cfg_model *m, float out[CFG_GRADIENT_EXTRA], struct cfg_error *err);
CFG_MUST_CHECK int cfg_model_extra_write(struct cfg_model *m, const float in[CFG_GRADIENT_EXTRA],
                                         struct cfg_error *err);
/* Scales, clips, updates (Adam), clears the gradient. A gradient that is not finite updates nothing and is said in
 * *out; the buffer is cleared then too. */
CFG_MUST_CHECK int cfg_model_apply(struct cfg_model *m, const struct cfg_model_update *u, struct cfg_model_updated *out,
                                   struct cfg_error *err);
/* The optimizer's moments, n_parameters floats each; with the weights and the step all there is to resume from. */
CFG_MUST_CHECK int cfg_model_moments_read(struct cfg_model *m, float *first, float *second, struct cfg_error *err);
CFG_MUST_CHECK int cfg_model_moments_write(struct cfg_model *m, const float *first, const float *second,
                                           struct cfg_error *err);

/* --- constructors of the back ends; cfg_model_new calls them --- */
CFG_MUST_CHECK int cfg_model_cpu_new(struct cfg_model **out, const struct cfg_model_options *o, struct cfg_error *err);
CFG_MUST_CHECK int cfg_model_cuda_new(struct cfg_model **out, const struct cfg_model_options *o, struct cfg_error *err);
bool cfg_model_cuda_there(const char **why);

#endif
