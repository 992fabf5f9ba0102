#include "configd/replica_decide.h"

#include <stdio.h>
#include <string.h>

const char *cfg_replica_state_name(enum cfg_replica_state s)
{
    static const char *const names[] = {"starting", "listing", "live", "reconnecting", "foreign"};
    return (size_t)s < sizeof names / sizeof names[0] ? names[s] : "unknown";
}

bool cfg_replica_may_move(enum cfg_replica_state from, enum cfg_replica_state to)
{
#define TO(s) (1u << CFG_REPLICA_##s)
    static const unsigned allowed[] = {
        [CFG_REPLICA_STARTING] = TO(LISTING) | TO(FOREIGN),
        [CFG_REPLICA_LISTING] = TO(LIVE) | TO(RECONNECTING) | TO(FOREIGN),
        [CFG_REPLICA_LIVE] = TO(RECONNECTING) | TO(LISTING) | TO(FOREIGN),
        [CFG_REPLICA_RECONNECTING] = TO(LIVE) | TO(LISTING) | TO(FOREIGN),
        [CFG_REPLICA_FOREIGN] = TO(LIVE) | TO(LISTING),
    };
#undef TO
    return (size_t)from < sizeof allowed / sizeof allowed[0] && (size_t)to < sizeof allowed / sizeof allowed[0] &&
           (allowed[from] >> to & 1u);
}

void cfg_replica_meta_print(struct cfg_buf *out, const struct cfg_store_identity *id)
{
    cfg_buf_printf(out, "{\"store_id\":\"%s\",\"epoch\":%llu,\"format\":%d}", id->store_id,
                   (unsigned long long)id->epoch, CFG_STORE_FORMAT);
}

static int read_tree(struct cfg_store_identity *out, const cJSON *tree, struct cfg_error *err)
{
    uint64_t epoch, format;
    const char *id = cfg_json_get_str(tree, "store_id", "");
    size_t n = strlen(id);
    if (n == 0 || n >= sizeof out->store_id || strspn(id, "0123456789abcdef") != n)
        return cfg_fail(err, CFG_E_FOREIGN_STORE, "meta/store has no readable store_id");
    if (cfg_json_need_u64(tree, "epoch", &epoch, NULL) || epoch == 0)
        return cfg_fail(err, CFG_E_FOREIGN_STORE, "meta/store has no readable epoch");
    if (cfg_json_need_u64(tree, "format", &format, NULL))
        return cfg_fail(err, CFG_E_FOREIGN_STORE, "meta/store names no format");
    if (format != CFG_STORE_FORMAT) {
        int code = cfg_fail(err, CFG_E_FOREIGN_STORE, "the store has format %llu; this configd reads format %d",
                            (unsigned long long)format, CFG_STORE_FORMAT);
        cfg_error_set_hint(err, "install the configd version that wrote it");
        return code;
    }
    *out = (struct cfg_store_identity){.epoch = epoch};
    memcpy(out->store_id, id, n + 1);
    return 0;
}

int cfg_replica_meta_read(struct cfg_store_identity *out, struct cfg_slice value, struct cfg_error *err)
{
    cJSON *tree = NULL;
    struct cfg_error why;
    if (cfg_json_parse(&tree, value, 0, &why) != 0)
        return cfg_fail(err, CFG_E_FOREIGN_STORE, "meta/store cannot be read: %s", why.text);
    int code = read_tree(out, tree, err);
    cJSON_Delete(tree);
    return code;
}

int cfg_replica_meta_raise(struct cfg_buf *out, struct cfg_slice value, uint64_t epoch, struct cfg_error *err)
{
    cJSON *tree = NULL;
    int code = cfg_json_parse(&tree, value, 0, err);
    if (code)
        return code;
    cJSON *number = cJSON_CreateNumber((double)epoch);
    if (number == NULL || !cJSON_ReplaceItemInObjectCaseSensitive(tree, "epoch", number)) {
        cJSON_Delete(number);
        code = cfg_fail(err, CFG_E_NOMEM, "no memory to raise the epoch");
    } else {
        cfg_json_print(out, tree);
        code = cfg_buf_status(out);
    }
    cJSON_Delete(tree);
    return code;
}

enum cfg_replica_evidence cfg_replica_compare(const struct cfg_replica_newest *known, const struct cfg_etcd_kv *kv)
{
    if (known->is_delete)
        return kv ? CFG_EVIDENCE_DIFFERENT : CFG_EVIDENCE_SAME;
    char digest[CFG_DIGEST_TEXT];
    if (kv == NULL || kv->mod_revision != known->mod_revision || cfg_digest_bytes(digest, kv->value) != 0)
        return CFG_EVIDENCE_DIFFERENT;
    return strcmp(digest, known->digest) == 0 ? CFG_EVIDENCE_SAME : CFG_EVIDENCE_DIFFERENT;
}

enum cfg_replica_step cfg_replica_decide(const struct cfg_replica_known *known, const struct cfg_replica_seen *seen)
{
    bool stranger = known->identity.store_id[0] == '\0';
    if (!seen->meta_present)
        return stranger && seen->live_empty ? CFG_STEP_INITIALISE : CFG_STEP_FOREIGN;
    if (stranger)
        return CFG_STEP_LIST;
    if (strcmp(known->identity.store_id, seen->meta.store_id) != 0)
        return CFG_STEP_FOREIGN;
    if (seen->meta.epoch > known->identity.epoch)
        return CFG_STEP_LIST; /* somebody else noticed, and raised it */
    if (seen->meta.epoch < known->identity.epoch || seen->revision < known->revision ||
        seen->meta.mod_revision < known->identity.mod_revision || seen->newest == CFG_EVIDENCE_DIFFERENT)
        return CFG_STEP_RAISE;
    if (!known->complete || seen->meta.mod_revision != known->identity.mod_revision ||
        seen->newest == CFG_EVIDENCE_COMPACTED)
        return CFG_STEP_LIST;
    return CFG_STEP_RESUME;
}

bool cfg_replica_wants_evidence(const struct cfg_replica_known *known, const struct cfg_replica_seen *seen)
{
    return cfg_replica_decide(known, seen) == CFG_STEP_RESUME;
}

enum cfg_token_verdict cfg_replica_judge_token(const struct cfg_store_identity *known, struct cfg_rev token,
                                               const struct cfg_replica_seen *seen)
{
    if (!seen->meta_present || strcmp(known->store_id, seen->meta.store_id) != 0 || known->epoch != seen->meta.epoch)
        return CFG_TOKEN_CHECK;
    if (token.epoch > seen->meta.epoch)
        return token.epoch - seen->meta.epoch <= CFG_REPLICA_EPOCH_SLACK ? CFG_TOKEN_RAISE : CFG_TOKEN_FINE;
    if (token.epoch == seen->meta.epoch && token.revision > (uint64_t)seen->revision)
        return CFG_TOKEN_RAISE;
    return CFG_TOKEN_FINE;
}

uint64_t cfg_replica_next_epoch(uint64_t known, uint64_t stored, uint64_t token)
{
    uint64_t most = known > stored ? known : stored;
    return (most > token ? most : token) + 1;
}

bool cfg_replica_is_level(size_t newer, int64_t count_there, int64_t count_here)
{
    return newer == 0 && count_there == count_here;
}
