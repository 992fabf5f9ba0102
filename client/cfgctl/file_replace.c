#include "client/cfgctl/file_replace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(struct cfg_error *err, const char *what, const char *name)
{
    int code = errno;
    cfg_fail(err, CFG_E_IO, "cannot %s %s: %s", what, name, strerrordesc_np(code));
    return CFG_E_IO;
}

static int write_all(int fd, struct cfg_slice text)
{
    while (text.len > 0) {
        ssize_t n = write(fd, text.ptr, text.len);
        if (n < 0 && errno != EINTR)
            return -1;
        if (n > 0) {
            text.ptr += n;
            text.len -= (size_t)n;
        }
    }
    return 0;
}

/* The rename is on disk once the folder is. */
static int sync_folder(const char *name, struct cfg_error *err)
{
    const char *slash = strrchr(name, '/');
    char *folder = slash == NULL ? strdup(".") : strndup(name, slash == name ? 1 : (size_t)(slash - name));
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int rc = fd >= 0 && (fsync(fd) == 0 || errno == EINVAL) ? 0 : fail(err, "sync the folder of", name);
    if (fd >= 0)
        close(fd);
    free(folder);
    return rc;
}

static int fill(int fd, const char *temporary, struct cfg_slice text, mode_t mode, struct cfg_error *err)
{
    if (fchmod(fd, mode) != 0 || write_all(fd, text) != 0 || fsync(fd) != 0)
        return fail(err, "write", temporary);
    return 0;
}

int file_replace(const char *name, struct cfg_slice text, mode_t mode, struct cfg_error *err)
{
    struct stat st;
    char *temporary = NULL;
    if (stat(name, &st) == 0) {
        mode = st.st_mode & 07777;
    } else {
        mode_t hidden = umask(0); /* there is no other way to ask */
        (void)umask(hidden);
        mode &= ~hidden;
    }
    if (asprintf(&temporary, "%s.XXXXXX", name) < 0)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    int fd = mkostemp(temporary, O_CLOEXEC);
    int rc = fd >= 0 ? fill(fd, temporary, text, mode, err) : fail(err, "make", temporary);
    if (fd >= 0 && close(fd) != 0 && rc == 0)
        rc = fail(err, "write", temporary);
    if (rc == 0 && rename(temporary, name) != 0)
        rc = fail(err, "replace", name);
    if (rc == 0)
        rc = sync_folder(name, err);
    else if (fd >= 0)
        (void)unlink(temporary); /* best effort */
    free(temporary);
    return rc;
}
