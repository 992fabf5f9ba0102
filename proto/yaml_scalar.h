/* What a plain YAML scalar means, to each of the readers that yaml.h tells apart. Their rules are PyYAML's and
 * OmegaConf's regular expressions and constructors, and the core schema of YAML 1.2, written out by hand. Internal to
 * proto. Pure, thread-safe. */
#ifndef CFG_PROTO_YAML_SCALAR_H
#define CFG_PROTO_YAML_SCALAR_H

#include "proto/buf.h"

enum cfg_yaml_reader { CFG_YAML_READER_OMEGACONF, CFG_YAML_READER_PYYAML, CFG_YAML_READER_CORE, CFG_YAML_READERS };

enum cfg_yaml_kind {
    CFG_YAML_TEXT,
    CFG_YAML_NULL,
    CFG_YAML_BOOL,
    CFG_YAML_INT,
    CFG_YAML_FLOAT,
    CFG_YAML_DATE,
    CFG_YAML_MERGE,  /* << */
    CFG_YAML_BROKEN, /* the reader fails on it: =, 0x_ */
};

struct cfg_yaml_reading {
    enum cfg_yaml_kind kind;
    bool boolean;
    double number; /* INT: exact up to 2^53−1, and above that when it is more; FLOAT: also NaN and infinities */
};

/* CFG_E_NOMEM (floats only). */
CFG_MUST_CHECK int cfg_yaml_scalar_read(struct cfg_yaml_reading *out, enum cfg_yaml_reader reader,
                                        struct cfg_slice text);
bool cfg_yaml_reading_equal(const struct cfg_yaml_reading *a, const struct cfg_yaml_reading *b);
/* "OmegaConf", "PyYAML", "YAML 1.2": static. */
const char *cfg_yaml_reader_name(enum cfg_yaml_reader reader);
/* Appends the reading as JSON writes it, or in words: false, 12, "no", a date, an error. `text` is the scalar itself.
 */
void cfg_yaml_reading_put(struct cfg_buf *out, const struct cfg_yaml_reading *r, struct cfg_slice text);
/* Appends a number as every reader reads it: an exponent with a point and a sign, 1.0e-07. */
void cfg_yaml_number_put(struct cfg_buf *out, double d);

#endif
