/* The backup file: newline-delimited JSON, readable with any tool, checked as a whole before a restore begins. Pure.
 *
 *   {"configd_backup":1,"store":ID,"epoch":N,"revision":N,"time":T,"keys":N}
 *   {"key":"live/config/chat","value":{…}}            one line per record, keys without the prefix: heads, totals of
 *                                                     experiments (tally/…), history
 *   {"end":true,"sha256":"sha256:…"}                  over every byte before this line */
#ifndef CFG_CONFIGD_BACKUP_FILE_H
#define CFG_CONFIGD_BACKUP_FILE_H

#include "configd/object.h"
#include "configd/replica.h"

/* The kinds below live/ that a backup holds; presence and locks are of the moment. NULL-terminated. */
extern const char *const cfg_backup_kinds[];
/* True for a key (without the prefix) that belongs into a backup. */
bool cfg_backup_wants(struct cfg_slice key);

/* Lines, each with its newline. Append to out; check cfg_buf_status. A value that is no JSON (a foreign hand wrote it)
 * appends nothing and gives false. */
void cfg_backup_print_head(struct cfg_buf *out, const struct cfg_store_identity *id, uint64_t revision,
                           const char *time, uint64_t keys);
bool cfg_backup_print_record(struct cfg_buf *out, struct cfg_slice key, struct cfg_slice value);
void cfg_backup_print_end(struct cfg_buf *out, const char *sha256);

struct cfg_backup_item {
    char *key;                    /* without the prefix; owned */
    struct cfg_slice value;       /* borrowed from the file's text */
    struct cfg_backup_item *pair; /* a head: its record in history; that record: its head; else NULL */
    char *own;                    /* what value borrows from, where that is not the file; owned */
};
struct cfg_backup {
    struct cfg_store_identity identity;
    uint64_t revision;
    char time[40];                 /* when it was made */
    struct cfg_backup_item *items; /* sorted by key; owned */
    size_t n;
};
/* Reads and checks everything: first and last line, checksum, count, every key and envelope, each head's record in
 * history with the same bytes, no key twice. text is borrowed for the life of *out. CFG_E_JSON, CFG_E_VALUE with the
 * line in the text, CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_backup_read(struct cfg_backup *out, struct cfg_slice text, struct cfg_error *err);
void cfg_backup_finish(struct cfg_backup *b); /* takes a zeroed struct */

#endif
