/* A whole range, page by page, all pages at one revision. */
#include "configd/etcd_decide.h"
#include "configd/etcd_internal.h"

#include <stdlib.h>

struct cfg_etcd_list_op {
    LIST_ENTRY(cfg_etcd_list_op) link;
    struct cfg_etcd *client;
    struct cfg_etcd_list_fns fns;
    void *arg;
    struct cfg_buf next, first, end; /* the next page's first key; the range */
    int64_t wanted, revision;        /* 0: newest, taken from the first page's header */
    int64_t limit;
    struct cfg_etcd_call *call; /* the page under way */
};

enum { MAX_KEY = 64 * 1024 };

static void free_op(struct cfg_etcd_list_op *op)
{
    LIST_REMOVE(op, link);
    cfg_buf_finish(&op->next);
    cfg_buf_finish(&op->first);
    cfg_buf_finish(&op->end);
    free(op);
}

static void finish_op(struct cfg_etcd_list_op *op, const struct cfg_error *err)
{
    struct cfg_etcd_list_fns fns = op->fns;
    void *arg = op->arg;
    int64_t revision = op->revision;
    free_op(op);
    fns.done(arg, err ? 0 : revision, err);
}

static void ask_page(struct cfg_etcd_list_op *op);

static void start_over(struct cfg_etcd_list_op *op)
{
    cfg_buf_clear(&op->next);
    cfg_buf_put(&op->next, op->first.data, op->first.len);
    op->revision = op->wanted;
    op->fns.restart(op->arg);
    ask_page(op);
}

static void got_page(void *arg, const struct cfg_etcd_range_reply *reply, const struct cfg_error *err)
{
    struct cfg_etcd_list_op *op = arg;
    op->call = NULL;
    if (err) {
        if (err->code == CFG_E_COMPACTED && op->wanted == 0 && op->revision != 0)
            start_over(op);
        else
            finish_op(op, err);
        return;
    }
    if (op->revision == 0)
        op->revision = reply->header.revision;
    bool more = reply->more && reply->n > 0;
    size_t bytes = 0;
    for (size_t i = 0; i < reply->n; i++)
        bytes += reply->kvs[i].key.len + reply->kvs[i].value.len;
    if (more) {
        /* The smallest key behind the last one is itself with a zero byte appended. */
        const struct cfg_slice last = reply->kvs[reply->n - 1].key;
        cfg_buf_clear(&op->next);
        cfg_buf_put(&op->next, last.ptr, last.len);
        cfg_buf_putc(&op->next, '\0');
        op->limit = cfg_etcd_page_limit(reply->n, bytes);
    }
    op->fns.page(op->arg, reply);
    struct cfg_error failure;
    if (!more)
        finish_op(op, NULL);
    else if (cfg_buf_status(&op->next))
        finish_op(op, (cfg_fail(&failure, CFG_E_NOMEM, "no memory for a list"), &failure));
    else
        ask_page(op);
}

static void ask_page(struct cfg_etcd_list_op *op)
{
    struct cfg_etcd_range_req r = {.key = cfg_buf_slice(&op->next),
                                   .range_end = cfg_buf_slice(&op->end),
                                   .limit = op->limit,
                                   .revision = op->revision};
    op->call = cfg_etcd_range_call(op->client, &r, 0, got_page, op);
}

void cfg_etcd_list(struct cfg_etcd *e, struct cfg_slice key, struct cfg_slice range_end, int64_t revision,
                   const struct cfg_etcd_list_fns *fns, void *arg)
{
    struct cfg_etcd_list_op *op = calloc(1, sizeof *op);
    if (op == NULL)
        abort(); /* as for every request: etcd_ops.c */
    op->client = e;
    op->fns = *fns;
    op->arg = arg;
    op->wanted = op->revision = revision;
    op->limit = CFG_ETCD_FIRST_PAGE;
    cfg_buf_init(&op->next, MAX_KEY);
    cfg_buf_init(&op->first, MAX_KEY);
    cfg_buf_init(&op->end, MAX_KEY);
    cfg_buf_put(&op->next, key.ptr, key.len);
    cfg_buf_put(&op->first, key.ptr, key.len);
    cfg_buf_put(&op->end, range_end.ptr, range_end.len);
    LIST_INSERT_HEAD(&e->lists, op, link);
    ask_page(op);
}

void cfg_etcd_lists_cancel(struct cfg_etcd *e, const struct cfg_error *err)
{
    struct cfg_etcd_list_op *op;
    while ((op = LIST_FIRST(&e->lists)) != NULL) {
        if (op->call)
            cfg_etcd_call_cancel(op->call);
        finish_op(op, err);
    }
}
