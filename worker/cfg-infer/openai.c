/* See openai.h. */
#include "worker/cfg-infer/openai.h"
#include <string.h>

static void put_head(struct cfg_buf *out, const struct cfg_openai_head *h)
{
    cfg_buf_printf(out, "{\"id\":\"%s\",\"object\":\"text_completion\",\"created\":%lld,\"model\":", h->id,
                   (long long)h->created);
    cfg_json_put_string(out, cfg_slice_str(h->model));
}

static const char *finish_name(enum cfg_finish f)
{
    return f == CFG_FINISH_STOP ? "\"stop\"" : f == CFG_FINISH_LENGTH ? "\"length\"" : "null";
}

static void put_choice(struct cfg_buf *out, struct cfg_slice text, enum cfg_finish finish)
{
    cfg_buf_puts(out, ",\"choices\":[{\"text\":");
    cfg_json_put_string(out, text);
    cfg_buf_printf(out, ",\"index\":0,\"logprobs\":null,\"finish_reason\":%s}]", finish_name(finish));
}

static void put_usage(struct cfg_buf *out, const struct cfg_seq *s)
{
    cfg_buf_printf(out, ",\"usage\":{\"prompt_tokens\":%zu,\"completion_tokens\":%zu,\"total_tokens\":%zu}",
                   s->prompt_len, cfg_seq_produced(s), s->len);
}

static const char *revision_of(const struct cfg_mark *m)
{
    return m != NULL ? m->revision : "0-0";
}

static void put_point(struct cfg_buf *out, const char *name, uint64_t step, const struct cfg_mark *m)
{
    cfg_buf_printf(out, ",\"%s\":{\"step\":%llu,\"revision\":\"%s\"}", name, (unsigned long long)step, revision_of(m));
}

static void open_stamp(struct cfg_buf *out, uint64_t step, const struct cfg_mark *m)
{
    cfg_buf_printf(out, ",\"configd\":{\"revision\":\"%s\",\"step\":%llu,\"variants\":%s", revision_of(m),
                   (unsigned long long)step, m != NULL && m->variants != NULL ? m->variants : "{}");
}

void cfg_openai_answer(struct cfg_buf *out, const struct cfg_openai_head *h, const struct cfg_seq *s,
                       struct cfg_slice text, enum cfg_finish finish)
{
    put_head(out, h);
    put_choice(out, text, finish);
    put_usage(out, s);
    open_stamp(out, s->last_step, s->marks);
    put_point(out, "first", s->first_step, s->first_mark);
    put_point(out, "last", s->last_step, s->marks);
    cfg_buf_puts(out, "}}\n");
}

void cfg_openai_chunk(struct cfg_buf *out, const struct cfg_openai_head *h, struct cfg_slice text,
                      enum cfg_finish finish, const struct cfg_openai_stamp *stamp, bool usage)
{
    cfg_buf_puts(out, "data: ");
    put_head(out, h);
    put_choice(out, text, finish);
    cfg_buf_puts(out, usage ? ",\"usage\":null" : "");
    open_stamp(out, stamp->step, stamp->mark);
    if (stamp->first_step != stamp->step) {
        put_point(out, "first", stamp->first_step, stamp->first_mark);
    }
    cfg_buf_puts(out, "}}\n\n");
}

void cfg_openai_usage(struct cfg_buf *out, const struct cfg_openai_head *h, const struct cfg_seq *s)
{
    cfg_buf_puts(out, "data: ");
    put_head(out, h);
    cfg_buf_puts(out, ",\"choices\":[]");
    put_usage(out, s);
    cfg_buf_puts(out, "}\n\n");
}

void cfg_openai_done(struct cfg_buf *out)
{
    cfg_buf_puts(out, "data: [DONE]\n\n");
}

/* --- errors --- */

int cfg_openai_status(const struct cfg_error *err)
{
    switch (err->code) {
    case CFG_E_INVALID:
    case CFG_E_JSON:
    case CFG_E_VALUE:
    case CFG_E_SCHEMA:
        return 400;
    case CFG_E_LIMIT: /* a parameter, or the body as a whole */
        return err->path[0] != '\0' ? 400 : 413;
    default:
        return cfg_code_http(err->code);
    }
}

static const char *type_of(int status)
{
    return status == 429 ? "rate_limit_error" : status >= 500 ? "server_error" : "invalid_request_error";
}

static const char *code_of(const struct cfg_error *err)
{
    switch (err->code) {
    case CFG_E_UNAUTHORIZED:
        return "invalid_api_key";
    case CFG_E_RATE:
        return "rate_limit_exceeded";
    case CFG_E_LIMIT:
        return strcmp(err->path, "prompt") == 0 ? "context_length_exceeded" : cfg_code_name(err->code);
    case CFG_E_NOT_FOUND:
        return strcmp(err->path, "model") == 0 ? "model_not_found" : cfg_code_name(err->code);
    default:
        return cfg_code_name(err->code);
    }
}

static void put_error(struct cfg_buf *out, const struct cfg_error *err)
{
    struct cfg_buf message;
    cfg_buf_init(&message, sizeof err->text + sizeof err->hint + 8);
    cfg_buf_printf(&message, "%s%s%s", err->text, err->hint[0] != '\0' ? "; " : "", err->hint);
    cfg_buf_puts(out, "{\"error\":{\"message\":");
    cfg_json_put_string(out, cfg_buf_slice(&message));
    cfg_buf_printf(out, ",\"type\":\"%s\",\"param\":", type_of(cfg_openai_status(err)));
    if (err->path[0] != '\0' && err->code != CFG_E_JSON) {
        cfg_json_put_string(out, cfg_slice_str(err->path));
    } else {
        cfg_buf_puts(out, "null");
    }
    cfg_buf_printf(out, ",\"code\":\"%s\"}}", code_of(err));
    cfg_buf_finish(&message);
}

void cfg_openai_error(struct cfg_buf *out, const struct cfg_error *err)
{
    put_error(out, err);
    cfg_buf_putc(out, '\n');
}

void cfg_openai_error_event(struct cfg_buf *out, const struct cfg_error *err)
{
    cfg_buf_puts(out, "data: ");
    put_error(out, err);
    cfg_buf_puts(out, "\n\n");
}

/* --- models --- */

void cfg_openai_model(struct cfg_buf *out, const char *model, int64_t created, bool list)
{
    cfg_buf_puts(out, list ? "{\"object\":\"list\",\"data\":[" : "");
    cfg_buf_puts(out, "{\"id\":");
    cfg_json_put_string(out, cfg_slice_str(model));
    cfg_buf_printf(out, ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"configd\"}%s\n", (long long)created,
                   list ? "]}" : "");
}
