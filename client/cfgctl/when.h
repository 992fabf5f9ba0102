/* Times as operators type them. Pure but for the time zone (TZ). */
#ifndef CFG_CFGCTL_WHEN_H
#define CFG_CFGCTL_WHEN_H

#include "client/cfgctl/cli.h"

/* Microseconds since 1970 of "02:40" (the last time it was that late, here), "yesterday 22:00", "2026-12-01 02:40",
 * "2026-12-01", "2026-12-01T02:40:00Z", "2h", "1h30m ago", "now", "@1764556800". now_us is the present. CFG_E_INVALID.
 */
CFG_MUST_CHECK int when_parse(int64_t *out_us, const char *text, int64_t now_us, struct cfg_error *err);
/* When something shall begin: as above, but clock times are the next ones, and a span ("10m", "in 10m", "+10m") is from
 * now on. CFG_E_INVALID: also for a time that is over. */
CFG_MUST_CHECK int when_parse_ahead(int64_t *out_us, const char *text, int64_t now_us, struct cfg_error *err);
/* An option's time as RFC 3339, into out; "" when the option is absent. CFG_E_INVALID names the option. */
CFG_MUST_CHECK int when_option(char out[32], const struct cli *c, enum cli_option_id id, struct cfg_error *err);
/* "2026-12-01 02:40:07" in the local time zone, of an RFC 3339 time; the text itself when it is none. */
const char *when_local(char out[32], const char *rfc3339);
int64_t when_now_us(void);

#endif
