#include "proto/etcd_msg.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static void both_ways(const char *plain, size_t n, const char *text)
{
    struct cfg_buf b;
    cfg_buf_init(&b, 1000);
    cfg_base64_encode(&b, (struct cfg_slice){plain, n});
    cr_assert(cfg_slice_eq_str(cfg_buf_slice(&b), text), "%s", text);
    cfg_buf_clear(&b);
    cr_assert_eq(cfg_base64_decode(&b, cfg_slice_str(text)), 0, "%s", text);
    cr_assert(cfg_slice_eq(cfg_buf_slice(&b), (struct cfg_slice){plain, n}), "%s", text);
    cfg_buf_finish(&b);
}

/* RFC 4648 §10, and every digit of the alphabet. */
Test(base64, vectors)
{
    both_ways("", 0, "");
    both_ways("f", 1, "Zg==");
    both_ways("fo", 2, "Zm8=");
    both_ways("foo", 3, "Zm9v");
    both_ways("foob", 4, "Zm9vYg==");
    both_ways("fooba", 5, "Zm9vYmE=");
    both_ways("foobar", 6, "Zm9vYmFy");
    both_ways("\0", 1, "AA==");
    both_ways(
        "\x00\x10\x83\x10\x51\x87\x20\x92\x8b\x30\xd3\x8f\x41\x14\x93\x51\x55\x97\x61\x96\x9b\x71\xd7\x9f\x82\x18\xa3"
        "\x92\x59\xa7\xa2\x9a\xab\xb2\xdb\xaf\xc3\x1c\xb3\xd3\x5d\xb7\xe3\x9e\xbb\xf3\xdf\xbf",
        48, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
}

/* Lengths around the block size of both directions. */
Test(base64, long_values)
{
    static const size_t lengths[] = {3071, 3072, 3073, 3074, 6143, 6144, 6145, 524288, 524289};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        size_t n = lengths[i];
        char *plain = malloc(n);
        for (size_t k = 0; k < n; k++)
            plain[k] = (char)(k * 131 + (k >> 8) * 7);
        struct cfg_buf text, back;
        cfg_buf_init(&text, n * 2);
        cfg_buf_init(&back, n);
        cfg_base64_encode(&text, (struct cfg_slice){plain, n});
        cr_assert_eq(text.len, (n + 2) / 3 * 4);
        cr_assert_eq(cfg_base64_decode(&back, cfg_buf_slice(&text)), 0);
        cr_assert(cfg_slice_eq(cfg_buf_slice(&back), (struct cfg_slice){plain, n}));
        cfg_buf_finish(&text);
        cfg_buf_finish(&back);
        free(plain);
    }
}

static void refused(const char *text, size_t n)
{
    struct cfg_buf b;
    cfg_buf_init(&b, 100000);
    cfg_buf_puts(&b, "kept");
    cr_assert_eq(cfg_base64_decode(&b, (struct cfg_slice){text, n}), CFG_E_JSON, "%.*s", (int)n, text);
    cr_assert(cfg_slice_eq_str(cfg_buf_slice(&b), "kept"));
    cr_assert_eq(b.data[b.len], '\0');
    cfg_buf_finish(&b);
}

Test(base64, refuses)
{
    static const char *const bad[] = {
        "Z",     "Zg",   "Zg=",  "Z===",    "====", "=g==", "Zg=v",    "Zm9vYg=", "Zg==Zg==", "Zm9v\n",
        "Zm 9v", "Zm9-", "Zm9_", "Zm9\xC0", "Zh==", "Zm9=", "Z\xFF==", "*m9v",    "Z*9v",     "Zm*v",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refused(bad[i], strlen(bad[i]));
    refused("Zm\0v", 4);
}

/* Padding in the middle is refused also where a block of the decoder ends with it. */
Test(base64, refuses_padding_at_the_end_of_a_block)
{
    char text[4096 + 4];
    memset(text, 'A', sizeof text);
    text[4095] = '=';
    refused(text, sizeof text);
    text[4095] = 'A';
    text[5] = '.';
    refused(text, sizeof text);
}

Test(base64, respects_the_buffers_maximum)
{
    struct cfg_buf b;
    cfg_buf_init(&b, 2);
    cr_assert_eq(cfg_base64_decode(&b, cfg_slice_str("Zm9v")), CFG_E_LIMIT);
    cfg_buf_finish(&b);
}

Test(base64, decodes_into_exact_memory)
{
    char *out = malloc(6);
    size_t n = 99;
    cr_assert(cfg_base64_decode_to(out, &n, cfg_slice_str("Zm9vYmFy")));
    cr_assert(n == 6 && memcmp(out, "foobar", 6) == 0);
    cr_assert(cfg_base64_decode_to(out, &n, cfg_slice_str("")) && n == 0);
    cr_assert_not(cfg_base64_decode_to(out, &n, cfg_slice_str("Zm9vYm=y")));
    free(out);
}
