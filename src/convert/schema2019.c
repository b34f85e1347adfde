/* SPDX-License-Identifier: Apache-2.0 */
/* Schemas as the 2019 worker wrote them into JSON: members sorted by name, members that are null
 * left out. */
#include "base/json.h"
#include "convert/converters.h"

/* The names of the OpenMessaging connector API, by enum gantry_type. */
static const char *const type_names[] = {
    [GANTRY_TYPE_INT32] = "INT32",
    [GANTRY_TYPE_INT64] = "INT64",
    [GANTRY_TYPE_BIG_INTEGER] = "BIG_INTEGER",
    [GANTRY_TYPE_FLOAT32] = "FLOAT32",
    [GANTRY_TYPE_FLOAT64] = "FLOAT64",
    [GANTRY_TYPE_BOOLEAN] = "BOOLEAN",
    [GANTRY_TYPE_STRING] = "STRING",
    [GANTRY_TYPE_BYTES] = "BYTES",
    [GANTRY_TYPE_ARRAY] = "ARRAY",
    [GANTRY_TYPE_MAP] = "MAP",
    [GANTRY_TYPE_DATETIME] = "DATETIME",
};

enum { TYPE_COUNT = sizeof type_names / sizeof type_names[0], FIELDS_MAX = 10000 };

bool gt_schema2019_is_plain(const struct gantry_schema *schema)
{
    return schema == NULL ||
           (schema->field_count == 1 && (schema->fields[0].type == GANTRY_TYPE_STRING ||
                                         schema->fields[0].type == GANTRY_TYPE_BYTES));
}

int gt_schema2019_add(struct gt_buf *buf, const struct gantry_schema *schema, const char *topic)
{
    static const struct gantry_field bytes_field = {"value", GANTRY_TYPE_BYTES};
    struct gantry_schema bytes_schema = {.struct_size = sizeof bytes_schema,
                                         .name = topic,
                                         .field_count = 1,
                                         .fields = &bytes_field};

    if (schema == NULL)
        schema = &bytes_schema;
    (void)gt_buf_add_char(buf, '{'); /* errors stick; the last call gives them */
    if (schema->data_source != NULL) {
        (void)gt_buf_add_str(buf, "\"dataSource\":");
        (void)gt_json_add_string(buf, gantry_view_of(schema->data_source));
        (void)gt_buf_add_char(buf, ',');
    }
    (void)gt_buf_add_str(buf, "\"fields\":[");
    for (size_t i = 0; i < schema->field_count; i++) {
        (void)gt_buf_addf(buf, "%s{\"index\":%zu,\"name\":", i > 0 ? "," : "", i);
        (void)gt_json_add_string(buf, gantry_view_of(schema->fields[i].name));
        (void)gt_buf_addf(buf, ",\"type\":\"%s\"}", type_names[schema->fields[i].type]);
    }
    (void)gt_buf_add_char(buf, ']');
    if (schema->name != NULL) {
        (void)gt_buf_add_str(buf, ",\"name\":");
        (void)gt_json_add_string(buf, gantry_view_of(schema->name));
    }
    return gt_buf_add_char(buf, '}');
}

/* A text member, copied; NULL when it is absent. 0 or GANTRY_NO_MEMORY. */
static int copy_text(const json_t *object, const char *key, struct gt_arena *arena,
                     const char **ret)
{
    const json_t *member = json_object_get(object, key);
    *ret = NULL;
    if (!json_is_string(member) || strlen(json_string_value(member)) != json_string_length(member))
        return GANTRY_OK; /* names are C strings for us: one with a NUL counts as none */
    *ret = gt_arena_strdup(arena, json_string_value(member));
    return *ret != NULL ? GANTRY_OK : GANTRY_NO_MEMORY;
}

static int parse_field(const json_t *json, size_t count, struct gantry_field *fields,
                       struct gt_arena *arena, struct gantry_err *err)
{
    const json_t *index = json_object_get(json, "index");
    const char *type = json_string_value(json_object_get(json, "type"));
    struct gantry_field field = {NULL, GANTRY_TYPE_STRING};

    if (copy_text(json, "name", arena, &field.name) != 0)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "cannot read a schema: out of memory");
    if (!json_is_integer(index) || json_integer_value(index) < 0 ||
        (size_t)json_integer_value(index) >= count ||
        fields[json_integer_value(index)].name != NULL)
        return gantry_err_set(err, GANTRY_INVALID,
                              "field '%s' of the schema has no index of its own between 0 and %zu",
                              field.name != NULL ? field.name : "", count - 1);
    if (field.name == NULL)
        return gantry_err_set(err, GANTRY_INVALID, "field %lld of the schema has no name",
                              (long long)json_integer_value(index));
    size_t i = 0;
    while (i < TYPE_COUNT && (type == NULL || strcmp(type_names[i], type) != 0))
        i++;
    if (i == TYPE_COUNT)
        return gantry_err_set(err, GANTRY_INVALID,
                              "field '%s' of the schema has the unknown type '%s'", field.name,
                              type != NULL ? type : "");
    field.type = (enum gantry_type)i;
    fields[json_integer_value(index)] = field;
    return GANTRY_OK;
}

int gt_schema2019_parse(const json_t *json, struct gt_arena *arena,
                        const struct gantry_schema **ret, struct gantry_err *err)
{
    const json_t *list = json_object_get(json, "fields");
    size_t count = json_array_size(list);

    if (!json_is_array(list) || count > FIELDS_MAX)
        return gantry_err_set(err, GANTRY_INVALID,
                              "the entry has no schema with a list of at most %d fields",
                              FIELDS_MAX);
    struct gantry_schema *schema = gt_arena_alloc(arena, sizeof *schema);
    struct gantry_field *fields = gt_arena_alloc(arena, count * sizeof *fields);
    if (schema == NULL || fields == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "cannot read a schema: out of memory");
    if (count > 0)
        memset(fields, 0, count * sizeof *fields);
    for (size_t i = 0; i < count; i++) {
        int rc = parse_field(json_array_get(list, i), count, fields, arena, err);
        if (rc != 0)
            return rc;
    }
    *schema = (struct gantry_schema){
        .struct_size = sizeof *schema, .field_count = count, .fields = fields};
    if (copy_text(json, "name", arena, &schema->name) != 0 ||
        copy_text(json, "dataSource", arena, &schema->data_source) != 0)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "cannot read a schema: out of memory");
    *ret = schema;
    return GANTRY_OK;
}
