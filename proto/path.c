#include "proto/path.h"
#include "proto/utf8.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- names --- */

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
    return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

static bool is_label(struct cfg_slice name)
{
    if (name.len == 0 || name.len > CFG_LIMIT_NAME)
        return false;
    if (!is_lower_alnum(name.ptr[0]) || !is_lower_alnum(name.ptr[name.len - 1]))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!is_lower_alnum(name.ptr[i]) && name.ptr[i] != '-')
            return false;
    return true;
}

/* A label made from what was typed: lower case, a dash for what is not allowed, none at the ends. "" when nothing is
 * left. */
static void nearest_label(char out[CFG_LIMIT_NAME + 1], struct cfg_slice name)
{
    size_t n = 0;
    for (size_t i = 0; i < name.len && n < CFG_LIMIT_NAME; i++) {
        char c = (char)tolower((unsigned char)name.ptr[i]);
        if (is_lower_alnum(c))
            out[n++] = c;
        else if (n > 0 && out[n - 1] != '-')
            out[n++] = '-';
    }
    while (n > 0 && out[n - 1] == '-')
        n--;
    out[n] = '\0';
}

/* Shown in errors: at most 80 bytes, never cut inside a character. */
static int shown(struct cfg_slice s)
{
    size_t n = s.len < 80 ? s.len : 80;
    while (n < s.len && n > 0 && ((unsigned char)s.ptr[n] & 0xC0) == 0x80)
        n--;
    return (int)n;
}

int cfg_check_name(const char *what, struct cfg_slice name, struct cfg_error *err)
{
    if (is_label(name))
        return 0;
    if (name.len > CFG_LIMIT_NAME)
        cfg_fail(err, CFG_E_ADDRESS, "the %s name has %zu bytes; at most %d are allowed", what, name.len,
                 CFG_LIMIT_NAME);
    else
        cfg_fail(err, CFG_E_ADDRESS, "\"%.*s\" is no %s name: lower-case letters, digits and inner dashes only",
                 shown(name), name.ptr ? name.ptr : "", what);
    char near[CFG_LIMIT_NAME + 1];
    nearest_label(near, name);
    if (near[0])
        cfg_error_set_hint(err, "use %s", near);
    cfg_error_set_path(err, "%.*s", shown(name), name.ptr ? name.ptr : "");
    return CFG_E_ADDRESS;
}

int cfg_check_id(const char *what, struct cfg_slice id, struct cfg_error *err)
{
    bool good = id.len > 0 && id.len <= 127 && is_alnum(id.ptr[0]);
    for (size_t i = 0; good && i < id.len; i++)
        good = is_alnum(id.ptr[i]) || (id.ptr[i] && strchr("._:-", id.ptr[i]));
    if (good)
        return 0;
    cfg_fail(err, CFG_E_ADDRESS,
             "\"%.*s\" is no %s id: a letter or digit, then letters, digits and . _ : - only, at most 127 bytes",
             shown(id), id.ptr ? id.ptr : "", what);
    return CFG_E_ADDRESS;
}

int cfg_check_word(const char *what, struct cfg_slice word, struct cfg_error *err)
{
    bool good = word.len > 0 && word.len <= 64;
    for (size_t i = 0; good && i < word.len; i++)
        good = is_alnum(word.ptr[i]) || (word.ptr[i] && strchr("_.:/-", word.ptr[i]));
    if (good)
        return 0;
    return cfg_fail(err, CFG_E_INVALID,
                    "\"%.*s\" is no name of a %s: letters, digits and _ . : / - only, 1 to 64 bytes", shown(word),
                    word.ptr ? word.ptr : "", what);
}

int cfg_check_flag_name(struct cfg_slice name, struct cfg_error *err)
{
    const char *why = NULL;
    if (name.len == 0)
        why = "it is empty";
    else if (name.len > CFG_LIMIT_FLAG_NAME)
        why = "it has more than 255 bytes";
    else if (name.ptr[0] == '$')
        why = "it begins with $, as members of a view that are no flags do";
    for (size_t i = 0; why == NULL && i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        bool ends_segment = i + 1 == name.len || name.ptr[i + 1] == '.';
        size_t n = cfg_utf8_length((const unsigned char *)name.ptr + i, (const unsigned char *)name.ptr + name.len);
        if (c <= ' ' || c == 0x7F)
            why = "it holds white space or a control character";
        else if (strchr("/[]=", c))
            why = "it holds one of / [ ] =";
        else if (c == '.' && (i == 0 || ends_segment))
            why = "a part between its dots is empty";
        else if (n == 0)
            why = "it is not UTF-8";
        else
            i += n - 1;
    }
    if (why == NULL)
        return 0;
    return cfg_fail(err, CFG_E_ADDRESS, "\"%.*s\" is no flag name: %s", shown(name), name.ptr ? name.ptr : "", why);
}

/* --- dotted paths --- */

struct segment {
    bool is_index;
    size_t index;
    struct cfg_slice key;
};

/* Reads the segment at *p (a key at the beginning and behind a dot, an index in brackets elsewhere) and steps over the
 * dot that follows it. NULL, or what is wrong. */
static const char *next_segment(struct segment *out, const char **p, const char *begin, const char *end)
{
    const char *s = *p;
    *out = (struct segment){0};
    if (*s == '[') {
        const char *digits = ++s;
        while (s < end && *s >= '0' && *s <= '9' && s - digits < 9)
            out->index = out->index * 10 + (size_t)(*s++ - '0');
        if (s == digits || s >= end || *s != ']' || (*digits == '0' && s - digits > 1))
            return "an index is written [0], [1], …";
        out->is_index = true;
        s++;
    } else {
        out->key.ptr = s;
        while (s < end && *s != '.' && *s != '[') {
            if (*s == ']' || *s == '/' || *s == '=' || *s == '\0')
                return "a key must not contain / ] or =";
            s++;
        }
        out->key.len = (size_t)(s - out->key.ptr);
        if (out->key.len == 0)
            return *p == begin ? "it begins with a dot" : "a part between its dots is empty";
    }
    if (s < end && *s == '.') {
        if (++s == end)
            return "it ends with a dot";
        if (*s == '[')
            return "no dot belongs before [";
    } else if (s < end && *s != '[') {
        return "a dot belongs behind ]";
    }
    *p = s;
    return NULL;
}

static const char *path_fault(struct cfg_slice path)
{
    if (path.len == 0)
        return "it is empty";
    if (path.len > CFG_LIMIT_PATH)
        return "it has more than 512 bytes";
    if (path.ptr[0] == '[')
        return "it begins with an index";
    const unsigned char *end = (const unsigned char *)path.ptr + path.len;
    for (const unsigned char *u = (const unsigned char *)path.ptr; u < end;) {
        bool nul_spelling = u + 1 < end && u[0] == 0xC0 && u[1] == 0x80; /* U+0000 in a tree's key */
        size_t n = nul_spelling ? 2 : cfg_utf8_length(u, end);
        if (n == 0)
            return "it is not UTF-8";
        u += n;
    }
    struct segment segment;
    for (const char *p = path.ptr; p < path.ptr + path.len;) {
        const char *why = next_segment(&segment, &p, path.ptr, path.ptr + path.len);
        if (why)
            return why;
    }
    return NULL;
}

int cfg_path_check(struct cfg_slice path, struct cfg_error *err)
{
    const char *why = path_fault(path);
    if (why == NULL)
        return 0;
    cfg_fail(err, CFG_E_ADDRESS, "\"%.*s\" is no parameter path: %s", shown(path), path.ptr ? path.ptr : "", why);
    cfg_error_set_path(err, "%.*s", shown(path), path.ptr ? path.ptr : "");
    cfg_error_set_hint(err, "paths look like sampling.temperature or stages[0].size");
    return CFG_E_ADDRESS;
}

static cJSON *child_of(const cJSON *v, const struct segment *segment)
{
    if (segment->is_index)
        return cJSON_IsArray(v) ? cJSON_GetArrayItem(v, (int)segment->index) : NULL;
    if (cJSON_IsObject(v))
        for (cJSON *m = v->child; m; m = m->next)
            if (cfg_slice_eq_str(segment->key, m->string))
                return m;
    return NULL;
}

cJSON *cfg_path_get(const cJSON *doc, const char *path)
{
    struct cfg_slice text = cfg_slice_str(path);
    if (path_fault(text))
        return NULL;
    const char *p = text.ptr, *end = text.ptr + text.len;
    const cJSON *v = doc;
    cJSON *found = NULL;
    while (p < end) {
        struct segment segment;
        (void)next_segment(&segment, &p, text.ptr, end); /* path_fault saw no fault */
        found = child_of(v, &segment);
        if (found == NULL)
            return NULL;
        v = found;
    }
    return found;
}

/* A place in a document: where the walk along a path ended. */
struct place {
    cJSON *parent;          /* the deepest container that exists */
    cJSON *child;           /* what the path names, or NULL when it does not exist */
    struct segment segment; /* the last one that was looked up, in parent */
    const char *rest;       /* what of the path comes behind it */
};

static int blocked(const char *path, const char *at, const char *why, struct cfg_error *err)
{
    size_t n = (size_t)(at - path);
    while (n > 0 && path[n - 1] == '.')
        n--;
    if (n == 0)
        cfg_fail(err, CFG_E_VALUE, "%.120s cannot be set: the document %s", path, why);
    else
        cfg_fail(err, CFG_E_VALUE, "%.120s cannot be reached: %.*s %s", path, shown((struct cfg_slice){path, n}), path,
                 why);
    cfg_error_set_path(err, "%.*s", (int)n, path);
    return CFG_E_VALUE;
}

/* Follows path (already checked) as far as it exists. CFG_E_VALUE when a value of the wrong kind is in the way. */
static int walk(struct place *out, cJSON *doc, const char *path, struct cfg_error *err)
{
    const char *p = path, *end = path + strlen(path);
    cJSON *v = doc;
    for (;;) {
        const char *at = p;
        struct segment segment;
        (void)next_segment(&segment, &p, path, end);
        if (segment.is_index && !cJSON_IsArray(v))
            return blocked(path, at, "is not a list", err);
        if (!segment.is_index && cJSON_IsArray(v))
            return blocked(path, at, "is a list; name an item as [0]", err);
        if (!segment.is_index && !cJSON_IsObject(v))
            return blocked(path, at, "is a single value, not an object", err);
        *out = (struct place){.parent = v, .child = child_of(v, &segment), .segment = segment, .rest = p};
        if (out->child == NULL || p >= end)
            return 0;
        v = out->child;
    }
}

/* Wraps *value into the objects that `rest` names, innermost first. Consumes and clears *value on failure. */
static int wrap(cJSON **value, const char *rest, const char *path, struct cfg_error *err)
{
    const char *end = rest + strlen(rest), *p = rest;
    if (p >= end)
        return 0;
    cJSON *outer = cJSON_CreateObject(), *inner = outer;
    int code = outer ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
    while (code == 0) {
        struct segment segment;
        const char *at = p;
        (void)next_segment(&segment, &p, path, end);
        if (segment.is_index) {
            code = blocked(path, at, "does not exist; set the whole list first", err);
            break;
        }
        char key[CFG_LIMIT_PATH + 1];
        (void)snprintf(key, sizeof key, "%.*s", (int)segment.key.len, segment.key.ptr);
        cJSON *next = p < end ? cJSON_CreateObject() : *value;
        if (p >= end)
            *value = NULL; /* consumed by the next call */
        code = cfg_json_set(inner, key, next);
        if (code)
            cfg_fail(err, code, "out of memory");
        inner = next;
        if (p >= end)
            break;
    }
    if (code) {
        cJSON_Delete(outer);
        cJSON_Delete(*value);
        *value = NULL;
        return code;
    }
    *value = outer;
    return 0;
}

static int put_item(const struct place *place, cJSON *value, const char *path, struct cfg_error *err)
{
    int size = cJSON_GetArraySize(place->parent);
    if (place->child)
        (void)cJSON_ReplaceItemViaPointer(place->parent, place->child, value); /* fails on NULL arguments only */
    else if (place->segment.index == (size_t)size)
        (void)cJSON_AddItemToArray(place->parent, value);
    else {
        cJSON_Delete(value);
        cfg_fail(err, CFG_E_VALUE, "%.120s is beyond the list, which has %d items", path, size);
        cfg_error_set_path(err, "%s", path);
        return CFG_E_VALUE;
    }
    return 0;
}

int cfg_path_set(cJSON *doc, const char *path, cJSON *value, struct cfg_error *err)
{
    struct place place;
    int code = cfg_path_check(cfg_slice_str(path), err);
    if (code == 0)
        code = walk(&place, doc, path, err);
    if (code) {
        cJSON_Delete(value);
        return code;
    }
    code = wrap(&value, place.rest, path, err);
    if (code)
        return code;
    if (place.segment.is_index)
        return put_item(&place, value, path, err);
    char key[CFG_LIMIT_PATH + 1];
    (void)snprintf(key, sizeof key, "%.*s", (int)place.segment.key.len, place.segment.key.ptr);
    code = cfg_json_set(place.parent, key, value);
    return code ? cfg_fail(err, code, "out of memory") : 0;
}

int cfg_path_remove(cJSON *doc, const char *path, struct cfg_error *err)
{
    struct place place;
    int code = cfg_path_check(cfg_slice_str(path), err);
    if (code == 0)
        code = walk(&place, doc, path, err);
    if (code)
        return code;
    if (place.child == NULL) {
        cfg_fail(err, CFG_E_UNKNOWN_KEY, "%.120s does not exist", path);
        cfg_error_set_path(err, "%s", path);
        return CFG_E_UNKNOWN_KEY;
    }
    cJSON_Delete(cJSON_DetachItemViaPointer(place.parent, place.child));
    return 0;
}

/* --- addresses --- */

int cfg_address_parse(struct cfg_address *out, struct cfg_slice text, bool name_optional, struct cfg_error *err)
{
    const char *slash = text.len ? memchr(text.ptr, '/', text.len) : NULL;
    struct cfg_slice ns = {text.ptr, slash ? (size_t)(slash - text.ptr) : text.len};
    struct cfg_slice name = {slash ? slash + 1 : "", slash ? text.len - ns.len - 1 : 0};
    if (!slash && !name_optional) {
        cfg_fail(err, CFG_E_ADDRESS, "\"%.*s\" is no address: it has no slash", shown(text), text.ptr ? text.ptr : "");
        cfg_error_set_hint(err, "an address is NAMESPACE/NAME, such as chat/sampling.temperature");
        return CFG_E_ADDRESS;
    }
    int code = cfg_check_name("namespace", ns, err);
    if (code)
        return code;
    if (slash && name.len > 0 && memchr(name.ptr, '/', name.len)) {
        cfg_fail(err, CFG_E_ADDRESS, "\"%.*s\" has more than one slash", shown(text), text.ptr);
        cfg_error_set_hint(err, "an address is NAMESPACE/NAME; inside NAME parts are separated by dots");
        return CFG_E_ADDRESS;
    }
    if (slash && (code = cfg_path_check(name, err)))
        return code;
    (void)snprintf(out->ns, sizeof out->ns, "%.*s", (int)ns.len, ns.ptr);
    (void)snprintf(out->name, sizeof out->name, "%.*s", (int)name.len, name.ptr);
    return 0;
}
