#include "client/cfgctl/screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static volatile sig_atomic_t ended;
static bool opened, keys;
static struct termios before;
static struct sigaction old_int, old_term, old_hup, old_winch;

static void on_end(int number)
{
    (void)number;
    ended = 1;
}

/* Only there so that poll() is woken. */
static void on_resize(int number)
{
    (void)number;
}

void screen_size(size_t *width, size_t *height)
{
    struct winsize size;
    *width = *height = 0;
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) {
        *width = size.ws_col;
        *height = size.ws_row;
    }
}

bool screen_open(void)
{
    struct sigaction end = {.sa_handler = on_end}, resize = {.sa_handler = on_resize};
    struct termios raw;
    if (!isatty(STDOUT_FILENO))
        return false;
    ended = 0;
    (void)sigaction(SIGINT, &end, &old_int); /* cannot fail with these numbers */
    (void)sigaction(SIGTERM, &end, &old_term);
    (void)sigaction(SIGHUP, &end, &old_hup);
    (void)sigaction(SIGWINCH, &resize, &old_winch);
    keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &before) == 0;
    if (keys) {
        raw = before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        keys = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
    }
    opened = true;
    (void)fputs("\033[?1049h\033[?25l", stdout); /* alternate screen, no cursor */
    return true;
}

void screen_close(void)
{
    if (!opened)
        return;
    opened = false;
    (void)fputs("\033[?25h\033[?1049l", stdout);
    (void)fflush(stdout);
    if (keys)
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
    (void)sigaction(SIGINT, &old_int, NULL);
    (void)sigaction(SIGTERM, &old_term, NULL);
    (void)sigaction(SIGHUP, &old_hup, NULL);
    (void)sigaction(SIGWINCH, &old_winch, NULL);
}

void screen_draw(const struct cfg_buf *text)
{
    size_t width, height, line = 0;
    screen_size(&width, &height);
    (void)fputs("\033[H", stdout);
    for (const char *p = text->data, *end = p + text->len; p && p < end && (height == 0 || line < height); line++) {
        const char *newline = p;
        while (newline < end && *newline != '\n')
            newline++;
        if (line > 0)
            (void)fputs("\r\n", stdout);
        (void)fwrite(p, 1, (size_t)(newline - p), stdout);
        (void)fputs("\033[K", stdout);
        p = newline + 1;
    }
    (void)fputs("\033[J", stdout);
    (void)fflush(stdout);
}

bool screen_wait(unsigned ms)
{
    struct pollfd in = {.fd = opened && keys ? STDIN_FILENO : -1, .events = POLLIN};
    char key;
    if (ended)
        return false;
    int n = poll(&in, 1, (int)ms);
    if (n < 0)
        return errno == EINTR && !ended;
    if (n == 0)
        return true;
    ssize_t got = read(STDIN_FILENO, &key, 1);
    if (got == 0) /* nobody can press a key any more */
        keys = false;
    return !(got == 1 && (key == 'q' || key == 'Q' || key == 3)) && !ended;
}
