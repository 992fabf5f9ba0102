/* Base64 (RFC 4648 §4) as etcd's gateway speaks it. Values reach 512 KiB and a list page many of them, so four
 * characters are looked up at a time and checked with one test; bytes pass through a block on the stack because cfg_buf
 * grows by appending. */
#include "proto/etcd_msg.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The value of a character with bit 6 set; 0 for every byte outside the alphabet, which the missing bit betrays. */
enum { VALID = 0x40 };
#define D(c, v) [c] = VALID | (v)
static const unsigned char digits[256] = {
    D('A', 0),  D('B', 1),  D('C', 2),  D('D', 3),  D('E', 4),  D('F', 5),  D('G', 6),  D('H', 7),
    D('I', 8),  D('J', 9),  D('K', 10), D('L', 11), D('M', 12), D('N', 13), D('O', 14), D('P', 15),
    D('Q', 16), D('R', 17), D('S', 18), D('T', 19), D('U', 20), D('V', 21), D('W', 22), D('X', 23),
    D('Y', 24), D('Z', 25), D('a', 26), D('b', 27), D('c', 28), D('d', 29), D('e', 30), D('f', 31),
    D('g', 32), D('h', 33), D('i', 34), D('j', 35), D('k', 36), D('l', 37), D('m', 38), D('n', 39),
    D('o', 40), D('p', 41), D('q', 42), D('r', 43), D('s', 44), D('t', 45), D('u', 46), D('v', 47),
    D('w', 48), D('x', 49), D('y', 50), D('z', 51), D('0', 52), D('1', 53), D('2', 54), D('3', 55),
    D('4', 56), D('5', 57), D('6', 58), D('7', 59), D('8', 60), D('9', 61), D('+', 62), D('/', 63),
};
#undef D

enum { BLOCK = 1024 }; /* groups of 3 bytes or 4 characters */

/* One group of 1 to 3 bytes as 4 characters. */
static void encode_group(char *to, const unsigned char *in, size_t n)
{
    unsigned v = (unsigned)in[0] << 16;
    if (n > 1)
        v |= (unsigned)in[1] << 8;
    if (n > 2)
        v |= in[2];
    to[0] = alphabet[v >> 18];
    to[1] = alphabet[v >> 12 & 63];
    to[2] = n > 1 ? alphabet[v >> 6 & 63] : '=';
    to[3] = n > 2 ? alphabet[v & 63] : '=';
}

void cfg_base64_encode(struct cfg_buf *out, struct cfg_slice in)
{
    const unsigned char *p = (const unsigned char *)in.ptr;
    size_t left = in.len;
    char block[BLOCK * 4];
    while (left > 0) {
        size_t n = 0;
        for (; left > 0 && n < sizeof block; n += 4) {
            size_t take = left < 3 ? left : 3;
            encode_group(block + n, p, take);
            p += take;
            left -= take;
        }
        cfg_buf_put(out, block, n);
    }
}

static bool decode_groups(char *to, const unsigned char *in, size_t groups)
{
    unsigned valid = VALID;
    for (; groups > 0; groups--, in += 4, to += 3) {
        unsigned a = digits[in[0]], b = digits[in[1]], c = digits[in[2]], d = digits[in[3]];
        valid &= a & b & c & d;
        to[0] = (char)(a << 2 | (b >> 4 & 3));
        to[1] = (char)(b << 4 | (c >> 2 & 15));
        to[2] = (char)(c << 6 | (d & 63));
    }
    return valid != 0;
}

/* The last group, which may be padded. Unused bits must be zero: one spelling for each value. Returns the bytes, 0 =
 * bad. */
static size_t decode_last(char *to, const unsigned char *in)
{
    if (in[3] != '=')
        return decode_groups(to, in, 1) ? 3 : 0;
    unsigned a = digits[in[0]], b = digits[in[1]], c = digits[in[2]];
    if (!(a & b & VALID))
        return 0;
    to[0] = (char)(a << 2 | (b >> 4 & 3));
    if (in[2] == '=')
        return (b & 15) == 0 ? 1 : 0;
    to[1] = (char)(b << 4 | (c >> 2 & 15));
    return (c & VALID) && (c & 3) == 0 ? 2 : 0;
}

bool cfg_base64_decode_to(char *out, size_t *len, struct cfg_slice in)
{
    const unsigned char *p = (const unsigned char *)in.ptr;
    *len = 0;
    if (in.len == 0)
        return true;
    if (in.len % 4 != 0)
        return false;
    size_t groups = in.len / 4 - 1;
    if (!decode_groups(out, p, groups))
        return false;
    size_t last = decode_last(out + groups * 3, p + groups * 4);
    *len = groups * 3 + last;
    return last > 0;
}

int cfg_base64_decode(struct cfg_buf *out, struct cfg_slice in)
{
    size_t before = out->len;
    char block[BLOCK * 3];
    while (in.len > 0) {
        struct cfg_slice part = {in.ptr, in.len < BLOCK * 4 ? in.len : BLOCK * 4};
        size_t n;
        /* Padding belongs to the end of the whole text only. */
        bool ends_early = part.len < in.len && part.ptr[part.len - 1] == '=';
        if (ends_early || !cfg_base64_decode_to(block, &n, part)) {
            out->len = before;
            if (out->data)
                out->data[before] = '\0';
            return CFG_E_JSON;
        }
        cfg_buf_put(out, block, n);
        in.ptr += part.len;
        in.len -= part.len;
    }
    return cfg_buf_status(out);
}
