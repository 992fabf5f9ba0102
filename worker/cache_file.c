/* The cache's file: read whole, replaced whole. */
#include "proto/limits.h"
#include "worker/cache.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = CFG_LIMIT_EVENT + 4096, HEAD_MAX = 2048, ATTEMPTS = 8 };

int cfg_cache_load(struct cfg_cached *out, const char *path, const char *deployment, struct cfg_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return cfg_fail(err, errno == ENOENT || errno == ENOTDIR ? CFG_E_NOT_FOUND : CFG_E_IO, "%s: %s", path,
                        strerrordesc_np(errno));
    }
    struct cfg_buf b;
    cfg_buf_init(&b, FILE_MAX);
    char chunk[16384];
    ssize_t n;
    while ((n = read(fd, chunk, sizeof chunk)) > 0 && cfg_buf_status(&b) == 0) {
        cfg_buf_put(&b, chunk, (size_t)n);
    }
    int saved = errno;
    (void)close(fd);
    int rc = n < 0 ? cfg_fail(err, CFG_E_IO, "%s: %s", path, strerrordesc_np(saved)) : cfg_buf_status(&b);
    if (n >= 0 && rc != 0) {
        rc = cfg_fail(err, CFG_E_VALUE, "%s: too large for a view", path);
    }
    if (rc == 0) {
        rc = cfg_cache_decode(out, cfg_buf_slice(&b), deployment, err);
        if (rc != 0) {
            rc = cfg_error_wrap(err, "%s", path);
        }
    }
    cfg_buf_finish(&b);
    return rc;
}

static void make_directories(const char *path)
{
    char copy[PATH_MAX];
    int n = snprintf(copy, sizeof copy, "%s", path);
    if (n < 0 || (size_t)n >= sizeof copy) {
        return; /* open will say so */
    }
    for (char *p = copy + 1; *p != '\0'; p++) {
        if (*p == '/') {
            *p = '\0';
            (void)mkdir(copy, 0700); /* exists, or open says why not */
            *p = '/';
        }
    }
}

static int open_making_directories(const char *tmp)
{
    const int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
    int fd = open(tmp, flags, 0600);
    if (fd < 0 && errno == ENOENT) {
        make_directories(tmp);
        fd = open(tmp, flags, 0600);
    }
    return fd;
}

/* The file we have locked may have been renamed or removed by the process that held the lock before. */
static bool still_named(int fd, const char *tmp)
{
    struct stat ours, named;
    return fstat(fd, &ours) == 0 && stat(tmp, &named) == 0 && ours.st_ino == named.st_ino &&
           ours.st_dev == named.st_dev;
}

/* Opens the temporary, empty and locked: the lock of a process that was killed at its work is gone with it, so what it
 * left behind holds up nobody. */
static int open_temporary(const char *tmp, struct cfg_error *err)
{
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        int fd = open_making_directories(tmp);
        if (fd < 0) {
            return cfg_fail(err, CFG_E_IO, "%s: %s", tmp, strerrordesc_np(errno));
        }
        /* A file system without locks is used without them. */
        bool busy = flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
        if (!busy && still_named(fd, tmp) && ftruncate(fd, 0) == 0) {
            return fd;
        }
        (void)close(fd);
        if (busy) {
            break;
        }
    }
    return cfg_fail(err, CFG_E_IN_USE, "%s: another process is writing it", tmp);
}

/* Does the file at path hold a newer view of the same store and deployment than `content`? Then another incarnation of
 * this worker has been there. A file that only looks so (a right head, a damaged rest) does not count. */
static bool holds_newer(const char *path, struct cfg_slice content)
{
    struct cfg_cache_head ours, theirs;
    char head[HEAD_MAX];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd >= 0 ? read(fd, head, sizeof head) : -1;
    if (fd >= 0) {
        (void)close(fd);
    }
    if (n <= 0 || cfg_cache_peek(&ours, content) != 0 ||
        cfg_cache_peek(&theirs, (struct cfg_slice){head, (size_t)n}) != 0 || strcmp(ours.store, theirs.store) != 0 ||
        strcmp(ours.deployment, theirs.deployment) != 0 || cfg_rev_cmp(theirs.rev, ours.rev) <= 0) {
        return false;
    }
    struct cfg_cached whole;
    if (cfg_cache_load(&whole, path, ours.deployment, NULL) != 0) {
        return false;
    }
    cfg_cached_finish(&whole);
    return true;
}

static int write_all(int fd, struct cfg_slice s)
{
    while (s.len > 0) {
        ssize_t n = write(fd, s.ptr, s.len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return -1;
        }
        s.ptr += n;
        s.len -= (size_t)n;
    }
    return 0;
}

static int sync_directory(const char *path)
{
    char copy[PATH_MAX];
    (void)snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    int rc = fsync(fd);
    (void)close(fd);
    return rc;
}

int cfg_cache_store(const char *path, struct cfg_slice content, bool durable, struct cfg_error *err)
{
    char tmp[PATH_MAX];
    int n = snprintf(tmp, sizeof tmp, "%s.tmp", path);
    if (n < 0 || (size_t)n >= sizeof tmp) {
        return cfg_fail(err, CFG_E_IO, "%s: the path is too long", path);
    }
    int fd = open_temporary(tmp, err);
    if (fd < 0) {
        return fd;
    }
    if (holds_newer(path, content)) {
        (void)unlink(tmp);
        (void)close(fd);
        return cfg_fail(err, CFG_E_SUPERSEDED, "%s: holds a newer view of another incarnation", path);
    }
    /* Closed last: the lock is held until the name is the file's own. */
    bool ok = write_all(fd, content) == 0 && (!durable || fsync(fd) == 0) && rename(tmp, path) == 0;
    int saved = errno;
    if (!ok) {
        (void)unlink(tmp);
    }
    (void)close(fd); /* every byte has been accepted, and what must last has been synced */
    if (!ok) {
        return cfg_fail(err, CFG_E_IO, "%s: %s", path, strerrordesc_np(saved));
    }
    if (durable && sync_directory(path) != 0) {
        return cfg_fail(err, CFG_E_IO, "%s: the directory: %s", path, strerrordesc_np(errno));
    }
    return 0;
}
