#include "configd/embedded_birth.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 + 16 };

static int io_error(struct cfg_error *err, const char *path)
{
    return cfg_fail(err, CFG_E_IO, "%s: %s", path, strerrordesc_np(errno));
}

static bool is_there(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static int sync_dir(const char *dir, struct cfg_error *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int code = fd < 0 || fsync(fd) != 0 ? io_error(err, dir) : 0;
    if (fd >= 0)
        (void)close(fd);
    return code;
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *walk)
{
    (void)st;
    (void)flag;
    (void)walk;
    return remove(path);
}

int cfg_birth_prepare(const char *dir, struct cfg_error *err)
{
    char data[PATH_SIZE], unborn[PATH_SIZE];
    (void)snprintf(data, sizeof data, "%s/data", dir);
    (void)snprintf(unborn, sizeof unborn, "%s/unborn", dir);
    if (is_there(unborn)) {
        if (is_there(data) && nftw(data, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0)
            return io_error(err, data);
        return 0;
    }
    if (is_there(data))
        return 0;
    int fd = open(unborn, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return io_error(err, unborn);
    (void)close(fd);
    return sync_dir(dir, err);
}

int cfg_birth_done(const char *dir, struct cfg_error *err)
{
    char unborn[PATH_SIZE];
    (void)snprintf(unborn, sizeof unborn, "%s/unborn", dir);
    if (unlink(unborn) != 0)
        return errno == ENOENT ? 0 : io_error(err, unborn);
    return sync_dir(dir, err);
}
