/* Options by name: the struct behind a handle is what the same assignments make of the header's. */
#include "check.h"

#include <stdlib.h>

enum { INVALID = DPO_ERROR_INVALID_ARGUMENT };

#define SAME_AS_INIT(kind, type, init)                                                                                 \
    do {                                                                                                               \
        type expected;                                                                                                 \
        dpo_options *options = NULL;                                                                                   \
        CHECK_STATUS(DPO_OK, init(&expected, sizeof expected));                                                        \
        CHECK_STATUS(DPO_OK, dpo_options_create(kind, &options));                                                      \
        CHECK(memcmp(dpo_options_struct(options), &expected, sizeof expected) == 0);                                   \
        dpo_options_release(options);                                                                                  \
    } while (0)

static void every_kind_begins_at_its_defaults(void) {
    SAME_AS_INIT("training", dpo_train_options, dpo_train_options_init);
    SAME_AS_INIT("feedback_training", dpo_train_options, dpo_feedback_training_init);
    SAME_AS_INIT("generation", dpo_generation_options, dpo_generation_options_init);
    SAME_AS_INIT("tokenizer", dpo_tokenizer_options, dpo_tokenizer_options_init);
    SAME_AS_INIT("shape", dpo_model_shape, dpo_model_shape_init);
    SAME_AS_INIT("export", dpo_export_options, dpo_export_options_init);
    SAME_AS_INIT("loss", dpo_loss_options, dpo_loss_options_init);
    SAME_AS_INIT("ppo", dpo_ppo_options, dpo_ppo_options_init);
    dpo_options *options = NULL;
    CHECK_REFUSED(INVALID, "feedback_training", dpo_options_create("train", &options));
    CHECK_REFUSED(INVALID, "kind is NULL", dpo_options_create(NULL, &options));
    CHECK_REFUSED(INVALID, "options is NULL", dpo_options_create("ppo", NULL));
    CHECK(options == NULL);
}

static void texts_set_what_they_say(void) {
    dpo_options *options = NULL;
    CHECK_STATUS(DPO_OK, dpo_options_create("training", &options));
    CHECK_STATUS(DPO_OK, dpo_options_set(options, "lora_r", "16"));
    CHECK_STATUS(DPO_OK, dpo_options_set(options, "learning_rate", "1e-4"));
    CHECK_STATUS(DPO_OK, dpo_options_set(options, "lora_target_modules", "q_proj, v_proj"));
    CHECK_STATUS(DPO_OK, dpo_options_set(options, "loss_weights", "1,0.5"));
    CHECK_STATUS(DPO_OK, dpo_options_set(options, "shuffle", "false"));
    CHECK_STATUS(DPO_OK, dpo_options_set(options, "max_kl", "none"));
    CHECK_STATUS(DPO_OK, dpo_options_set(options, "method", "kto"));
    const dpo_train_options *set = dpo_options_struct(options);
    CHECK(set->lora_r == 16 && set->learning_rate == 1e-4 && set->shuffle == 0 && isnan(set->max_kl));
    CHECK(strcmp(set->lora_target_modules, "q_proj,v_proj") == 0 && strcmp(set->method, "kto") == 0);
    CHECK(set->loss_weight_count == 2 && set->loss_weights[0] == 1 && set->loss_weights[1] == 0.5);

    CHECK_REFUSED(INVALID, "has no option lora_rank", dpo_options_set(options, "lora_rank", "16"));
    CHECK_REFUSED(INVALID, "whole number", dpo_options_set(options, "lora_r", "sixteen"));
    CHECK_REFUSED(INVALID, "lora_r", dpo_options_set(options, "lora_r", "-1"));
    CHECK_REFUSED(INVALID, "lora_r", dpo_options_set(options, "lora_r", "4294967312"));
    CHECK_REFUSED(INVALID, "more than 0", dpo_options_set(options, "beta", "0"));
    CHECK_REFUSED(INVALID, "finite", dpo_options_set(options, "beta", "inf"));
    CHECK_REFUSED(INVALID, "true or false", dpo_options_set(options, "shuffle", "maybe"));
    CHECK_REFUSED(INVALID, "expected one of", dpo_options_set(options, "method", "dop"));
    CHECK_REFUSED(INVALID, "commas", dpo_options_set(options, "lora_target_modules", "q_proj,,v_proj"));
    CHECK_REFUSED(INVALID, "name is NULL", dpo_options_set(options, NULL, "1"));
    set = dpo_options_struct(options);
    CHECK(set->lora_r == 16 && set->beta == 0.1 && set->shuffle == 0 && strcmp(set->method, "kto") == 0);

    CHECK_STATUS(DPO_OK, dpo_options_set(options, "lora_r", NULL));
    CHECK_STATUS(DPO_OK, dpo_options_set(options, "lora_target_modules", NULL));
    set = dpo_options_struct(options);
    CHECK(set->lora_r == 0 && set->lora_target_modules == NULL && set->learning_rate == 1e-4);
    dpo_options_release(options);

    CHECK_REFUSED(DPO_ERROR_STATE, "released", dpo_options_set(options, "lora_r", "16"));
    dpo_trainer *trainer = NULL;
    CHECK_REFUSED(DPO_ERROR_STATE, "released", dpo_options_describe(options, &(char *){NULL}));
    CHECK(*(const size_t *)dpo_options_struct(options) == 0 && *(const size_t *)dpo_options_struct(NULL) == 0);
    dpo_model *model = NULL;
    dpo_dataset *data = NULL;
    CHECK_STATUS(DPO_OK, dpo_model_open("Tests/Fixtures/models/llama-tied", NULL, 1, &model));
    CHECK_REFUSED(INVALID, "struct_size",
                  dpo_dataset_open_jsonl(model, "Tests/Fixtures/data/pairs.jsonl", dpo_options_struct(options), &data));
    CHECK_STATUS(DPO_OK, dpo_dataset_open_jsonl(model, "Tests/Fixtures/data/pairs.jsonl", NULL, &data));
    CHECK_REFUSED(INVALID, "struct_size",
                  dpo_trainer_create(model, NULL, data, NULL, dpo_options_struct(options), &trainer));
    dpo_dataset_release(data);
    dpo_model_release(model);
}

static void json_is_all_or_nothing(void) {
    dpo_options *options = NULL;
    CHECK_STATUS(DPO_OK, dpo_options_create("training", &options));
    CHECK_STATUS(DPO_OK, dpo_options_set_json(
                             options, "{\"lora_r\": 8, \"lora_target_modules\": [\"q_proj\", \"v_proj\"], "
                                      "\"max_kl\": null, \"beta\": null, \"packing\": true, \"num_train_epochs\": 2}"));
    const dpo_train_options *set = dpo_options_struct(options);
    CHECK(set->lora_r == 8 && strcmp(set->lora_target_modules, "q_proj,v_proj") == 0 && isnan(set->max_kl));
    CHECK(set->beta == 0.1 && set->packing == 1 && set->num_train_epochs == 2);
    CHECK_REFUSED(INVALID, "beta", dpo_options_set_json(options, "{\"lora_r\": 4, \"beta\": \"strong\"}"));
    CHECK_REFUSED(INVALID, "lora_rank", dpo_options_set_json(options, "{\"lora_r\": 4, \"lora_rank\": 4}"));
    CHECK_REFUSED(DPO_ERROR_FORMAT, "object", dpo_options_set_json(options, "[1]"));
    CHECK_STATUS(DPO_ERROR_FORMAT, dpo_options_set_json(options, "{\"lora_r\": 4"));
    CHECK(((const dpo_train_options *)dpo_options_struct(options))->lora_r == 8);

    char *json = NULL;
    CHECK_STATUS(DPO_OK, dpo_options_describe(options, &json));
    CHECK(strstr(json, "\"lora_r\"") && strstr(json, "Rank of a new LoRA adapter"));
    dpo_string_free(json);
    dpo_options_release(options);
}

static void feedback_has_the_options_of_its_runs(void) {
    dpo_options *options = NULL;
    CHECK_STATUS(DPO_OK, dpo_options_create("feedback", &options));
    const dpo_feedback_options *set = dpo_options_struct(options);
    CHECK(set->min_records == 8 && set->training->lora_r == 16);
    CHECK_STATUS(DPO_OK, dpo_options_set(options, "training.lora_r", "4"));
    CHECK_STATUS(DPO_OK,
                 dpo_options_set_json(options, "{\"min_records\": 2, \"training\": {\"learning_rate\": 1e-3}}"));
    set = dpo_options_struct(options);
    CHECK(set->min_records == 2 && set->training->lora_r == 4 && set->training->learning_rate == 1e-3);
    CHECK_REFUSED(INVALID, "no option lora_r", dpo_options_set(options, "lora_r", "4"));
    CHECK_REFUSED(INVALID, "beta", dpo_options_set_json(options, "{\"min_records\": 3, \"training\": {\"beta\": -1}}"));
    CHECK_REFUSED(INVALID, "object", dpo_options_set_json(options, "{\"training\": 3}"));
    CHECK_REFUSED(INVALID, "no option training", dpo_options_set(options, "training", "3"));
    set = dpo_options_struct(options);
    CHECK(set->min_records == 2 && set->training->learning_rate == 1e-3);
    dpo_options_release(options);
}

static void losses_by_name(void) {
    const double chosen[] = {-12.5, -40.1}, rejected[] = {-14.25, -35.6}, none[] = {0, 0};
    const int32_t types[] = {DPO_LOSS_SIGMOID, DPO_LOSS_HINGE};
    const double weights[] = {0.8, 0.2};
    dpo_loss_options by_field;
    dpo_loss_options_init(&by_field, sizeof by_field);
    by_field.beta = 0.3;
    by_field.loss_types = types;
    by_field.loss_weights = weights;
    by_field.loss_count = 2;
    by_field.f_divergence = DPO_F_JS_DIVERGENCE;
    dpo_options *options = NULL;
    CHECK_STATUS(DPO_OK, dpo_options_create("loss", &options));
    CHECK_STATUS(DPO_OK, dpo_options_set_json(
                             options, "{\"loss_types\": [\"sigmoid\", \"hinge\"], \"loss_weights\": [0.8, 0.2], "
                                      "\"f_divergence\": \"js_divergence\", \"beta\": 0.3}"));
    double expected = 0, found = 1;
    CHECK_STATUS(DPO_OK, dpo_loss_compute(&by_field, 2, chosen, rejected, none, none, NULL, NULL, NULL, &expected, NULL,
                                          NULL, NULL, NULL, NULL));
    CHECK_STATUS(DPO_OK, dpo_loss_compute(dpo_options_struct(options), 2, chosen, rejected, none, none, NULL, NULL,
                                          NULL, &found, NULL, NULL, NULL, NULL, NULL));
    CHECK(found == expected && expected > 0);
    CHECK_REFUSED(INVALID, "loss_weights", dpo_options_set(options, "loss_weights", "1"));
    CHECK_REFUSED(INVALID, "unknown", dpo_options_set(options, "loss_types", "sigmod"));
    dpo_options_release(options);
}

int main(void) {
    every_kind_begins_at_its_defaults();
    texts_set_what_they_say();
    json_is_all_or_nothing();
    feedback_has_the_options_of_its_runs();
    losses_by_name();
    return check_summary();
}
