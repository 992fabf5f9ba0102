/* Build tool: a YAML document as a C array that holds it as JSON.
 *   yaml_to_c IN.yaml OUT.c NAME
 * Plain scalars are read as YAML 1.2's core schema does: null, true, false, numbers, else strings. */
#include "proto/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

static cJSON *scalar(const yaml_node_t *node)
{
    const char *text = (const char *)node->data.scalar.value;
    char *end;
    if (node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return cJSON_CreateString(text);
    if (strcmp(text, "null") == 0 || text[0] == '\0')
        return cJSON_CreateNull();
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return cJSON_CreateBool(text[0] == 't');
    double number = strtod(text, &end);
    return *end == '\0' && strspn(text, "+-.0123456789eE") == strlen(text) ? cJSON_CreateNumber(number)
                                                                           : cJSON_CreateString(text);
}

static cJSON *convert(yaml_document_t *doc, const yaml_node_t *node)
{
    if (node->type == YAML_SCALAR_NODE)
        return scalar(node);
    if (node->type == YAML_SEQUENCE_NODE) {
        cJSON *array = cJSON_CreateArray();
        for (const yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top; i++)
            (void)cJSON_AddItemToArray(array, convert(doc, yaml_document_get_node(doc, *i)));
        return array;
    }
    cJSON *object = cJSON_CreateObject();
    for (const yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
        const char *key = (const char *)yaml_document_get_node(doc, p->key)->data.scalar.value;
        if (cfg_json_get(object, key)) {
            (void)fprintf(stderr, "yaml_to_c: the key %s is there twice\n", key);
            exit(1);
        }
        (void)cJSON_AddItemToObject(object, key, convert(doc, yaml_document_get_node(doc, p->value)));
    }
    return object;
}

static void write_array(FILE *out, const char *name, const struct cfg_buf *text)
{
    (void)fprintf(out, "extern const char %s[];\nextern const unsigned long %s_len;\nconst char %s[] = {", name, name,
                  name);
    for (size_t i = 0; i < text->len; i++)
        (void)fprintf(out, "%s%d,", i % 24 ? "" : "\n", text->data[i]);
    (void)fprintf(out, "0};\nconst unsigned long %s_len = %zu;\n", name, text->len);
}

static cJSON *load(const char *path)
{
    yaml_parser_t parser;
    yaml_document_t doc;
    FILE *in = fopen(path, "r");
    if (in == NULL || !yaml_parser_initialize(&parser))
        return NULL;
    yaml_parser_set_input_file(&parser, in);
    cJSON *tree = NULL;
    if (yaml_parser_load(&parser, &doc)) {
        const yaml_node_t *root = yaml_document_get_root_node(&doc);
        tree = root ? convert(&doc, root) : NULL;
        yaml_document_delete(&doc);
    } else {
        (void)fprintf(stderr, "%s:%zu: %s\n", path, parser.problem_mark.line + 1, parser.problem);
    }
    yaml_parser_delete(&parser);
    (void)fclose(in);
    return tree;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    cJSON *tree = load(argv[1]);
    FILE *out = tree ? fopen(argv[2], "w") : NULL;
    if (out == NULL) {
        cJSON_Delete(tree);
        (void)fprintf(stderr, "yaml_to_c: cannot turn %s into %s\n", argv[1], argv[2]);
        return 1;
    }
    struct cfg_buf text;
    cfg_buf_init(&text, 16 * 1024 * 1024);
    cfg_json_print(&text, tree);
    write_array(out, argv[3], &text);
    cfg_buf_finish(&text);
    cJSON_Delete(tree);
    return fclose(out) == 0 ? 0 : 1;
}
