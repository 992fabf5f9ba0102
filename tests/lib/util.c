#include "tests/lib/testlib.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ftw.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

void cfg_test_die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fputs("test fixture: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    _exit(2);
}

uint64_t cfg_test_now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

char *cfg_test_format(const char *format, ...)
{
    char *out = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&out, format, args) < 0)
        cfg_test_die("no memory");
    va_end(args);
    return out;
}

char *cfg_test_dir_new(void)
{
    const char *tmp = getenv("TMPDIR");
    char *dir = cfg_test_format("%s/cfgtest-XXXXXX", tmp && tmp[0] ? tmp : "/tmp");
    if (mkdtemp(dir) == NULL)
        cfg_test_die("%s: %s", dir, strerrordesc_np(errno));
    return dir;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    (void)remove(path); /* best effort: a left-over temporary file must not fail a test */
    return 0;
}

void cfg_test_dir_remove(char *dir)
{
    if (dir)
        (void)nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(dir);
}

void cfg_test_write_file(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    if (f == NULL || fwrite(bytes, 1, n, f) != n || fclose(f) != 0)
        cfg_test_die("%s: %s", path, strerrordesc_np(errno));
}

char *cfg_test_read_file(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return NULL;
    size_t len = 0, cap = 4096;
    char *out = malloc(cap);
    for (size_t got = 1; out && got > 0; len += got) {
        if (len + 1 >= cap && (out = realloc(out, cap *= 2)) == NULL)
            break;
        got = fread(out + len, 1, cap - len - 1, f);
    }
    if (out == NULL)
        cfg_test_die("no memory");
    (void)fclose(f);
    out[len] = '\0';
    if (n)
        *n = len;
    return out;
}

/* Tests run in parallel, and a port asked for is bound only later, by a child: the number is reserved by a name in the
 * abstract socket namespace, which goes away with this process. */
static bool reserve_port(int port)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int n = snprintf(a.sun_path + 1, sizeof a.sun_path - 1, "cfgtest-port-%d", port);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        cfg_test_die("no socket: %s", strerrordesc_np(errno));
    if (bind(fd, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) == 0)
        return true; /* the socket stays open on purpose */
    (void)close(fd);
    return false;
}

static bool port_is_free(int port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    bool is_free = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
    (void)close(fd);
    return is_free;
}

/* Below the range from which the kernel serves outgoing connections, so that none of those takes it meanwhile. */
int cfg_test_free_port(void)
{
    enum { FIRST = 15000, COUNT = 15000 };
    static unsigned next;
    if (next == 0)
        next = (unsigned)getpid() * 37u;
    for (int tries = 0; tries < COUNT; tries++) {
        int port = FIRST + (int)(next++ % COUNT);
        if (reserve_port(port) && port_is_free(port))
            return port;
    }
    cfg_test_die("no free port");
}

bool cfg_test_poll(bool (*ready)(void *arg), void *arg, unsigned timeout_ms)
{
    uint64_t end = cfg_test_now_ms() + timeout_ms;
    for (;;) {
        if (ready(arg))
            return true;
        if (cfg_test_now_ms() >= end)
            return false;
        (void)usleep(3000);
    }
}
