/* flag eval: one flag, or one question per line, answered in this process. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/flag_batch.h"
#include "client/cfgctl/flag_load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 256 * 1024, FLUSH = 64 * 1024, SHOWN_REASONS = 20 };

/* --- many --- */

struct pump {
    struct flag_batch *batch;
    struct cfg_buf in, out;
    int64_t at;    /* given by --at; negative: the clock */
    uint64_t line; /* from 1 */
    unsigned told; /* lines whose reason was said on stderr */
    bool skipping; /* the rest of a line that is too long */
};

static int flush(struct pump *p, struct cfg_error *err)
{
    if (cfg_buf_status(&p->out) != 0)
        return cli_no_memory(err);
    bool good = fwrite(p->out.data ? p->out.data : "", 1, p->out.len, stdout) == p->out.len && fflush(stdout) == 0;
    cfg_buf_clear(&p->out);
    return good ? 0 : cfg_fail(err, CFG_E_IO, "cannot write the answers");
}

static void tell(struct pump *p, const struct cfg_error *why)
{
    if (why->text[0] == '\0' || p->told > SHOWN_REASONS)
        return;
    if (p->told++ == SHOWN_REASONS)
        (void)fputs("cfgctl: further lines that are no question are only answered\n", stderr);
    else
        (void)fprintf(stderr, "cfgctl: line %llu: %s\n", (unsigned long long)p->line, why->text);
}

static int answer_line(struct pump *p, struct cfg_slice line, struct cfg_error *err)
{
    struct cfg_error why = CFG_ERROR_INIT;
    p->line++;
    flag_batch_line(p->batch, &p->out, line, p->at >= 0 ? p->at : (int64_t)time(NULL), &why);
    tell(p, &why);
    return p->out.len >= FLUSH || cfg_buf_status(&p->out) != 0 ? flush(p, err) : 0;
}

/* Every whole line of what was read. */
static int answer_lines(struct pump *p, struct cfg_error *err)
{
    size_t at = 0;
    int rc = 0;
    while (rc == 0) {
        const char *begin = p->in.data + at, *newline = p->in.len > at ? memchr(begin, '\n', p->in.len - at) : NULL;
        if (newline == NULL)
            break;
        size_t n = (size_t)(newline - begin);
        at += n + 1;
        if (!p->skipping)
            rc = answer_line(p, (struct cfg_slice){begin, n}, err);
        p->skipping = false;
    }
    cfg_buf_consume(&p->in, at);
    if (p->in.len > FLAG_BATCH_LINE && !p->skipping) {
        p->line++;
        flag_batch_too_long(&p->out);
        p->skipping = true;
    }
    if (p->skipping)
        cfg_buf_clear(&p->in);
    return rc;
}

/* Answers are written before the next read may block, so that whoever writes line by line reads line by line. */
static int pump(struct pump *p, struct cfg_error *err)
{
    static char chunk[CHUNK];
    for (;;) {
        ssize_t n = read(STDIN_FILENO, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return cfg_fail(err, CFG_E_IO, "cannot read standard input: %s", strerrordesc_np(errno));
        cfg_buf_put(&p->in, chunk, (size_t)n);
        if (cfg_buf_status(&p->in) != 0)
            return cli_no_memory(err);
        if (n == 0 && p->in.len > 0) /* a last line without its newline */
            cfg_buf_putc(&p->in, '\n');
        int rc = answer_lines(p, err);
        if (rc == 0)
            rc = flush(p, err);
        if (rc != 0 || n == 0)
            return rc;
    }
}

static int eval_batch(struct cli *c, struct cfg_error *err)
{
    static const enum cli_option_id single[] = {OPT_FILE, OPT_FLAG, OPT_TYPE, OPT_DEFAULT, OPT_CONTEXT};
    for (size_t i = 0; i < sizeof single / sizeof single[0]; i++)
        if (cli_has(c, single[i]) || c->n_args > 0) {
            (void)cfg_fail(err, CFG_E_INVALID, "--batch reads everything from standard input");
            cfg_error_set_hint(err, "one {\"flags\", \"flag\", \"type\", \"default\", \"context\"} per line");
            return CFG_E_INVALID;
        }
    struct pump p = {.batch = flag_batch_new(), .at = -1};
    cfg_buf_init(&p.in, (size_t)FLAG_BATCH_LINE + CHUNK + 1);
    cfg_buf_init(&p.out, (size_t)4 * FLAG_BATCH_LINE);
    int rc = p.batch ? 0 : cli_no_memory(err);
    if (rc == 0 && cli_has(c, OPT_AT))
        rc = flag_read_time(c, &p.at, err);
    if (rc == 0)
        rc = pump(&p, err);
    flag_batch_free(p.batch);
    cfg_buf_finish(&p.in);
    cfg_buf_finish(&p.out);
    return rc;
}

/* --- one --- */

static void put_words(struct cfg_buf *out, const struct cli *c, const struct flag_answer *a)
{
    cli_put_value(out, a->value);
    cfg_buf_puts(out, " (");
    if (a->variant) {
        cfg_buf_puts(out, "variant ");
        cli_put_text(out, a->variant);
        cfg_buf_puts(out, ", ");
    }
    cfg_buf_printf(out, "%s%s%s)\n", a->reason, a->error ? " " : "", a->error ? a->error : "");
    if (c->output == OUTPUT_WIDE && a->metadata) {
        cfg_buf_puts(out, "metadata ");
        cfg_json_print(out, a->metadata);
        cfg_buf_putc(out, '\n');
    }
}

static int show(const struct cli *c, const struct flag_loaded *l, const struct flag_answer *a, struct cfg_error *err)
{
    cJSON *tree = flag_answer_tree(a);
    if (tree == NULL)
        return cli_no_memory(err);
    struct cfg_buf out;
    cfg_buf_init(&out, (size_t)1 << 26);
    if (!cli_show_tree(c, tree)) {
        put_words(&out, c, a);
        cli_print(&out);
    }
    cJSON_Delete(tree);
    if (a->error && strcmp(a->error, "FLAG_NOT_FOUND") == 0) {
        const char *near = flag_near_name(flag_members(l->document), l->name);
        (void)fprintf(stderr,
                      near ? "cfgctl: there is no flag %s, did you mean %s?\n" : "cfgctl: there is no flag %s\n",
                      l->name, near);
    }
    return 0;
}

int cmd_flag_eval(struct cli *c, struct cfg_error *err)
{
    if (cli_has(c, OPT_BATCH))
        return eval_batch(c, err);
    struct flag_loaded l;
    int rc = flag_load(&l, c, err);
    if (rc != 0)
        return rc;
    const struct flag_answer a = flag_loaded_ask(&l, NULL);
    rc = show(c, &l, &a, err);
    flag_loaded_finish(&l);
    return rc;
}
