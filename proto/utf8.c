#include "proto/utf8.h"

#include <string.h>

size_t cfg_utf8_length(const unsigned char *p, const unsigned char *end)
{
    size_t left = (size_t)(end - p);
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xC2 || p[0] > 0xF4)
        return 0;
    size_t n = p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    if (left < n)
        return 0;
    unsigned char low = 0x80, high = 0xBF; /* bounds of the second byte */
    if (p[0] == 0xE0)
        low = 0xA0;
    else if (p[0] == 0xED)
        high = 0x9F;
    else if (p[0] == 0xF0)
        low = 0x90;
    else if (p[0] == 0xF4)
        high = 0x8F;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return n;
}

char *cfg_utf8_put(char *to, uint32_t c)
{
    if (c == 0) { /* the tree's spelling of U+0000 */
        *to++ = (char)0xC0;
        *to++ = (char)0x80;
    } else if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xC0 | c >> 6);
        *to++ = (char)(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        *to++ = (char)(0xE0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 0x3F));
        *to++ = (char)(0x80 | (c & 0x3F));
    } else {
        *to++ = (char)(0xF0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 0x3F));
        *to++ = (char)(0x80 | (c >> 6 & 0x3F));
        *to++ = (char)(0x80 | (c & 0x3F));
    }
    return to;
}

void cfg_utf8_mend(char *text)
{
    const unsigned char *p = (const unsigned char *)text, *end = p + strlen(text);
    char *to = text;
    while (p < end) {
        size_t n = p[0] == 0xC0 && p[1] == 0x80 ? 2 : cfg_utf8_length(p, end);
        for (size_t i = 0; i < n; i++)
            *to++ = (char)p[i];
        p += n ? n : 1;
    }
    *to = '\0';
}
