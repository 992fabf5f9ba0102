/* safetensors files on disk: read whole, replaced whole. See safetensors.h. */
#include "worker/model/safetensors.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- reading --- */

static int read_open(struct cfg_slice *out, int fd, const char *path, struct cfg_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return cfg_fail(err, CFG_E_IO, "%s: it is no regular file", path);
    }
    size_t size = (size_t)st.st_size;
    size_t at = 0;
    char *bytes = malloc(size + 1);
    if (bytes == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for the %zu bytes of %s", size, path);
    }
    while (at < size) {
        ssize_t n = read(fd, bytes + at, size - at);
        if (n < 0 && errno != EINTR) {
            int rc = cfg_fail(err, CFG_E_IO, "%s: %s", path, strerrordesc_np(errno));
            free(bytes);
            return rc;
        }
        if (n == 0) {
            break; /* it has become shorter; what is missing will be noticed */
        }
        at += n > 0 ? (size_t)n : 0;
    }
    bytes[at] = '\0';
    *out = (struct cfg_slice){bytes, at};
    return 0;
}

int cfg_file_read(struct cfg_slice *out, const char *path, struct cfg_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return cfg_fail(err, errno == ENOENT ? CFG_E_NOT_FOUND : CFG_E_IO, "%s: %s", path, strerrordesc_np(errno));
    }
    int rc = read_open(out, fd, path, err);
    (void)close(fd);
    return rc;
}

void cfg_file_free(struct cfg_slice *file)
{
    union {
        const char *borrowed;
        char *owned;
    } bytes = {file->ptr}; /* cfg_file_read allocated it */
    free(bytes.owned);
    *file = (struct cfg_slice){NULL, 0};
}

/* --- writing --- */

static cJSON *numbers(uint64_t a, uint64_t b, bool both)
{
    cJSON *list = cJSON_CreateArray();
    if (list != NULL) {
        (void)cJSON_AddItemToArray(list, cJSON_CreateNumber((double)a));
        if (both) {
            (void)cJSON_AddItemToArray(list, cJSON_CreateNumber((double)b));
        }
    }
    return list;
}

static uint64_t size_of(const struct cfg_st_part *p)
{
    return (uint64_t)(p->rows > 0 ? p->rows : 1) * p->cols * sizeof(float);
}

static cJSON *header_tree(const struct cfg_st_part *parts, size_t n, const cJSON *metadata)
{
    cJSON *header = cJSON_CreateObject();
    uint64_t at = 0;
    int rc = header == NULL ? CFG_E_NOMEM : cfg_json_set(header, "__metadata__", cJSON_Duplicate(metadata, true));
    for (size_t i = 0; rc == 0 && i < n; i++) {
        cJSON *t = cJSON_CreateObject();
        uint64_t end = at + size_of(&parts[i]);
        rc = cfg_json_set(header, parts[i].name, t);
        rc = rc == 0 ? cfg_json_set(t, "dtype", cJSON_CreateString("F32")) : rc;
        rc = rc == 0 ? cfg_json_set(t, "shape",
                                    parts[i].rows > 0 ? numbers(parts[i].rows, parts[i].cols, true)
                                                      : numbers(parts[i].cols, 0, false))
                     : rc;
        rc = rc == 0 ? cfg_json_set(t, "data_offsets", numbers(at, end, true)) : rc;
        at = end;
    }
    if (rc != 0) {
        cJSON_Delete(header);
        return NULL;
    }
    return header;
}

/* Length and JSON, padded with spaces so that the tensors begin at a multiple of 8. */
static int print_header(struct cfg_buf *out, const struct cfg_st_part *parts, size_t n, const cJSON *metadata)
{
    static const char room[8] = {0};
    cJSON *header = header_tree(parts, n, metadata);
    if (header == NULL) {
        return CFG_E_NOMEM;
    }
    cfg_buf_put(out, room, sizeof room);
    cfg_json_print(out, header);
    cJSON_Delete(header);
    while (out->len % 8 != 0 && cfg_buf_status(out) == 0) {
        cfg_buf_putc(out, ' ');
    }
    if (cfg_buf_status(out) == 0) {
        for (unsigned i = 0; i < 8; i++) {
            out->data[i] = (char)((out->len - 8) >> (8 * i) & 0xff);
        }
    }
    return cfg_buf_status(out);
}

static int write_all(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, bytes, n);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return -1;
        }
        bytes += done;
        n -= (size_t)done;
    }
    return 0;
}

static int sync_directory(const char *path)
{
    char copy[PATH_MAX];
    (void)snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 ? -1 : fsync(fd);
    if (fd >= 0) {
        (void)close(fd);
    }
    return rc;
}

static int write_parts(int fd, struct cfg_slice header, const struct cfg_st_part *parts, size_t n)
{
    int rc = write_all(fd, header.ptr, header.len);
    for (size_t i = 0; rc == 0 && i < n; i++) { /* float32 as it lies in memory: this runs on little-endian machines */
        rc = write_all(fd, (const char *)parts[i].values, (size_t)size_of(&parts[i]));
    }
    return rc == 0 ? fsync(fd) : rc;
}

static int replace(const char *path, struct cfg_slice header, const struct cfg_st_part *parts, size_t n,
                   struct cfg_error *err)
{
    char tmp[PATH_MAX];
    int length = snprintf(tmp, sizeof tmp, "%s.tmp", path);
    if (length < 0 || (size_t)length >= sizeof tmp) {
        return cfg_fail(err, CFG_E_IO, "%s: the path is too long", path);
    }
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) {
        return cfg_fail(err, CFG_E_IO, "%s: %s", tmp, strerrordesc_np(errno));
    }
    bool ok = write_parts(fd, header, parts, n) == 0;
    int saved = errno;
    if (close(fd) != 0 && ok) {
        ok = false;
        saved = errno;
    }
    if (ok && rename(tmp, path) != 0) {
        ok = false;
        saved = errno;
    }
    if (!ok) {
        (void)unlink(tmp);
        return cfg_fail(err, CFG_E_IO, "%s: %s", path, strerrordesc_np(saved));
    }
    return sync_directory(path) == 0 ? 0
                                     : cfg_fail(err, CFG_E_IO, "%s: its directory: %s", path, strerrordesc_np(errno));
}

int cfg_safetensors_write(const char *path, const struct cfg_st_part *parts, size_t n, const cJSON *metadata,
                          struct cfg_error *err)
{
    struct cfg_buf header;
    cfg_buf_init(&header, CFG_ST_HEADER_MAX);
    int rc = print_header(&header, parts, n, metadata);
    rc = rc != 0 ? cfg_fail(err, rc, "no memory for the header of %s", path)
                 : replace(path, cfg_buf_slice(&header), parts, n, err);
    cfg_buf_finish(&header);
    return rc;
}
