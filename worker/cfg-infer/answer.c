#include "worker/cfg-infer/answer.h"

static void print_stamp(struct cfg_buf *b, const char *name, const struct cfg_stamp *s)
{
    cfg_buf_printf(b, ",\"%s\":{\"step\":%llu,\"revision\":\"%s\"}", name, (unsigned long long)s->step, s->revision);
}

void cfg_infer_answer_print(struct cfg_buf *out, const struct cfg_seq *s)
{
    cfg_buf_puts(out, "{\"text\":");
    cfg_json_put_string(out, (struct cfg_slice){(const char *)s->bytes + s->prompt_len, s->len - s->prompt_len});
    cfg_buf_printf(out, ",\"tokens\":%zu,\"revision\":\"%s\"", s->len - s->prompt_len, s->last.revision);
    print_stamp(out, "first", &s->first);
    print_stamp(out, "last", &s->last);
    cfg_buf_puts(out, ",\"variants\":");
    cfg_infer_request_print(out, s->request);
    cfg_buf_puts(out, "}\n");
}

void cfg_infer_answer_headers(struct evkeyvalq *headers, const struct cfg_seq *s)
{
    struct cfg_buf b;
    cfg_buf_init(&b, 16384);
    cfg_infer_request_header(&b, s->request);
    (void)evhttp_add_header(headers, "Configd-Revision", s->last.revision);
    if (cfg_buf_status(&b) == 0 && b.len > 0) {
        (void)evhttp_add_header(headers, "Configd-Variants", b.data);
    }
    cfg_buf_finish(&b);
}
