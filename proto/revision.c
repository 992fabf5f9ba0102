#include "proto/revision.h"

#include <string.h>

int cfg_rev_cmp(struct cfg_rev a, struct cfg_rev b)
{
    if (a.epoch != b.epoch)
        return a.epoch < b.epoch ? -1 : 1;
    if (a.revision != b.revision)
        return a.revision < b.revision ? -1 : 1;
    return 0;
}

bool cfg_rev_is_none(struct cfg_rev r)
{
    return r.epoch == 0 && r.revision == 0;
}

static char *put_number(char *to, uint64_t n)
{
    char digits[20];
    size_t i = sizeof digits;
    do
        digits[--i] = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    memcpy(to, digits + i, sizeof digits - i);
    return to + sizeof digits - i;
}

/* Every reply carries one: no printf. Two numbers of ≤ 20 digits fit. */
const char *cfg_rev_format(struct cfg_rev r, char out[CFG_REV_TEXT])
{
    char *at = put_number(out, r.epoch);
    *at++ = '-';
    *put_number(at, r.revision) = '\0';
    return out;
}

/* One number of 1 to 19 digits from the front of *s, which is moved behind it. One spelling each: no leading zeros. */
static bool take_number(uint64_t *out, struct cfg_slice *s)
{
    uint64_t n = 0;
    size_t i = 0;
    for (; i < s->len && s->ptr[i] >= '0' && s->ptr[i] <= '9'; i++) {
        uint64_t digit = (uint64_t)(s->ptr[i] - '0');
        if (n > ((uint64_t)INT64_MAX - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    if (i == 0 || (i > 1 && s->ptr[0] == '0'))
        return false;
    *out = n;
    s->ptr += i;
    s->len -= i;
    return true;
}

int cfg_rev_parse(struct cfg_rev *out, struct cfg_slice text, struct cfg_error *err)
{
    struct cfg_slice rest = text;
    struct cfg_rev r;
    bool good = take_number(&r.epoch, &rest) && rest.len > 0 && rest.ptr[0] == '-';
    if (good) {
        rest.ptr++;
        rest.len--;
        good = take_number(&r.revision, &rest) && rest.len == 0;
    }
    if (!good) {
        int shown = text.len < 64 ? (int)text.len : 64;
        (void)cfg_fail(err, CFG_E_INVALID, "\"%.*s\" is not a revision token", shown, text.ptr ? text.ptr : "");
        cfg_error_set_hint(err, "a token is EPOCH-REVISION in decimal, such as 1-4711");
        return CFG_E_INVALID;
    }
    *out = r;
    return 0;
}
