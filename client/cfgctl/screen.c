#include "client/cfgctl/screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* Lines that are longer than the terminal is wide are cut off, not folded. */
static const char enter_text[] = "\033[?1049h\033[?25l\033[?7l", leave_text[] = "\033[?7h\033[?25h\033[?1049l";

static volatile sig_atomic_t ended, stopped, waiting;
static bool opened, keys;
static struct termios before;
static struct sigaction old_int, old_term, old_hup, old_winch, old_stop;

/* Also from a handler. */
static void give_back(void)
{
    for (size_t at = 0; at < sizeof leave_text - 1;) {
        ssize_t n = write(STDOUT_FILENO, leave_text + at, sizeof leave_text - 1 - at);
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    if (keys)
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

/* Whoever waits for a key sees it. A request that is under way may take long: then the process ends here. */
static void on_end(int number)
{
    (void)number;
    ended = 1;
    if (!waiting) {
        give_back();
        _exit(0);
    }
}

/* Only there so that poll() is woken. */
static void on_resize(int number)
{
    (void)number;
}

/* The shell wants its terminal as it was. */
static void on_stop(int number)
{
    (void)number;
    stopped = 1;
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

static void take_over(void)
{
    struct termios raw = before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    keys = keys && tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
    (void)fputs(enter_text, stdout); /* alternate screen, no cursor */
}

bool screen_open(void)
{
    struct sigaction end = {.sa_handler = on_end}, resize = {.sa_handler = on_resize}, stop = {.sa_handler = on_stop};
    if (!isatty(STDOUT_FILENO))
        return false;
    ended = stopped = waiting = 0;
    keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &before) == 0;
    (void)sigaction(SIGINT, &end, &old_int); /* cannot fail with these numbers */
    (void)sigaction(SIGTERM, &end, &old_term);
    (void)sigaction(SIGHUP, &end, &old_hup);
    (void)sigaction(SIGWINCH, &resize, &old_winch);
    (void)sigaction(SIGTSTP, &stop, &old_stop);
    opened = true;
    take_over();
    return true;
}

void screen_close(void)
{
    if (!opened)
        return;
    opened = false;
    (void)fflush(stdout);
    give_back();
    (void)sigaction(SIGINT, &old_int, NULL);
    (void)sigaction(SIGTERM, &old_term, NULL);
    (void)sigaction(SIGHUP, &old_hup, NULL);
    (void)sigaction(SIGWINCH, &old_winch, NULL);
    (void)sigaction(SIGTSTP, &old_stop, NULL);
}

/* Stops as the shell asked; what is drawn next begins on a clean screen. */
static void stop_here(void)
{
    stopped = 0;
    (void)fflush(stdout);
    give_back();
    (void)raise(SIGSTOP); /* until `fg` */
    take_over();
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
    waiting = 1;
    int n = ended || stopped ? -1 : poll(&in, 1, (int)ms), why = n < 0 && !ended && !stopped ? errno : EINTR;
    waiting = 0;
    if (ended)
        return false;
    if (stopped)
        stop_here();
    if (n <= 0)
        return n == 0 || why == EINTR;
    ssize_t got = read(STDIN_FILENO, &key, 1);
    if (got == 0) /* nobody can press a key any more */
        keys = false;
    return !(got == 1 && (key == 'q' || key == 'Q' || key == 3)) && !ended;
}
