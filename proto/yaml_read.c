/* The reader: libyaml's events into a tree, one recursion per level of nesting. What plain scalars mean is decided in
 * yaml_scalar.c; where a tab may stand, and which words readers differ on, in yaml_check.c. */
#include "proto/yaml_read.h"
#include "proto/limits.h"
#include "proto/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NODES = 65536, MAX_BYTES = 4 * 1024 * 1024, MAX_ANCHORS = 1024 };

#define TAG_PREFIX "tag:yaml.org,2002:"

/* --- errors --- */

int cfg_yaml_fail_at(struct cfg_yaml_loader *l, int code, const yaml_mark_t *at, const char *what)
{
    cfg_fail(l->err, code, "line %zu column %zu: %s", at->line + 1, at->column + 1, what);
    cfg_error_set_path(l->err, "line %zu column %zu", at->line + 1, at->column + 1);
    return code;
}

static int no_memory(struct cfg_yaml_loader *l)
{
    return cfg_fail(l->err, CFG_E_NOMEM, "out of memory");
}

/* Why libyaml stopped. Its reader gives no place for a control character, only a byte. */
static int broken(struct cfg_yaml_loader *l)
{
    const yaml_parser_t *p = &l->parser;
    const char *what = p->problem ? p->problem : "this is no YAML";
    if (p->error == YAML_MEMORY_ERROR)
        return no_memory(l);
    if (p->error == YAML_READER_ERROR) {
        yaml_mark_t at = cfg_yaml_mark_of_byte(l->text, p->problem_offset);
        return cfg_yaml_fail_at(l, CFG_E_JSON, &at, what);
    }
    if (cfg_yaml_char_at(l->text, p->problem_mark.index) == '\t')
        return cfg_yaml_fail_tab(l, &p->problem_mark);
    (void)cfg_yaml_fail_at(l, CFG_E_JSON, &p->problem_mark, what); /* its code is returned below */
    if (strncmp(what, "mapping values", 14) == 0)                  /* as in ${eval: a * b} and `title: part 1: start` */
        cfg_error_set_hint(l->err, "a value that has ': ' in it needs quotes around all of it");
    return CFG_E_JSON;
}

int cfg_yaml_next(struct cfg_yaml_loader *l, yaml_event_t *event)
{
    return yaml_parser_parse(&l->parser, event) == 1 ? 0 : broken(l);
}

const char *cfg_yaml_tag(const yaml_char_t *tag)
{
    return tag == NULL || strcmp((const char *)tag, "!") == 0 ? NULL : (const char *)tag;
}

/* --- bounded work --- */

static int charge(struct cfg_yaml_loader *l, const yaml_mark_t *at, size_t nodes, size_t bytes)
{
    l->nodes += nodes;
    l->bytes += bytes;
    if (l->nodes > l->max_nodes)
        return cfg_yaml_fail_at(l, CFG_E_LIMIT, at, "too many nodes (aliases count as what they stand for)");
    if (l->bytes > l->max_bytes)
        return cfg_yaml_fail_at(l, CFG_E_LIMIT, at, "too much text (aliases count as what they stand for)");
    return 0;
}

static int check_depth(struct cfg_yaml_loader *l, const yaml_mark_t *at, unsigned depth)
{
    return depth > l->max_depth ? cfg_yaml_fail_at(l, CFG_E_LIMIT, at, "nested too deeply") : 0;
}

/* What a copy of v costs; stops counting where the limit is passed. */
static void measure(const struct cfg_yaml_loader *l, const cJSON *v, size_t *nodes, size_t *bytes, unsigned *height)
{
    unsigned highest = 0;
    (*nodes)++;
    *bytes += (v->valuestring ? strlen(v->valuestring) : 0) + (v->string ? strlen(v->string) : 0);
    const cJSON *child;
    cJSON_ArrayForEach(child, v)
    {
        unsigned h = 0;
        if (*nodes > l->max_nodes)
            return;
        measure(l, child, nodes, bytes, &h);
        highest = h > highest ? h : highest;
    }
    *height = highest + 1;
}

/* --- anchors --- */

/* Keeps a node that is not (or no longer) part of the tree alive until the end: an anchor may point into it. */
int cfg_yaml_bury(struct cfg_yaml_loader *l, cJSON *v)
{
    if (v && cJSON_AddItemToArray(l->graveyard, v))
        return 0;
    cJSON_Delete(v);
    return no_memory(l);
}

static struct cfg_yaml_anchor *find_anchor(struct cfg_yaml_loader *l, const char *name)
{
    for (size_t i = 0; i < l->n_anchors; i++)
        if (strcmp(l->anchors[i].name, name) == 0)
            return &l->anchors[i];
    return NULL;
}

/* Announces an anchor whose node is still to come; *slot is its place, or l->n_anchors unchanged for a NULL name. */
static int open_anchor(struct cfg_yaml_loader *l, const yaml_char_t *name, const yaml_mark_t *at, size_t *slot)
{
    *slot = SIZE_MAX;
    if (name == NULL)
        return 0;
    if (find_anchor(l, (const char *)name))
        return cfg_yaml_fail_at(l, CFG_E_JSON, at, "this anchor is defined twice");
    if (l->n_anchors == MAX_ANCHORS)
        return cfg_yaml_fail_at(l, CFG_E_LIMIT, at, "too many anchors");
    if (l->anchors == NULL && (l->anchors = calloc(MAX_ANCHORS, sizeof *l->anchors)) == NULL)
        return no_memory(l);
    char *copy = strdup((const char *)name);
    if (copy == NULL)
        return no_memory(l);
    *slot = l->n_anchors;
    l->anchors[l->n_anchors++] = (struct cfg_yaml_anchor){.name = copy};
    return 0;
}

static void close_anchor(struct cfg_yaml_loader *l, size_t slot, cJSON *node)
{
    if (slot != SIZE_MAX)
        l->anchors[slot].node = node;
}

static int load_alias(struct cfg_yaml_loader *l, cJSON **out, const yaml_event_t *event, unsigned depth)
{
    const struct cfg_yaml_anchor *a = find_anchor(l, (const char *)event->data.alias.anchor);
    if (a == NULL)
        return cfg_yaml_fail_at(l, CFG_E_JSON, &event->start_mark, "no anchor of this name comes before it");
    if (a->node == NULL)
        return cfg_yaml_fail_at(l, CFG_E_JSON, &event->start_mark, "this alias is part of what it stands for");
    size_t nodes = 0, bytes = 0;
    unsigned height = 0;
    measure(l, a->node, &nodes, &bytes, &height);
    int rc = charge(l, &event->start_mark, nodes, bytes);
    if (rc == 0)
        rc = check_depth(l, &event->start_mark, depth + height - 1);
    if (rc != 0)
        return rc;
    cJSON *copy = cJSON_Duplicate(a->node, true);
    if (copy == NULL)
        return no_memory(l);
    cfg_json_forget_key(copy);
    *out = copy;
    return 0;
}

/* --- scalars --- */

/* The scalar's bytes as the tree holds them. NULL without memory; returned-owned. */
static char *tree_text(const yaml_event_t *event)
{
    const char *value = (const char *)event->data.scalar.value;
    char *text = malloc(2 * event->data.scalar.length + 1), *to = text;
    for (size_t i = 0; text && i < event->data.scalar.length; i++) {
        if (value[i] == '\0')
            *to++ = '\xC0';
        *to++ = value[i] ? value[i] : '\x80';
    }
    if (text)
        *to = '\0';
    return text;
}

/* What tag the scalar has: CFG_YAML_TEXT for quotes and !!str, or what it must turn out to be. *plain: that has to be
 * found out. */
static int expected_kind(struct cfg_yaml_loader *l, const yaml_event_t *event, enum cfg_yaml_kind *kind, bool *plain)
{
    static const struct {
        const char *name;
        enum cfg_yaml_kind kind;
    } tags[] = {{"str", CFG_YAML_TEXT},
                {"int", CFG_YAML_INT},
                {"float", CFG_YAML_FLOAT},
                {"bool", CFG_YAML_BOOL},
                {"null", CFG_YAML_NULL}};
    const char *tag = cfg_yaml_tag(event->data.scalar.tag);
    *kind = CFG_YAML_TEXT;
    *plain = tag == NULL && event->data.scalar.plain_implicit;
    if (tag == NULL)
        return 0;
    bool standard = strncmp(tag, TAG_PREFIX, sizeof TAG_PREFIX - 1) == 0;
    for (size_t i = 0; standard && i < sizeof tags / sizeof tags[0]; i++)
        if (strcmp(tag + sizeof TAG_PREFIX - 1, tags[i].name) == 0) {
            *kind = tags[i].kind;
            return 0;
        }
    return cfg_yaml_fail_at(l, CFG_E_UNSUPPORTED, &event->start_mark, "this tag has no place in JSON");
}

static int make_scalar(struct cfg_yaml_loader *l, cJSON **out, const struct cfg_yaml_reading *r, const char *text,
                       const yaml_mark_t *at)
{
    cJSON *v = NULL;
    switch (r->kind) {
    case CFG_YAML_TEXT:
    case CFG_YAML_DATE:
        v = cJSON_CreateString(text);
        break;
    case CFG_YAML_NULL:
        v = cJSON_CreateNull();
        break;
    case CFG_YAML_BOOL:
        v = cJSON_CreateBool(r->boolean);
        break;
    case CFG_YAML_INT:
        if (r->number > CFG_JSON_MAX_INTEGER || r->number < -CFG_JSON_MAX_INTEGER)
            return cfg_yaml_fail_at(l, CFG_E_JSON, at, "this integer is beyond 2^53-1: quote it, or write a float");
        v = cJSON_CreateNumber(r->number);
        break;
    case CFG_YAML_FLOAT:
        if (!isfinite(r->number))
            return cfg_yaml_fail_at(l, CFG_E_JSON, at, "JSON has no such number: quote it if the text is meant");
        v = cJSON_CreateNumber(r->number);
        break;
    case CFG_YAML_MERGE:
    case CFG_YAML_BROKEN:
        return cfg_yaml_fail_at(l, CFG_E_JSON, at, "readers of YAML 1.1 fail on this: quote it if the text is meant");
    }
    if (v == NULL)
        return no_memory(l);
    *out = v;
    return 0;
}

/* The reading of a scalar, which is reported when readers differ on it. */
static int read_scalar(struct cfg_yaml_loader *l, const yaml_event_t *event, struct cfg_yaml_reading *out)
{
    const struct cfg_slice text = {(const char *)event->data.scalar.value, event->data.scalar.length};
    enum cfg_yaml_kind kind;
    bool plain;
    int rc = expected_kind(l, event, &kind, &plain);
    if (rc == 0)
        rc = charge(l, &event->start_mark, 1, text.len);
    if (rc != 0)
        return rc;
    *out = (struct cfg_yaml_reading){.kind = CFG_YAML_TEXT};
    if (!plain && kind == CFG_YAML_TEXT)
        return 0;
    if (cfg_yaml_scalar_read(out, (enum cfg_yaml_reader)l->dialect, text) != 0)
        return no_memory(l);
    if (plain)
        return cfg_yaml_warn(l, event, out);
    if (kind == CFG_YAML_FLOAT && out->kind == CFG_YAML_INT)
        out->kind = CFG_YAML_FLOAT;
    return out->kind == kind ? 0 : cfg_yaml_fail_at(l, CFG_E_JSON, &event->start_mark, "this is not what its tag says");
}

static int load_scalar(struct cfg_yaml_loader *l, cJSON **out, const yaml_event_t *event)
{
    struct cfg_yaml_reading r;
    size_t slot;
    int rc = open_anchor(l, event->data.scalar.anchor, &event->start_mark, &slot);
    if (rc == 0)
        rc = cfg_yaml_note_span(l, event);
    if (rc == 0)
        rc = read_scalar(l, event, &r);
    if (rc != 0)
        return rc;
    char *text = tree_text(event);
    rc = text ? make_scalar(l, out, &r, text, &event->start_mark) : no_memory(l);
    free(text);
    if (rc == 0)
        close_anchor(l, slot, *out);
    return rc;
}

/* --- collections --- */

static int check_collection(struct cfg_yaml_loader *l, const yaml_char_t *given, const char *want,
                            const yaml_mark_t *at)
{
    const char *tag = cfg_yaml_tag(given);
    if (tag == NULL || strcmp(tag, want) == 0)
        return 0;
    return cfg_yaml_fail_at(l, CFG_E_UNSUPPORTED, at, "this tag has no place in JSON");
}

static int load_items(struct cfg_yaml_loader *l, cJSON *list, unsigned depth)
{
    for (int i = 0;; i++) {
        yaml_event_t event;
        int rc = cfg_yaml_next(l, &event);
        if (rc != 0)
            return rc;
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return 0;
        }
        size_t length = l->path.len;
        cfg_buf_printf(&l->path, "[%d]", i);
        cJSON *item = NULL;
        rc = cfg_yaml_load_node(l, &item, &event, depth + 1);
        yaml_event_delete(&event);
        cfg_yaml_shorten_path(l, length);
        if (rc != 0)
            return rc;
        (void)cJSON_AddItemToArray(list, item); /* both are there: cannot fail */
    }
}

static int load_sequence(struct cfg_yaml_loader *l, cJSON **out, const yaml_event_t *event, unsigned depth)
{
    size_t slot = SIZE_MAX;
    const yaml_mark_t *at = &event->start_mark;
    int rc = check_collection(l, event->data.sequence_start.tag, TAG_PREFIX "seq", at);
    if (rc == 0)
        rc = charge(l, at, 1, 0);
    if (rc == 0)
        rc = open_anchor(l, event->data.sequence_start.anchor, at, &slot);
    cJSON *list = rc == 0 ? cJSON_CreateArray() : NULL;
    if (rc == 0)
        rc = list ? load_items(l, list, depth) : no_memory(l);
    if (rc != 0) {
        cJSON_Delete(list);
        return rc;
    }
    close_anchor(l, slot, list);
    *out = list;
    return 0;
}

static int load_mapping(struct cfg_yaml_loader *l, cJSON **out, const yaml_event_t *event, unsigned depth)
{
    size_t slot = SIZE_MAX;
    const yaml_mark_t *at = &event->start_mark;
    int rc = check_collection(l, event->data.mapping_start.tag, TAG_PREFIX "map", at);
    if (rc == 0)
        rc = charge(l, at, 1, 0);
    if (rc == 0)
        rc = open_anchor(l, event->data.mapping_start.anchor, at, &slot);
    if (rc == 0)
        rc = cfg_yaml_load_members(l, out, depth);
    if (rc == 0)
        close_anchor(l, slot, *out);
    return rc;
}

int cfg_yaml_load_node(struct cfg_yaml_loader *l, cJSON **out, const yaml_event_t *event, unsigned depth)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return load_scalar(l, out, event);
    case YAML_ALIAS_EVENT:
        return load_alias(l, out, event, depth);
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT: {
        int rc = check_depth(l, &event->start_mark, depth);
        if (rc != 0)
            return rc;
        return event->type == YAML_MAPPING_START_EVENT ? load_mapping(l, out, event, depth)
                                                       : load_sequence(l, out, event, depth);
    }
    default:
        return cfg_yaml_fail_at(l, CFG_E_JSON, &event->start_mark, "this is no YAML");
    }
}

void cfg_yaml_shorten_path(struct cfg_yaml_loader *l, size_t length)
{
    if (l->path.data && length <= l->path.len) {
        l->path.len = length;
        l->path.data[length] = '\0';
    }
    l->path.failed = 0; /* a path too long to show is cut */
}

/* --- the document --- */

static int load_stream(struct cfg_yaml_loader *l, cJSON **out)
{
    yaml_event_t event;
    cJSON *root = NULL;
    bool done = false;
    while (!done) {
        int rc = cfg_yaml_next(l, &event);
        if (rc == 0 && root && event.type == YAML_DOCUMENT_START_EVENT) {
            rc = cfg_yaml_fail_at(l, CFG_E_JSON, &event.start_mark, "a second document begins here");
            cfg_error_set_hint(l->err, "one document per file: split it at ---");
        } else if (rc == 0 && event.type != YAML_STREAM_START_EVENT && event.type != YAML_DOCUMENT_START_EVENT &&
                   event.type != YAML_DOCUMENT_END_EVENT && event.type != YAML_STREAM_END_EVENT) {
            rc = cfg_yaml_load_node(l, &root, &event, 1);
        }
        done = rc == 0 && event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event); /* zeroed by a failed parse */
        if (rc != 0) {
            cJSON_Delete(root);
            return rc;
        }
    }
    if (root == NULL && (root = cJSON_CreateNull()) == NULL)
        return no_memory(l);
    *out = root;
    return 0;
}

static int check_text(struct cfg_yaml_loader *l)
{
    const unsigned char *begin = (const unsigned char *)l->text.ptr, *end = begin + l->text.len;
    if (l->text.len > l->max_bytes)
        return cfg_fail(l->err, CFG_E_LIMIT, "the text is longer than %zu bytes", l->max_bytes);
    for (const unsigned char *p = begin; p < end;) {
        size_t n = cfg_utf8_length(p, end);
        if (n == 0) {
            yaml_mark_t at = cfg_yaml_mark_of_byte(l->text, (size_t)(p - begin));
            return cfg_yaml_fail_at(l, CFG_E_JSON, &at, "this is no UTF-8");
        }
        p += n;
    }
    return 0;
}

static int load(struct cfg_yaml_loader *l, cJSON **out)
{
    int rc = check_text(l);
    if (rc != 0)
        return rc;
    l->graveyard = cJSON_CreateArray();
    if (l->graveyard == NULL || !yaml_parser_initialize(&l->parser))
        return no_memory(l);
    yaml_parser_set_encoding(&l->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&l->parser, (const unsigned char *)l->text.ptr, l->text.len);
    cJSON *root = NULL;
    rc = load_stream(l, &root);
    if (rc == 0)
        rc = cfg_yaml_check_tabs(l);
    yaml_parser_delete(&l->parser);
    if (rc == 0)
        *out = root;
    else
        cJSON_Delete(root);
    return rc;
}

int cfg_yaml_parse(cJSON **out, struct cfg_slice text, const struct cfg_yaml_options *options, cJSON *warnings,
                   struct cfg_error *err)
{
    static const struct cfg_yaml_options defaults;
    const struct cfg_yaml_options *o = options ? options : &defaults;
    struct cfg_error local;
    struct cfg_yaml_loader l = {
        .dialect = o->dialect,
        .max_depth = o->max_depth ? o->max_depth : CFG_LIMIT_DEPTH,
        .max_nodes = o->max_nodes ? o->max_nodes : MAX_NODES,
        .max_bytes = o->max_bytes ? o->max_bytes : MAX_BYTES,
        .text = text,
        .warnings = warnings,
        .err = err ? err : &local,
    };
    if (text.len >= 3 && memcmp(text.ptr, "\xEF\xBB\xBF", 3) == 0)
        l.text = (struct cfg_slice){text.ptr + 3, text.len - 3};
    if (l.text.len == 0)
        l.text = CFG_SLICE_LIT("");
    cfg_buf_init(&l.path, 4096);
    int rc = load(&l, out);
    for (size_t i = 0; i < l.n_anchors; i++)
        free(l.anchors[i].name);
    free(l.anchors);
    free(l.spans);
    cJSON_Delete(l.graveyard);
    cfg_buf_finish(&l.path);
    return rc;
}
