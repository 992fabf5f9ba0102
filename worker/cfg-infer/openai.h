/* The words of OpenAI's completions, as its clients read them: answers, chunks of a stream, errors, the list of models.
 *
 * Beside OpenAI's members every answer and chunk has "configd": under which revision, at which step and with which
 * variants its bytes were made. Pure: text into a buffer. */
#ifndef CFG_INFER_OPENAI_H
#define CFG_INFER_OPENAI_H

#include "worker/cfg-infer/seq.h"

struct cfg_openai_head {
    char id[48]; /* "cmpl-…" */
    int64_t created;
    const char *model;
};

/* The bytes shown were made at `step` under `mark`, the first of them (where they had to wait for others) at
 * first_step under first_mark. */
struct cfg_openai_stamp {
    uint64_t step, first_step;
    const struct cfg_mark *mark, *first_mark;
};

/* {"id","object":"text_completion",…,"choices":[{"text",…}],"usage","configd"}; text in tree encoding. */
void cfg_openai_answer(struct cfg_buf *out, const struct cfg_openai_head *h, const struct cfg_seq *s,
                       struct cfg_slice text, enum cfg_finish finish);
/* One chunk of a stream, an SSE event. usage: the client asked for it, so every chunk says that it has none. */
void cfg_openai_chunk(struct cfg_buf *out, const struct cfg_openai_head *h, struct cfg_slice text,
                      enum cfg_finish finish, const struct cfg_openai_stamp *stamp, bool usage);
/* The chunk behind the last one, where usage was asked for, and the end of the stream. */
void cfg_openai_usage(struct cfg_buf *out, const struct cfg_openai_head *h, const struct cfg_seq *s);
void cfg_openai_done(struct cfg_buf *out);

/* {"error":{"message","type","param","code"}}, and as an event of a stream that has begun. */
void cfg_openai_error(struct cfg_buf *out, const struct cfg_error *err);
void cfg_openai_error_event(struct cfg_buf *out, const struct cfg_error *err);
/* The HTTP status of an error here: what is wrong about a parameter is 400. */
int cfg_openai_status(const struct cfg_error *err);

/* One model; list: as the only member of a list. */
void cfg_openai_model(struct cfg_buf *out, const char *model, int64_t created, bool list);

#endif
