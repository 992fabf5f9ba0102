/* Expressions: text is refused with a column, or compiles and gives a value that strict JSON can hold or an error. */
#include "proto/expr.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static const char document_text[] =
    "{\"a\":1,\"b\":2.5,\"c\":\"text\",\"d\":[1,[2,\"x\"]],\"e\":{\"f\":true,\"g\":null}}";

static void check_value(const struct cfg_expr_value *v)
{
    if (v->type == CFG_EXPR_NUMBER && (!isfinite(v->number) || (!v->is_float && (v->number != floor(v->number) ||
                                                                                 fabs(v->number) > 9007199254740991))))
        abort();
    if (v->type == CFG_EXPR_LIST)
        for (size_t i = 0; i < v->list.n; i++)
            check_value(&v->list.items[i]);
}

static void evaluate(const struct cfg_expr *e, const cJSON *document)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_expr_names names = cfg_expr_names_of(document);
    struct cfg_arena arena;
    struct cfg_expr_value v;
    struct cfg_buf text;
    cfg_arena_init(&arena, 1 << 20);
    cfg_buf_init(&text, 1 << 22);
    int code = cfg_expr_eval(&v, e, &names, &arena, &err);
    if (code == 0) {
        check_value(&v);
        cfg_expr_show(&text, &v);
    } else if (err.code != code || err.text[0] == '\0') {
        abort();
    }
    cfg_expr_describe(&text, e, &names);
    cfg_buf_finish(&text);
    cfg_arena_finish(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct cfg_slice text = {(const char *)bytes, n};
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_expr *e = NULL;
    cJSON *document = NULL;
    (void)cfg_expr_span_braces(text);
    int code = cfg_expr_compile(&e, text, &err);
    if (code) {
        if (err.code != code || err.text[0] == '\0')
            abort();
        return 0;
    }
    if (cfg_json_parse(&document, CFG_SLICE_LIT(document_text), 0, NULL) == 0)
        evaluate(e, document);
    cJSON_Delete(document);
    cfg_expr_free(e);
    return 0;
}
