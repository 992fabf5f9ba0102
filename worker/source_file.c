/* `CONFIGD_SOURCE=file:chat.json`: the worker's API without a daemon.
 *
 * The directory is watched, not the file: editors and configuration managers replace files by renaming, and a watch on
 * the old inode would see nothing more. The file is read again when an event names it (two writes within one tick of
 * the file system's clock look alike to stat) and, since the name may be a link to where something happened, when its
 * identity, size or time has changed. */
#include "proto/limits.h"
#include "worker/source.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

struct file_source {
    struct cfg_source base;
    struct cfg_source_events events;
    char *path, *dir, *name;
    int fd; /* inotify */
    bool started;
    struct stat seen;
    bool seen_any;
    uint64_t revision; /* of the last good content */
    char digest[CFG_DIGEST_TEXT];
    char *first; /* the first good view, handed on by the first process */
};

static struct file_source *self(struct cfg_source *s)
{
    return (struct file_source *)s;
}

static int read_all(char **out, size_t *len, const char *path, struct cfg_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return cfg_fail(err, CFG_E_IO, "%s: %s", path, strerrordesc_np(errno));
    }
    struct cfg_buf b;
    cfg_buf_init(&b, CFG_LIMIT_EVENT);
    char chunk[16384];
    ssize_t n;
    while ((n = read(fd, chunk, sizeof chunk)) > 0 || (n < 0 && errno == EINTR)) {
        if (n > 0) {
            cfg_buf_put(&b, chunk, (size_t)n);
        }
    }
    int saved = errno;
    (void)close(fd);
    int rc = n < 0 ? cfg_fail(err, CFG_E_IO, "%s: %s", path, strerrordesc_np(saved)) : cfg_buf_status(&b);
    if (n >= 0 && rc != 0) {
        rc = cfg_fail(err, rc, "%s: larger than %d bytes", path, CFG_LIMIT_EVENT);
    }
    *len = b.len;
    char *text = rc == 0 ? (b.data != NULL ? cfg_buf_steal(&b) : strdup("")) : NULL;
    cfg_buf_finish(&b);
    if (rc == 0 && text == NULL) {
        rc = cfg_fail(err, CFG_E_NOMEM, "%s: out of memory", path);
    }
    if (rc == 0) {
        *out = text;
    }
    return rc;
}

/* The file's present content as a view; *changed false (and *out NULL) when it says what the last good one said. */
static int load(char **out, bool *changed, struct file_source *f, struct cfg_error *err)
{
    char *text = NULL;
    size_t len = 0;
    int rc = read_all(&text, &len, f->path, err);
    if (rc != 0) {
        return rc;
    }
    char digest[CFG_DIGEST_TEXT];
    char *view = NULL;
    rc = cfg_source_file_view(&view, digest, (struct cfg_slice){text, len}, err);
    free(text);
    if (rc != 0) {
        return cfg_error_wrap(err, "%s", f->path);
    }
    *changed = strcmp(digest, f->digest) != 0;
    if (!*changed) {
        free(view);
        return 0;
    }
    memcpy(f->digest, digest, sizeof digest);
    f->revision++;
    *out = view;
    return 0;
}

static void hand_on(struct file_source *f, const char *view)
{
    char revision[CFG_REV_TEXT];
    (void)cfg_rev_format((struct cfg_rev){0, f->revision}, revision);
    struct cfg_view_input in = {revision, f->digest, "", cfg_slice_str(view), 0};
    f->events.view(f->events.arg, &in);
}

static void tell_broken(struct file_source *f, const struct cfg_error *why)
{
    char revision[CFG_REV_TEXT];
    (void)cfg_rev_format((struct cfg_rev){0, f->revision + 1}, revision);
    f->events.broken(f->events.arg, revision, why);
}

static bool touched(struct file_source *f)
{
    struct stat st;
    if (stat(f->path, &st) != 0) {
        memset(&st, 0, sizeof st);
    }
    bool same = f->seen_any && st.st_ino == f->seen.st_ino && st.st_dev == f->seen.st_dev &&
                st.st_size == f->seen.st_size && st.st_mtim.tv_sec == f->seen.st_mtim.tv_sec &&
                st.st_mtim.tv_nsec == f->seen.st_mtim.tv_nsec;
    f->seen = st;
    f->seen_any = true;
    return !same;
}

static int file_start(struct cfg_source *s, const struct cfg_source_events *events,
                      const struct cfg_source_resume *resume, struct cfg_error *err)
{
    struct file_source *f = self(s);
    (void)resume; /* the file is its own memory */
    f->events = *events;
    f->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (f->fd < 0 ||
        inotify_add_watch(f->fd, f->dir, IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_MOVED_FROM) < 0) {
        return cfg_fail(err, CFG_E_IO, "cannot watch %s: %s", f->dir, strerrordesc_np(errno));
    }
    (void)touched(f);
    bool changed = false;
    return load(&f->first, &changed, f, err);
}

static int file_fd(const struct cfg_source *s)
{
    return ((const struct file_source *)s)->fd;
}

static int file_timeout_ms(const struct cfg_source *s)
{
    return ((const struct file_source *)s)->started ? -1 : 0;
}

/* Takes all events; true when one names the file, or when some were lost. */
static bool drain(bool *any, const struct file_source *f)
{
    _Alignas(struct inotify_event) char events[4096];
    bool named = false;
    for (ssize_t n; (n = read(f->fd, events, sizeof events)) > 0;) {
        *any = true;
        for (const char *at = events; at < events + n;) {
            const struct inotify_event *e = (const struct inotify_event *)(const void *)at;
            named = named || (e->mask & IN_Q_OVERFLOW) != 0 || (e->len > 0 && strcmp(e->name, f->name) == 0);
            at += sizeof *e + e->len;
        }
    }
    return named;
}

static void file_process(struct cfg_source *s)
{
    struct file_source *f = self(s);
    if (!f->started) {
        f->started = true;
        f->events.state(f->events.arg, CFG_SOURCE_FILE, NULL);
        hand_on(f, f->first);
        free(f->first);
        f->first = NULL;
    }
    bool any = false;
    bool named = drain(&any, f);
    if (!any || (!touched(f) && !named)) {
        return;
    }
    char *view = NULL;
    bool changed = false;
    struct cfg_error err = CFG_ERROR_INIT;
    if (load(&view, &changed, f, &err) != 0) {
        tell_broken(f, &err);
    } else if (changed) {
        hand_on(f, view);
    }
    free(view);
}

static void file_free(struct cfg_source *s)
{
    struct file_source *f = self(s);
    if (f->fd >= 0) {
        (void)close(f->fd);
    }
    free(f->first);
    free(f->path);
    free(f->dir);
    free(f->name);
    free(f);
}

int cfg_source_file_new(struct cfg_source **out, const char *path, struct cfg_error *err)
{
    static const struct cfg_source_ops ops = {
        .start = file_start,
        .fd = file_fd,
        .timeout_ms = file_timeout_ms,
        .process = file_process,
        .free = file_free,
    };
    if (path[0] == '\0') {
        (void)cfg_fail(err, CFG_E_INVALID, "the source file: has no path");
        cfg_error_set_hint(err, "CONFIGD_SOURCE=file:chat.json");
        return CFG_E_INVALID;
    }
    struct file_source *f = calloc(1, sizeof *f);
    char *copy = strdup(path);
    if (f != NULL && copy != NULL) {
        f->path = strdup(path);
        const char *slash = strrchr(path, '/');
        f->name = strdup(slash != NULL ? slash + 1 : path);
        f->dir = strdup(dirname(copy));
        f->fd = -1;
    }
    free(copy);
    if (f == NULL || f->path == NULL || f->dir == NULL || f->name == NULL) {
        if (f != NULL) {
            file_free(&f->base);
        }
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    f->base.ops = &ops;
    *out = &f->base;
    return 0;
}
