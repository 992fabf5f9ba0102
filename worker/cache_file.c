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
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FILE_MAX = CFG_LIMIT_EVENT + 4096, STALE_S = 10 };

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

/* Creates the temporary. One that exists belongs to a process that is writing now, or to one that died at it. */
static int open_temporary(const char *tmp, struct cfg_error *err)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
    int fd = open(tmp, flags, 0600);
    if (fd < 0 && errno == ENOENT) {
        make_directories(tmp);
        fd = open(tmp, flags, 0600);
    }
    if (fd < 0 && errno == EEXIST) {
        struct stat st;
        if (stat(tmp, &st) == 0 && time(NULL) - st.st_mtime < STALE_S) {
            return cfg_fail(err, CFG_E_IN_USE, "%s: another process is writing it", tmp);
        }
        (void)unlink(tmp);
        fd = open(tmp, flags, 0600);
    }
    if (fd < 0) {
        return cfg_fail(err, CFG_E_IO, "%s: %s", tmp, strerrordesc_np(errno));
    }
    return fd;
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
    bool ok = write_all(fd, content) == 0 && (!durable || fsync(fd) == 0);
    int saved = errno;
    if (close(fd) != 0 && ok) {
        saved = errno;
        ok = false;
    }
    if (ok && rename(tmp, path) != 0) {
        saved = errno;
        ok = false;
    }
    if (!ok) {
        (void)unlink(tmp);
        return cfg_fail(err, CFG_E_IO, "%s: %s", path, strerrordesc_np(saved));
    }
    if (durable && sync_directory(path) != 0) {
        return cfg_fail(err, CFG_E_IO, "%s: the directory: %s", path, strerrordesc_np(errno));
    }
    return 0;
}
