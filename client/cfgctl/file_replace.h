/* Files that other programs read while they are replaced. */
#ifndef CFG_CFGCTL_FILE_REPLACE_H
#define CFG_CFGCTL_FILE_REPLACE_H

#include "proto/buf.h"

#include <sys/types.h>

/* Replaces a file whole, or makes it: a temporary file beside it, fsync, rename, fsync of the folder. Readers see the
 * old text or the new one, also after a crash. An existing file's mode is kept; `mode`, less what the umask hides, is
 * for a new one. CFG_E_IO. */
CFG_MUST_CHECK int file_replace(const char *name, struct cfg_slice text, mode_t mode, struct cfg_error *err);

#endif
