/* OpenSSL 3 looks its one-shot SHA256() up by name at every call, which costs more than hashing a small view: the
 * functions beneath it, which it calls deprecated, do not. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "proto/digest.h"

#include <openssl/sha.h>
#include <string.h>

int cfg_digest_bytes(char out[CFG_DIGEST_TEXT], struct cfg_slice bytes)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char hash[SHA256_DIGEST_LENGTH];
    SHA256_CTX sha;
    if (SHA256_Init(&sha) != 1 || SHA256_Update(&sha, bytes.len ? bytes.ptr : "", bytes.len) != 1 ||
        SHA256_Final(hash, &sha) != 1)
        return CFG_E_NOMEM; /* cannot fail */
    char *p = out;
    memcpy(p, "sha256:", 7);
    p += 7;
    for (size_t i = 0; i < sizeof hash; i++) {
        *p++ = hex[hash[i] >> 4];
        *p++ = hex[hash[i] & 15];
    }
    *p = '\0';
    return 0;
}

int cfg_digest_json(char out[CFG_DIGEST_TEXT], const cJSON *v)
{
    struct cfg_buf text;
    cfg_buf_init(&text, SIZE_MAX / 4); /* a tree in memory bounds its own text */
    cfg_json_canonical(&text, v);
    int code = cfg_buf_status(&text) ? CFG_E_NOMEM : cfg_digest_bytes(out, cfg_buf_slice(&text));
    cfg_buf_finish(&text);
    return code;
}
