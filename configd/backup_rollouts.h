/* Rollouts in a backup that is restored. One that was under way when the backup was made must not simply go on: what it
 * was judged on is of another time, and after the backup its release may have been rolled back. It comes back paused,
 * with the reason: the fleet is split as it was, guards watch, and a person resumes or aborts it. Pure. */
#ifndef CFG_CONFIGD_BACKUP_ROLLOUTS_H
#define CFG_CONFIGD_BACKUP_ROLLOUTS_H

#include "configd/backup_file.h"

/* Gives each rollout that is under way a further version, which is paused; one that is going back goes on doing so.
 * now: RFC 3339; author: who restores; id: of the restore. All copied. CFG_E_NOMEM leaves b as it was, or with some
 * paused.
 */
CFG_MUST_CHECK int cfg_backup_pause_rollouts(struct cfg_backup *b, const char *now, const char *author, const char *id,
                                             struct cfg_error *err);

#endif
