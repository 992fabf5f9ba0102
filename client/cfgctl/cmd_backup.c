/* backup, restore: everything that cannot be made again, as one file of JSON lines. */
#include "client/cfgctl/commands.h"
#include "proto/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TRANSFER_TIMEOUT_MS = 300000 };
#define BACKUP_MAX ((size_t)1 << 30)

static struct cfg_slice last_line(struct cfg_slice text)
{
    while (text.len > 0 && text.ptr[text.len - 1] == '\n')
        text.len--;
    const char *start = text.len > 0 ? memrchr(text.ptr, '\n', text.len) : NULL;
    return start ? (struct cfg_slice){start + 1, text.len - (size_t)(start + 1 - text.ptr)} : text;
}

/* A file that was cut short, or is another, must be known before it replaces a store. The sum covers every byte before
 * the last line. */
static int check_backup(struct cfg_slice text, const char *name, struct cfg_error *err)
{
    struct cfg_slice last = last_line(text), head = {text.ptr, (size_t)(last.ptr - text.ptr)};
    const char *end = text.len > 0 ? memchr(text.ptr, '\n', text.len) : NULL;
    cJSON *first = NULL, *tail = NULL;
    char digest[CFG_DIGEST_TEXT];
    int rc = 0;
    if (end == NULL || cfg_json_parse(&first, (struct cfg_slice){text.ptr, (size_t)(end - text.ptr)}, 0, NULL) != 0 ||
        cfg_json_get_num(first, "configd_backup", 0) != 1)
        rc = cfg_fail(err, CFG_E_VALUE, "%s is no backup of configd", name);
    else if (cfg_json_parse(&tail, last, 0, NULL) != 0 || !cfg_json_get_bool(tail, "end", false))
        rc = cfg_fail(err, CFG_E_VALUE, "%s is cut short: its last line is missing", name);
    else if (cfg_digest_bytes(digest, head) != 0)
        rc = cli_no_memory(err);
    else if (strcmp(digest, cfg_json_get_str(tail, "sha256", "")) != 0)
        rc = cfg_fail(err, CFG_E_VALUE, "%s is damaged: its sum does not match", name);
    cJSON_Delete(first);
    cJSON_Delete(tail);
    return rc;
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Beside its place, synced, then moved there: an older backup is replaced by a whole one or not at all. */
static int save(const char *name, const char *data, size_t len, struct cfg_error *err)
{
    if (strcmp(name, "-") == 0)
        return fwrite(data, 1, len, stdout) == len ? 0 : cfg_fail(err, CFG_E_IO, "cannot write the backup");
    char *beside = NULL;
    if (asprintf(&beside, "%s.XXXXXX", name) < 0)
        return cli_no_memory(err);
    int rc = 0, fd = mkstemp(beside);
    if (fd < 0)
        rc = cfg_fail(err, CFG_E_IO, "cannot write %s: %s", name, strerrordesc_np(errno));
    else if (write_all(fd, data, len) != 0 || fsync(fd) != 0 || rename(beside, name) != 0) {
        rc = cfg_fail(err, CFG_E_IO, "cannot write %s: %s", name, strerrordesc_np(errno));
        (void)unlink(beside); /* best effort */
    }
    if (fd >= 0)
        close(fd);
    free(beside);
    return rc;
}

static int transfer(struct cli *c, const struct cfg_request *r, struct cfg_response *out, struct cfg_error *err)
{
    struct cfg_client *client;
    int rc = cli_client(c, TRANSFER_TIMEOUT_MS, &client, err);
    return rc != 0 ? rc : cfg_client_call(client, r, out, NULL, err);
}

int cmd_backup(struct cli *c, struct cfg_error *err)
{
    const struct cfg_request r = {.method = "GET", .path = "/v1/backup"};
    struct cfg_response reply;
    int rc = transfer(c, &r, &reply, err);
    if (rc != 0)
        return rc;
    const struct cfg_slice text = {reply.body, reply.body_len};
    rc = check_backup(text, "what the server sent", err);
    if (rc == 0)
        rc = save(c->args[0], reply.body, reply.body_len, err);
    if (rc == 0) {
        size_t lines = 0;
        for (size_t i = 0; i < text.len; i++)
            lines += text.ptr[i] == '\n';
        (void)fprintf(stderr, "backed up %zu keys, %zu bytes, at %s\n", lines >= 2 ? lines - 2 : 0, text.len,
                      reply.revision);
    }
    cfg_response_finish(&reply);
    return rc;
}

/* Asked only where somebody can answer. */
static int confirm(const struct cli *c, struct cfg_error *err)
{
    if (cli_has(c, OPT_FORCE) || !isatty(STDIN_FILENO))
        return 0;
    (void)fputs("This replaces everything that the store holds now. Go on? [y/N] ", stderr);
    int answer = getchar();
    return answer == 'y' || answer == 'Y' ? 0 : cfg_fail(err, CFG_E_CANCELED, "nothing was restored");
}

/* Those that were under way when the backup was made stand still now, with a part of the fleet on the new release. */
static void tell_paused(struct cli *c)
{
    cJSON *rollouts = NULL;
    const cJSON *r;
    struct cfg_buf out;
    if (cli_get(c, "/v1/rollouts", &rollouts, NULL) != 0)
        return; /* it is restored; cfgctl status tells them as well */
    cfg_buf_init(&out, (size_t)1 << 20);
    cJSON_ArrayForEach(r, cfg_json_get(rollouts, "items"))
    {
        const char *name = cfg_json_get_str(r, "deployment", "?");
        if (strcmp(cfg_json_get_str(cfg_json_get(r, "state"), "phase", ""), "paused") != 0)
            continue;
        cfg_buf_puts(&out, "the rollout of ");
        cli_put_text(&out, name);
        cfg_buf_printf(&out, " is paused; next: cfgctl rollout status %s, then resume or abort\n", name);
    }
    cJSON_Delete(rollouts);
    cli_print(&out);
}

int cmd_restore(struct cli *c, struct cfg_error *err)
{
    struct cfg_buf text;
    cfg_buf_init(&text, BACKUP_MAX);
    int rc = read_file(&text, c->args[0], err);
    if (rc == 0)
        rc = check_backup(cfg_buf_slice(&text), c->args[0], err);
    if (rc == 0)
        rc = confirm(c, err);
    const struct cfg_request r = {.method = "POST",
                                  .path = "/v1/restore",
                                  .body = text.data,
                                  .body_len = text.len,
                                  .content_type = "application/x-ndjson"};
    struct cfg_response reply = {0};
    cJSON *tree = NULL;
    if (rc == 0)
        rc = transfer(c, &r, &reply, err);
    if (rc == 0)
        rc = cfg_json_parse(&tree, (struct cfg_slice){reply.body, reply.body_len}, 0, err);
    if (rc == 0 && !cli_show_tree(c, tree)) {
        (void)printf("restored %.0f keys; the store is now at %s\n", cfg_json_get_num(tree, "restored", 0),
                     cfg_json_get_str(tree, "revision", "?"));
        tell_paused(c);
    }
    cJSON_Delete(tree);
    cfg_response_finish(&reply);
    cfg_buf_finish(&text);
    return rc;
}
