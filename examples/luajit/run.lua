-- A training without a binding: only the functions that it calls, and options by name.
--
--     luajit run.lua MODEL PAIRS.jsonl DIRECTORY
local ffi = require "ffi"
ffi.cdef [[
int32_t dpo_model_open(const char *path, const char *adapter, int32_t threads, void **model);
int32_t dpo_dataset_open_jsonl(const void *model, const char *path, const void *options, void **dataset);
int32_t dpo_trainer_create(void *model, void *reference, void *data, void *evaluation, const void *options, void **trainer);
int32_t dpo_trainer_run(void *trainer, const char *directory, const char *resume, void *callback, void *user_data);
int32_t dpo_trainer_last_metrics(void *trainer, char **json);
int32_t dpo_options_create(const char *kind, void **options);
int32_t dpo_options_set_json(void *options, const char *json);
const void *dpo_options_struct(void *options);
const char *dpo_last_error(void);
void dpo_string_free(char *text);
void dpo_model_release(void *), dpo_dataset_release(void *), dpo_trainer_release(void *), dpo_options_release(void *);
]]
local dpo = ffi.load "libdpo.so.0"
local out, text = ffi.new "void *[1]", ffi.new "char *[1]"

local function check(status)
  if status ~= 0 then error(ffi.string(dpo.dpo_last_error()), 0) end
end
local function handle(status, release) -- the collector releases it, in whatever order
  check(status)
  return ffi.gc(out[0], release)
end

local options = handle(dpo.dpo_options_create("training", out), dpo.dpo_options_release)
check(dpo.dpo_options_set_json(options, '{"lora_r": 8, "lora_target_modules": "all-linear", "learning_rate": 1e-3, "max_steps": 6}'))
local struct = dpo.dpo_options_struct(options)
local model = handle(dpo.dpo_model_open(arg[1], nil, 0, out), dpo.dpo_model_release)
local pairs = handle(dpo.dpo_dataset_open_jsonl(model, arg[2], struct, out), dpo.dpo_dataset_release)
local trainer = handle(dpo.dpo_trainer_create(model, nil, pairs, nil, struct, out), dpo.dpo_trainer_release)
check(dpo.dpo_trainer_run(trainer, arg[3], nil, nil, nil))
check(dpo.dpo_trainer_last_metrics(trainer, text))
local loss = tonumber(ffi.string(text[0]):match '"loss": ?([%d.e-]+)')
dpo.dpo_string_free(text[0])
print(("The last step's loss is %.4f; %s has the adapter and report.html."):format(loss, arg[3]))
assert(loss < math.log(2), "nothing was learned")
