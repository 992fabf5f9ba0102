/* \p{…}: ECMA-262's names of Unicode properties as PCRE2 spells them. */
#include "proto/schema_internal.h"

#include <string.h>

/* Long names and aliases of general categories; PCRE2 knows the short ones only. */
static const char *const categories[][2] = {
    {"Letter", "L"},
    {"Cased_Letter", "L&"},
    {"LC", "L&"},
    {"Uppercase_Letter", "Lu"},
    {"Lowercase_Letter", "Ll"},
    {"Titlecase_Letter", "Lt"},
    {"Modifier_Letter", "Lm"},
    {"Other_Letter", "Lo"},
    {"Mark", "M"},
    {"Combining_Mark", "M"},
    {"Nonspacing_Mark", "Mn"},
    {"Spacing_Mark", "Mc"},
    {"Enclosing_Mark", "Me"},
    {"Number", "N"},
    {"Decimal_Number", "Nd"},
    {"digit", "Nd"},
    {"Letter_Number", "Nl"},
    {"Other_Number", "No"},
    {"Punctuation", "P"},
    {"punct", "P"},
    {"Connector_Punctuation", "Pc"},
    {"Dash_Punctuation", "Pd"},
    {"Open_Punctuation", "Ps"},
    {"Close_Punctuation", "Pe"},
    {"Initial_Punctuation", "Pi"},
    {"Final_Punctuation", "Pf"},
    {"Other_Punctuation", "Po"},
    {"Symbol", "S"},
    {"Math_Symbol", "Sm"},
    {"Currency_Symbol", "Sc"},
    {"Modifier_Symbol", "Sk"},
    {"Other_Symbol", "So"},
    {"Separator", "Z"},
    {"Space_Separator", "Zs"},
    {"Line_Separator", "Zl"},
    {"Paragraph_Separator", "Zp"},
    {"Other", "C"},
    {"Control", "Cc"},
    {"cntrl", "Cc"},
    {"Format", "Cf"},
    {"Private_Use", "Co"},
    {"Surrogate", "Cs"},
    {"Unassigned", "Cn"},
};

static const char *category(struct cfg_slice name)
{
    static const char *const same[] = {"L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc", "Me", "N",  "Nd", "Nl",
                                       "No", "P",  "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S",  "Sm", "Sc", "Sk",
                                       "So", "Z",  "Zs", "Zl", "Zp", "C",  "Cc", "Cf", "Co", "Cs", "Cn"};
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
        if (cfg_slice_eq_str(name, same[i]))
            return same[i];
    for (size_t i = 0; i < sizeof categories / sizeof categories[0]; i++)
        if (cfg_slice_eq_str(name, categories[i][0]))
            return categories[i][1];
    return NULL;
}

static bool is_word(struct cfg_slice s)
{
    bool good = s.len > 0 && s.len < 64;
    for (size_t i = 0; good && i < s.len; i++)
        good = (s.ptr[i] >= 'a' && s.ptr[i] <= 'z') || (s.ptr[i] >= 'A' && s.ptr[i] <= 'Z') ||
               (s.ptr[i] >= '0' && s.ptr[i] <= '9') || s.ptr[i] == '_';
    return good;
}

static void put(struct cfg_buf *out, bool negated, const char *before, struct cfg_slice name)
{
    cfg_buf_printf(out, "\\%c{%s", negated ? 'P' : 'p', before);
    cfg_buf_put(out, name.ptr, name.len);
    cfg_buf_putc(out, '}');
}

bool cfg_ecma_property(struct cfg_buf *out, bool negated, struct cfg_slice text)
{
    const char *equals = memchr(text.ptr, '=', text.len);
    struct cfg_slice name = {text.ptr, equals ? (size_t)(equals - text.ptr) : text.len};
    struct cfg_slice value = {equals ? equals + 1 : NULL, equals ? text.len - name.len - 1 : 0};
    if (equals && (cfg_slice_eq_str(name, "General_Category") || cfg_slice_eq_str(name, "gc"))) {
        const char *known = category(value);
        if (known)
            put(out, negated, "", cfg_slice_str(known));
        return known != NULL;
    }
    if (equals) {
        bool script = cfg_slice_eq_str(name, "Script") || cfg_slice_eq_str(name, "sc");
        bool extensions = cfg_slice_eq_str(name, "Script_Extensions") || cfg_slice_eq_str(name, "scx");
        put(out, negated, script ? "sc:" : "scx:", value); /* PCRE2 refuses names that it does not know */
        return (script || extensions) && is_word(value);
    }
    const char *known = category(name);
    if (known)
        put(out, negated, "", cfg_slice_str(known));
    else if (cfg_slice_eq_str(name, "Assigned"))
        put(out, !negated, "", CFG_SLICE_LIT("Cn"));
    else
        put(out, negated, "", name);
    return known || (is_word(name) && name.len > 2) || cfg_slice_eq_str(name, "Any");
}
