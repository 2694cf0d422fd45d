use crate::classifier::Classifier;
use crate::error::{check, invalid, Result};
use crate::losses::cut;
use crate::native::{
    borrowed_text, c_path, c_text, optional, returned_bytes, returned_text, slice, Callback, Handle, OptionsHandle,
    Texts,
};
use crate::options::{GenerationOptions, TrainOptions};
use libdpo_sys as sys;
use std::ffi::CStr;
use std::mem::{size_of, zeroed};
use std::ops::ControlFlow;
use std::os::raw::{c_char, c_void};
use std::path::{Path, PathBuf};
use std::ptr;
use std::time::Duration;

/// A model, from a GGUF file, a Hugging Face directory or an HDF5 file.
///
/// Calls from several threads are safe. While one computes, others fail with [`Status::State`](crate::Status::State), or
/// wait as [`Model::set_wait`] says; a further `Model` of the same file shares its weights and computes by itself.
pub struct Model(pub(crate) Handle<sys::dpo_model>);

/// How a model is opened.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// An adapter that is put on top: a PEFT directory, libdpo's HDF5 or a GGUF LoRA.
    pub adapter: Option<PathBuf>,
    /// Compute threads; 0: one a core.
    pub threads: i32,
    /// Copy the weights into memory instead of mapping the file: what becomes of the file does not matter then.
    pub copy: bool,
}

/// What a model is.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInfo {
    /// Numbers in the model, tied ones once.
    pub parameters: u64,
    /// Size of the weights as they lie in the file.
    pub mapped_bytes: u64,
    pub vocabulary_size: i32,
    pub hidden_size: i32,
    pub layers: i32,
    /// In tokens.
    pub context_length: i32,
    pub eos_token: Option<i32>,
    pub bos_token: Option<i32>,
    pub has_chat_template: bool,
    pub has_adapter: bool,
    /// "llama", "qwen2", "gpt2", …
    pub architecture: String,
    /// "gguf", "huggingface" or "hdf5".
    pub format: String,
    /// It scores text and has no log-probs.
    pub is_reward_model: bool,
}

/// The log-prob of a completion, and how many tokens it has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    pub logp: f64,
    pub tokens: i32,
}

/// A completion by its tokens; `prompt` is the index of the prompt that it continues.
#[derive(Clone, Copy, Debug)]
pub struct CompletionIds<'a> {
    pub prompt: usize,
    pub ids: &'a [i32],
}

/// Log-probs of completions: of each token, and their sums.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenScores {
    pub tokens: Vec<Vec<f32>>,
    pub sums: Vec<f64>,
}

/// A token as it is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    pub prompt: usize,
    pub completion: usize,
    pub id: i32,
    /// May be empty while a character is incomplete.
    pub text: &'a str,
}

/// Who judges drawn answers in [`Model::evaluate`].
pub enum Judge<'a> {
    /// Its log-odds are the score.
    Classifier(&'a Classifier),
    /// Its reward is the score.
    RewardModel(&'a Model),
}

/// How a model is evaluated.
#[derive(Default)]
pub struct Evaluation<'a> {
    /// What it is compared with; left out: the model without its adapter.
    pub reference: Option<&'a Model>,
    pub options: TrainOptions,
    /// How answers are drawn for the KL, lengths and win rates; left out: none are.
    pub samples: Option<GenerationOptions>,
    pub judge: Option<Judge<'a>>,
}

impl Model {
    /// The model alone, with a thread a core, mapped.
    pub fn open(path: impl AsRef<Path>) -> Result<Model> {
        Model::open_with(path, &OpenOptions::default())
    }

    /// With an adapter, another number of threads, or copied into memory.
    pub fn open_with(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Model> {
        let path = c_path(path.as_ref())?;
        let adapter = options.adapter.as_ref().map(|path| c_path(path)).transpose()?;
        let open = if options.copy { sys::dpo_model_load } else { sys::dpo_model_open };
        Handle::new(sys::dpo_model_release, |out| unsafe {
            open(path.as_ptr(), optional(&adapter), options.threads, out)
        })
        .map(Model)
    }

    /// What the model is.
    pub fn info(&self) -> Result<ModelInfo> {
        let mut info: sys::dpo_model_info = unsafe { zeroed() };
        info.struct_size = size_of::<sys::dpo_model_info>();
        check(unsafe { sys::dpo_model_get_info(self.0.get(), &mut info) })?;
        let token = |id: i32| (id >= 0).then_some(id);
        Ok(ModelInfo {
            parameters: info.parameters,
            mapped_bytes: info.mapped_bytes,
            vocabulary_size: info.vocabulary_size,
            hidden_size: info.hidden_size,
            layers: info.layers,
            context_length: info.context_length,
            eos_token: token(info.eos_token),
            bos_token: token(info.bos_token),
            has_chat_template: info.has_chat_template != 0,
            has_adapter: info.has_adapter != 0,
            architecture: borrowed_text(info.architecture.as_ptr()),
            format: borrowed_text(info.format.as_ptr()),
            is_reward_model: info.is_reward_model != 0,
        })
    }

    /// Computes with another engine: "auto", "avx512", "avx2", "neon", "portable" or "openblas".
    pub fn set_engine(&self, engine: &str) -> Result<()> {
        let engine = c_text(engine, "the engine")?;
        check(unsafe { sys::dpo_model_set_engine(self.0.get(), engine.as_ptr()) })
    }

    /// How long calls wait while another thread's call uses the model, instead of failing; `Duration::MAX`: for ever.
    /// Zero to begin with.
    pub fn set_wait(&self, wait: Duration) -> Result<()> {
        self.0.set_wait(wait)
    }

    /// Ends a running score, reward, generate or evaluate of this model with
    /// [`Status::Cancelled`](crate::Status::Cancelled). Does nothing if none is running.
    pub fn cancel(&self) {
        unsafe { sys::dpo_model_cancel(self.0.get()) }
    }

    /// Token ids of text. `special`: with the special tokens that the tokenizer adds by default.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<i32>> {
        // A token is at least a byte, so that this is usually room enough.
        let mut ids = vec![0; text.len() + 8];
        loop {
            let mut count = 0;
            check(unsafe {
                sys::dpo_model_encode(
                    self.0.get(),
                    text.as_ptr() as *const c_char,
                    text.len(),
                    special as i32,
                    ids.as_mut_ptr(),
                    ids.len(),
                    &mut count,
                )
            })?;
            let fits = count <= ids.len();
            ids.resize(count, 0);
            if fits {
                return Ok(ids);
            }
        }
    }

    /// Text of token ids, special tokens included. Bytes that are no character become U+FFFD.
    pub fn decode(&self, ids: &[i32]) -> Result<String> {
        returned_bytes(|text, size| unsafe { sys::dpo_model_decode(self.0.get(), ids.as_ptr(), ids.len(), text, size) })
    }

    /// The model's chat template over messages, a JSON array of `{"role", "content"}`.
    pub fn apply_chat_template(&self, messages_json: &str, add_generation_prompt: bool) -> Result<String> {
        let messages = c_text(messages_json, "the messages")?;
        returned_bytes(|text, size| unsafe {
            sys::dpo_model_apply_chat_template(
                self.0.get(),
                messages.as_ptr(),
                add_generation_prompt as i32,
                text,
                size,
            )
        })
    }

    /// Log-probs of completions after their prompts, end of sequence included, tokenised as in training.
    pub fn score<P: AsRef<str>, C: AsRef<str>>(&self, pairs: &[(P, C)]) -> Result<Vec<Score>> {
        let (prompts, completions) = texts(pairs)?;
        let (mut sums, mut tokens) = (vec![0.0; pairs.len()], vec![0; pairs.len()]);
        check(unsafe {
            sys::dpo_model_score_texts(
                self.0.get(),
                prompts.get(),
                completions.get(),
                pairs.len(),
                sums.as_mut_ptr(),
                tokens.as_mut_ptr(),
            )
        })?;
        Ok(sums.into_iter().zip(tokens).map(|(logp, tokens)| Score { logp, tokens }).collect())
    }

    /// Log-probs of completions by their tokens; a prompt is computed once for all its completions.
    pub fn score_tokens(&self, prompts: &[&[i32]], completions: &[CompletionIds]) -> Result<TokenScores> {
        let rows = Rows::new(prompts, completions);
        let (mut tokens, mut sums) = (vec![0.0; rows.completion_ids.len()], vec![0.0; completions.len()]);
        check(unsafe {
            sys::dpo_model_score_tokens(
                self.0.get(),
                rows.prompt_ids.as_ptr(),
                rows.prompt_lengths.as_ptr(),
                rows.prompt_lengths.len(),
                rows.completion_ids.as_ptr(),
                rows.completion_lengths.as_ptr(),
                rows.parents.as_ptr(),
                rows.parents.len(),
                tokens.as_mut_ptr(),
                sums.as_mut_ptr(),
            )
        })?;
        Ok(TokenScores { tokens: cut(&tokens, &rows.completion_lengths), sums })
    }

    /// A reward model's scores of completions after their prompts: higher is better.
    pub fn rewards<P: AsRef<str>, C: AsRef<str>>(&self, pairs: &[(P, C)]) -> Result<Vec<f64>> {
        let (prompts, completions) = texts(pairs)?;
        let mut rewards = vec![0.0; pairs.len()];
        check(unsafe {
            sys::dpo_model_reward_texts(
                self.0.get(),
                prompts.get(),
                completions.get(),
                pairs.len(),
                rewards.as_mut_ptr(),
            )
        })?;
        Ok(rewards)
    }

    /// The same by tokens.
    pub fn reward_tokens(&self, prompts: &[&[i32]], completions: &[CompletionIds]) -> Result<Vec<f64>> {
        let rows = Rows::new(prompts, completions);
        let mut rewards = vec![0.0; completions.len()];
        check(unsafe {
            sys::dpo_model_reward_tokens(
                self.0.get(),
                rows.prompt_ids.as_ptr(),
                rows.prompt_lengths.as_ptr(),
                rows.prompt_lengths.len(),
                rows.completion_ids.as_ptr(),
                rows.completion_lengths.as_ptr(),
                rows.parents.as_ptr(),
                rows.parents.len(),
                rewards.as_mut_ptr(),
            )
        })?;
        Ok(rewards)
    }

    /// Completions of prompts.
    pub fn generate<S: AsRef<str>>(&self, prompts: &[S], options: &GenerationOptions) -> Result<Completions> {
        let prompts = Texts::new(prompts, "prompt")?;
        self.draw(&prompts, options, None, ptr::null_mut())
    }

    /// The same with each token as it is drawn; `Break` ends all of it with
    /// [`Status::Cancelled`](crate::Status::Cancelled).
    pub fn generate_with<S: AsRef<str>, F: FnMut(Token) -> ControlFlow<()>>(
        &self,
        prompts: &[S],
        options: &GenerationOptions,
        on_token: F,
    ) -> Result<Completions> {
        unsafe extern "C" fn token<F: FnMut(Token) -> ControlFlow<()>>(
            prompt: usize,
            completion: usize,
            id: i32,
            text: *const c_char,
            user_data: *mut c_void,
        ) -> i32 {
            let text = if text.is_null() { Default::default() } else { CStr::from_ptr(text).to_string_lossy() };
            Callback::<F>::call(user_data, |on_token| on_token(Token { prompt, completion, id, text: &text }))
        }
        let prompts = Texts::new(prompts, "prompt")?;
        let mut callback = Callback::new(on_token);
        let result = self.draw(&prompts, options, Some(token::<F>), callback.user_data());
        callback.resume();
        result
    }

    fn draw(
        &self,
        prompts: &Texts,
        options: &GenerationOptions,
        callback: sys::dpo_token_callback,
        user_data: *mut c_void,
    ) -> Result<Completions> {
        let native = OptionsHandle::new(options)?;
        let handle = Handle::new(sys::dpo_completions_release, |out| unsafe {
            sys::dpo_model_generate(self.0.get(), prompts.get(), prompts.len(), native.get(), callback, user_data, out)
        })?;
        Ok(Completions(handle))
    }

    /// Measures the model on the pairs of a JSON-lines file, as JSON: metrics by TRL's names, their standard errors, and,
    /// with samples, KL, lengths and win rates.
    pub fn evaluate(&self, data: impl AsRef<Path>, evaluation: &Evaluation) -> Result<String> {
        let data = c_path(data.as_ref())?;
        let options = OptionsHandle::new(&evaluation.options)?;
        let samples = evaluation.samples.as_ref().map(OptionsHandle::new).transpose()?;
        let (mut classifier, mut reward_model) = (ptr::null_mut(), ptr::null_mut());
        match evaluation.judge {
            Some(Judge::Classifier(judge)) => classifier = judge.0.get(),
            Some(Judge::RewardModel(judge)) => reward_model = judge.0.get(),
            None => {}
        }
        returned_text(|json| unsafe {
            sys::dpo_model_evaluate(
                self.0.get(),
                evaluation.reference.map_or(ptr::null_mut(), |model| model.0.get()),
                data.as_ptr(),
                options.get(),
                samples.as_ref().map_or(ptr::null(), |samples| samples.get()),
                classifier,
                reward_model,
                json,
            )
        })
    }
}

fn texts<P: AsRef<str>, C: AsRef<str>>(pairs: &[(P, C)]) -> Result<(Texts, Texts)> {
    let prompts = Texts::new(pairs.iter().map(|(prompt, _)| prompt), "prompt")?;
    Ok((prompts, Texts::new(pairs.iter().map(|(_, completion)| completion), "completion")?))
}

/// Lists of ids, one after the other.
struct Rows {
    prompt_ids: Vec<i32>,
    prompt_lengths: Vec<usize>,
    completion_ids: Vec<i32>,
    completion_lengths: Vec<usize>,
    parents: Vec<usize>,
}

impl Rows {
    fn new(prompts: &[&[i32]], completions: &[CompletionIds]) -> Rows {
        Rows {
            prompt_ids: prompts.concat(),
            prompt_lengths: prompts.iter().map(|ids| ids.len()).collect(),
            completion_ids: completions.iter().flat_map(|completion| completion.ids).copied().collect(),
            completion_lengths: completions.iter().map(|completion| completion.ids.len()).collect(),
            parents: completions.iter().map(|completion| completion.prompt).collect(),
        }
    }
}

/// What [`Model::generate`] drew.
pub struct Completions(Handle<sys::dpo_completions>);

/// An answer that was drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Completion<'a> {
    /// Without special tokens.
    pub text: &'a str,
    pub ids: &'a [i32],
    /// It ended by itself, not at the length.
    pub stopped: bool,
}

impl Completions {
    /// Completion `index` of prompt `prompt`.
    pub fn get(&self, prompt: usize, index: usize) -> Result<Completion<'_>> {
        let (mut text, mut ids, mut count, mut stopped) = (ptr::null(), ptr::null(), 0, 0);
        check(unsafe {
            sys::dpo_completions_get(self.0.get(), prompt, index, &mut text, &mut ids, &mut count, &mut stopped)
        })?;
        let text = unsafe { CStr::from_ptr(text) };
        Ok(Completion {
            text: text.to_str().map_err(|_| invalid("the completion is not UTF-8"))?,
            ids: unsafe { slice(ids, count) },
            stopped: stopped != 0,
        })
    }
}
