/* A question beside the stream: one GET at a time, of the server that the session is with, or of the next after one
 * that did not answer. It lives and dies by itself, whatever becomes of the stream. */
#include "client/machine_impl.h"
#include "proto/limits.h"
#include "proto/problem.h"

int cfg_machine_ask(struct cfg_machine *m, const char *path, cfg_session_answer_fn fn, void *arg, struct cfg_error *err)
{
    if (m->asking)
        return cfg_fail(err, CFG_E_IN_USE, "a question is under way");
    m->asking = fn;
    m->asking_arg = arg;
    cfg_buf_clear(&m->reply[CFG_SLOT_ASK]);
    const struct cfg_send send = {
        .slot = CFG_SLOT_ASK, .server = (m->server + m->asks_lost) % m->servers, .method = "GET", .path = path};
    m->transport.send(m->transport.arg, &send);
    return 0;
}

void cfg_machine_ask_done(struct cfg_machine *m, long status, const struct cfg_error *err)
{
    struct cfg_error why;
    cfg_session_answer_fn fn = m->asking;
    struct cfg_buf *reply = &m->reply[CFG_SLOT_ASK];
    int rc = err ? err->code : cfg_buf_status(reply);
    m->asking = NULL;
    m->asks_lost = err ? m->asks_lost + 1 : 0;
    if (err)
        why = *err;
    else if (rc != 0)
        (void)cfg_fail(&why, rc, "an answer is larger than a view may be");
    else if (status != 200)
        rc = cfg_problem_read(&why, status, cfg_buf_slice(reply)); /* never 0 */
    fn(m->asking_arg, rc == 0 ? reply->data : NULL, rc == 0 ? reply->len : 0, rc == 0 ? NULL : &why);
    cfg_buf_finish(reply); /* it may have been large, and is seldom needed */
    cfg_buf_init(reply, CFG_LIMIT_EVENT);
}
