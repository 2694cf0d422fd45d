// Made by options/generate.py from include/dpo.h.

use super::*;

structs! {
    dpo_loss_options { struct_size, beta, label_smoothing, discopop_tau, f_alpha_divergence_coef, f_divergence, reference_free, loss_types, loss_weights, loss_count }
    dpo_ppo_options { struct_size, cliprange, cliprange_value, vf_coef }
    dpo_model_info { struct_size, parameters, mapped_bytes, vocabulary_size, hidden_size, layers, context_length, eos_token, bos_token, has_chat_template, has_adapter, architecture, format, is_reward_model }
    dpo_dataset_info { struct_size, rows, dropped_rows, truncated_rows, identical_rows, duplicate_rows, contradicting_rows, tokens, longest_row, longer_is_chosen }
    dpo_train_options { struct_size, method, loss_type, loss_weights, loss_weight_count, beta, label_smoothing, f_divergence_type, f_alpha_divergence_coef, discopop_tau, ld_alpha, use_weighting, completion_only_loss, assistant_only_loss, packing, desirable_weight, undesirable_weight, cpo_alpha, simpo_gamma, alpha, unlikelihood_alpha, center_rewards_coefficient, reference_free, precompute_ref_log_probs, sync_ref_model, ref_model_mixup_alpha, ref_model_sync_steps, kl_coef, kl_estimator, kl_target, kl_horizon, max_kl, cliprange, cliprange_value, vf_coef, gamma, lam, whiten_rewards, num_ppo_epochs, num_mini_batches, num_generations, max_completion_length, temperature, missing_eos_penalty, learning_rate, lr_scheduler_type, warmup_steps, weight_decay, adam_beta1, adam_beta2, adam_epsilon, optim, optim_args, optim_state_dtype, max_grad_norm, per_device_train_batch_size, per_device_eval_batch_size, gradient_accumulation_steps, num_train_epochs, max_steps, shuffle, seed, data_seed, max_length, data_cache, truncation_mode, lora_r, lora_alpha, lora_dropout, lora_target_modules, use_rslora, init_lora_weights, disable_dropout, eval_steps, save_steps, save_total_limit, autosave_steps, overwrite_output_dir, gradient_checkpointing, offload, optimizer_in_backward, precision, threads, memory_limit_mb, engine, reproducible_sums, router_aux_loss_coef, use_bias_correction_kl }
    dpo_collectives { struct_size, version, rank, size, name, context, all_gather, all_to_all, last_error, abort, release }
    dpo_metrics { struct_size, step, total_steps, epoch, loss, grad_norm, learning_rate, rewards_chosen, rewards_rejected, rewards_accuracies, rewards_margins, logps_chosen, logps_rejected, logits_chosen, logits_rejected, entropy, mean_token_accuracy, num_tokens, seconds }
    dpo_answers { struct_size, count, prompts, completions, prompt_is_chat, stopped, prompt_ids, prompt_lengths, completion_ids, completion_lengths, rows, is_evaluation, columns }
    dpo_event { struct_size, kind, metrics, text, done, total, metrics_json }
    dpo_generation_options { struct_size, max_new_tokens, temperature, top_k, top_p, min_p, seed, num_return_sequences, add_special_tokens, precision }
    dpo_tokenizer_options { struct_size, vocabulary_size, minimum_frequency, pre_tokenizer, chat_template, bos_token, eos_token, pad_token, special_tokens, special_token_count, overwrite }
    dpo_model_shape { struct_size, family, tokenizer, vocabulary_size, hidden_size, layers, heads, kv_heads, intermediate_size, context_length, tie_word_embeddings, initializer_range, seed, overwrite }
    dpo_export_options { struct_size, adapter, base, dtype, merge, overwrite }
    dpo_feedback_options { struct_size, max_seconds, replay, min_records, retrain, training }
    dpo_feedback_result { struct_size, outcome, new_records, replayed, skipped, steps }
}

constants! {
    DPO_VERSION_MAJOR
    DPO_VERSION_MINOR
    DPO_VERSION_PATCH
    DPO_VERSION_NUMBER
    DPO_ABI_VERSION
    DPO_OK
    DPO_ERROR_INVALID_ARGUMENT
    DPO_ERROR_IO
    DPO_ERROR_FORMAT
    DPO_ERROR_UNSUPPORTED
    DPO_ERROR_MISMATCH
    DPO_ERROR_MEMORY
    DPO_ERROR_NON_FINITE
    DPO_ERROR_CANCELLED
    DPO_ERROR_STATE
    DPO_ERROR_INTERNAL
    DPO_ERROR_DIVERGED
    DPO_LOSS_SIGMOID
    DPO_LOSS_HINGE
    DPO_LOSS_IPO
    DPO_LOSS_EXO_PAIR
    DPO_LOSS_NCA_PAIR
    DPO_LOSS_ROBUST
    DPO_LOSS_BCO_PAIR
    DPO_LOSS_SPPO_HARD
    DPO_LOSS_AOT
    DPO_LOSS_AOT_UNPAIRED
    DPO_LOSS_APO_ZERO
    DPO_LOSS_APO_DOWN
    DPO_LOSS_DISCOPOP
    DPO_LOSS_SFT
    DPO_LOSS_SIGMOID_NORM
    DPO_LOSS_CONSERVATIVE
    DPO_F_REVERSE_KL
    DPO_F_FORWARD_KL
    DPO_F_JS_DIVERGENCE
    DPO_F_ALPHA_DIVERGENCE
    DPO_COLLECTIVES_VERSION
    DPO_EVENT_STEP
    DPO_EVENT_EVALUATION
    DPO_EVENT_CHECKPOINT
    DPO_EVENT_NOTE
    DPO_EVENT_PROGRESS
    DPO_EXPORT_HDF5
    DPO_EXPORT_SAFETENSORS
    DPO_EXPORT_GGUF
    DPO_EXPORT_PEFT
    DPO_EXPORT_GGUF_LORA
    DPO_FEEDBACK_NOTHING_NEW
    DPO_FEEDBACK_WAITING
    DPO_FEEDBACK_FINISHED
    DPO_FEEDBACK_STOPPED
}

functions! {
    dpo_version
    dpo_version_number
    dpo_abi_version
    dpo_last_error
    dpo_status_name
    dpo_handle_last_error
    dpo_handle_set_wait
    dpo_string_free
    dpo_options_create
    dpo_options_set
    dpo_options_set_json
    dpo_options_describe
    dpo_options_struct
    dpo_options_release
    dpo_loss_options_init
    dpo_loss_compute
    dpo_loss_compute_ranked
    dpo_policy_optimum
    dpo_policy_rewards
    dpo_policy_divergence
    dpo_bradley_terry
    dpo_gae
    dpo_ppo_options_init
    dpo_ppo_loss
    dpo_model_open
    dpo_model_load
    dpo_model_set_engine
    dpo_model_release
    dpo_model_cancel
    dpo_model_get_info
    dpo_inspect
    dpo_model_encode
    dpo_model_decode
    dpo_model_apply_chat_template
    dpo_model_score_tokens
    dpo_model_score_texts
    dpo_model_reward_tokens
    dpo_model_reward_texts
    dpo_dataset_open_jsonl
    dpo_dataset_open
    dpo_dataset_from_jsonl
    dpo_dataset_from_pairs
    dpo_dataset_from_tokens
    dpo_dataset_get_info
    dpo_dataset_release
    dpo_train_options_init
    dpo_train_options_describe
    dpo_trainer_create
    dpo_trainer_release
    dpo_communicator_create
    dpo_communicator_open_mpi
    dpo_communicator_ranks
    dpo_communicator_abort
    dpo_communicator_release
    dpo_trainer_create_distributed
    dpo_trainer_plan
    dpo_trainer_last_metrics
    dpo_trainer_set_reward
    dpo_trainer_set_reward_model
    dpo_trainer_set_reward_classifier
    dpo_trainer_step
    dpo_trainer_forward
    dpo_trainer_token_count
    dpo_trainer_token_logps
    dpo_trainer_backward
    dpo_trainer_backward_tokens
    dpo_trainer_apply
    dpo_trainer_parameters
    dpo_trainer_parameter_count
    dpo_trainer_parameter_at
    dpo_trainer_parameter_find
    dpo_trainer_set_reduce
    dpo_trainer_run
    dpo_trainer_cancel
    dpo_trainer_evaluate
    dpo_trainer_evaluate_data
    dpo_trainer_score_data
    dpo_trainer_save
    dpo_trainer_load
    dpo_trainer_save_model
    dpo_generation_options_init
    dpo_model_generate
    dpo_completions_get
    dpo_completions_release
    dpo_classifier_train
    dpo_classifier_open
    dpo_classifier_save
    dpo_classifier_score
    dpo_classifier_release
    dpo_model_evaluate
    dpo_tokenizer_options_init
    dpo_tokenizer_train
    dpo_model_shape_init
    dpo_model_create
    dpo_export_options_init
    dpo_export
    dpo_export_check
    dpo_feedback_open
    dpo_feedback_release
    dpo_feedback_record_thumb
    dpo_feedback_record_choice
    dpo_feedback_record_json
    dpo_feedback_count
    dpo_feedback_status
    dpo_feedback_options_init
    dpo_feedback_training_init
    dpo_feedback_train
    dpo_feedback_cancel
}
