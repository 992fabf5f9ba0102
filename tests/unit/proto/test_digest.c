/* Digests: the known vectors of SHA-256, and that only the value counts, not its spelling. */
#include "proto/digest.h"

#include <criterion/criterion.h>

static void digest_text(char out[CFG_DIGEST_TEXT], const char *json)
{
    cJSON *v = NULL;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(json), 0, NULL), 0);
    cr_assert_eq(cfg_digest_json(out, v), 0);
    cJSON_Delete(v);
}

Test(digest, bytes_match_the_published_vectors)
{
    char out[CFG_DIGEST_TEXT];
    cr_assert_eq(cfg_digest_bytes(out, CFG_SLICE_LIT("")), 0);
    cr_assert_str_eq(out, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    cr_assert_eq(cfg_digest_bytes(out, CFG_SLICE_LIT("abc")), 0);
    cr_assert_str_eq(out, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

Test(digest, json_ignores_order_space_and_spelling)
{
    char a[CFG_DIGEST_TEXT], b[CFG_DIGEST_TEXT], expected[CFG_DIGEST_TEXT];
    digest_text(a, "{\"b\": 1.0, \"a\": \"\\u0041\"}");
    digest_text(b, "{\"a\":\"A\",\"b\":1e0}");
    cr_assert_str_eq(a, b);
    cr_assert_eq(cfg_digest_bytes(expected, CFG_SLICE_LIT("{\"a\":\"A\",\"b\":1}")), 0);
    cr_assert_str_eq(a, expected);
}

Test(digest, json_tells_values_apart)
{
    char a[CFG_DIGEST_TEXT], b[CFG_DIGEST_TEXT];
    digest_text(a, "{\"a\":1}");
    digest_text(b, "{\"a\":\"1\"}");
    cr_assert_str_neq(a, b);
    digest_text(a, "\"a\"");
    digest_text(b, "\"a\\u0000\"");
    cr_assert_str_neq(a, b, "U+0000 must count");
}
