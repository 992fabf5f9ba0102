/* What a finished request is answered with. */
#ifndef CFG_INFER_ANSWER_H
#define CFG_INFER_ANSWER_H

#include "worker/cfg-infer/batch.h"
#include <event2/http.h>

/* {"text","tokens","revision","first":{"step","revision"},"last":{…},"variants":{FLAG:VARIANT}}; s has a request. */
void cfg_infer_answer_print(struct cfg_buf *out, const struct cfg_seq *s);
/* Configd-Revision and Configd-Variants, where proxies and logs look: the same as in the body. */
void cfg_infer_answer_headers(struct evkeyvalq *headers, const struct cfg_seq *s);

#endif
