/* See text.h. */
#include "worker/cfg-infer/text.h"
#include "proto/utf8.h"

size_t cfg_text_bytes(unsigned char *out, size_t max, const char *tree)
{
    size_t n = 0;
    for (const unsigned char *c = (const unsigned char *)tree; *c != '\0'; c++, n++) {
        bool zero = c[0] == 0xC0 && c[1] == 0x80;
        if (n < max) {
            out[n] = zero ? 0 : *c;
        }
        c += zero ? 1 : 0;
    }
    return n;
}

/* What a lead byte may be followed by first (Unicode, table 3-7); false: it leads nothing. */
static bool second_range(unsigned char lead, unsigned char *low, unsigned char *high, size_t *length)
{
    *low = 0x80;
    *high = 0xBF;
    *length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead == 0xE0) {
        *low = 0xA0;
    } else if (lead == 0xED) {
        *high = 0x9F;
    } else if (lead == 0xF0) {
        *low = 0x90;
    } else if (lead == 0xF4) {
        *high = 0x8F;
    }
    return lead >= 0xC2 && lead <= 0xF4;
}

/* How many bytes of a broken or unfinished character belong together; *unfinished: more bytes could complete it. */
static size_t subpart(const unsigned char *p, const unsigned char *end, bool *unfinished)
{
    unsigned char low, high;
    size_t length, n = 1;
    *unfinished = false;
    if (!second_range(*p, &low, &high, &length)) {
        return 1;
    }
    while (n < length && p + n < end && p[n] >= low && p[n] <= high) {
        low = 0x80;
        high = 0xBF;
        n++;
    }
    *unfinished = p + n == end;
    return n;
}

size_t cfg_text_put(struct cfg_buf *out, const unsigned char *bytes, size_t len, bool last)
{
    const unsigned char *p = bytes, *end = bytes + len;
    while (p < end) {
        bool unfinished;
        size_t n = cfg_utf8_length(p, end);
        if (n == 1 && *p == 0) {
            cfg_buf_put(out, "\xC0\x80", 2);
        } else if (n > 0) {
            cfg_buf_put(out, p, n);
        } else {
            n = subpart(p, end, &unfinished);
            if (unfinished && !last) {
                break;
            }
            cfg_buf_puts(out, "\xEF\xBF\xBD");
        }
        p += n;
    }
    return (size_t)(p - bytes);
}
