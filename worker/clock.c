/* Clocks and event descriptors: the edge that the rest of the worker stands on. */
#include "worker/internal.h"
#include <errno.h>
#include <time.h>
#include <unistd.h>

uint64_t cfg_now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t cfg_now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

int64_t cfg_wall_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t cfg_wall_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME_COARSE, &t);
    return (int64_t)t.tv_sec;
}

void cfg_event_signal(int fd)
{
    const uint64_t one = 1;
    int saved = errno;
    if (fd < 0) {
        return;
    }
    /* A full counter is readable already, which is all a signal is for. */
    if (write(fd, &one, sizeof one) < 0) {
        errno = saved;
    }
}

void cfg_event_drain(int fd)
{
    uint64_t n;
    if (fd < 0) {
        return;
    }
    /* Empty already is fine. */
    if (read(fd, &n, sizeof n) < 0) {
        errno = 0;
    }
}
