/* A picture that is drawn again and again on a terminal, as top does it: on the alternate screen, until q, ^C or a
 * signal. The terminal is as it was afterwards. One at a time; one thread. */
#ifndef CFG_CFGCTL_SCREEN_H
#define CFG_CFGCTL_SCREEN_H

#include "proto/buf.h"

#include <cfg/error.h>

/* Takes the terminal over when stdout is one (keys are read where stdin is one, too). False: it is none, and nothing
 * was done. */
bool screen_open(void);
void screen_close(void); /* also when it was never opened */
/* Draws text in the place of what is there. Lines beyond the terminal's height are left out. */
void screen_draw(const struct cfg_buf *text);
/* Waits for a time, or until the terminal changes its size. False: somebody wants it to end. Also without a screen. */
bool screen_wait(unsigned ms);
/* Columns and rows of the terminal on stdout; 0 when it is none. */
void screen_size(size_t *width, size_t *height);

#endif
