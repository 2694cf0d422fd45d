//! The binding against numbers of TRL and transformers (Tests/Fixtures/golden), closed forms, and what must not happen to a
//! Rust program. `LIBDPO_FIXTURES` is Tests/Fixtures.

use libdpo::*;
use std::ops::ControlFlow;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;
use std::{env, fs, thread};

fn fixture(name: &str) -> PathBuf {
    Path::new(&env::var("LIBDPO_FIXTURES").expect("LIBDPO_FIXTURES is the folder Tests/Fixtures")).join(name)
}

fn model() -> Model {
    Model::open(fixture("models/qwen2")).unwrap()
}

/// A folder that is empty, and goes when this does.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = env::temp_dir().join(format!("libdpo-rust-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn lora() -> TrainOptions {
    TrainOptions {
        lora_r: Some(4),
        learning_rate: Some(1e-3),
        per_device_train_batch_size: Some(4),
        max_steps: Some(4),
        ..Default::default()
    }
}

fn trainer(options: &TrainOptions) -> Trainer {
    let model = model();
    let dataset = Dataset::open(&model, fixture("data/pairs.jsonl"), options).unwrap();
    Trainer::new(&model, None, &dataset, None, options).unwrap()
}

fn near(left: f64, right: f64, within: f64) {
    assert!((left - right).abs() <= within, "{left} is not near to {right}");
}

/// The first list of numbers under a key of a JSON text.
fn numbers(json: &str, key: &str) -> Vec<f64> {
    let start = json.find(&format!("\"{key}\":[")).unwrap() + key.len() + 4;
    let list = &json[start..start + json[start..].find(']').unwrap()];
    list.split(',').map(|number| number.trim().parse().unwrap()).collect()
}

// ------------------------------------------------------------------------------------------------------------ numbers

#[test]
fn scores_are_those_of_transformers() {
    let golden = fs::read_to_string(fixture("golden/models/qwen2.json")).unwrap();
    let text = "The harbour was quiet in the early morning.";
    assert!(golden.contains(text));
    let ids: Vec<i32> = numbers(&golden, "ids").iter().map(|id| *id as i32).collect();
    let expected = numbers(&golden, "logps");
    let model = model();
    assert_eq!(model.encode(text, true).unwrap(), ids);
    assert_eq!(model.decode(&ids).unwrap(), text);
    let scores = model.score_tokens(&[&ids[..1]], &[CompletionIds { prompt: 0, ids: &ids[1..] }]).unwrap();
    assert_eq!(scores.tokens[0].len(), expected.len());
    for (logp, golden) in scores.tokens[0].iter().zip(&expected) {
        near(*logp as f64, *golden, 1e-3);
    }
    near(scores.sums[0], expected.iter().sum(), 1e-3);
}

#[test]
fn every_text_finds_its_completion() {
    // Several prompts, of which one has two completions: sums do not depend on how they are put together.
    let model = model();
    let prompts: Vec<Vec<i32>> =
        vec![model.encode("We found", true).unwrap(), model.encode("She said:", true).unwrap()];
    let completions = [vec![5, 6, 7], vec![8], vec![9, 10]];
    let together = model
        .score_tokens(
            &[&prompts[0], &prompts[1]],
            &[
                CompletionIds { prompt: 1, ids: &completions[0] },
                CompletionIds { prompt: 0, ids: &completions[1] },
                CompletionIds { prompt: 1, ids: &completions[2] },
            ],
        )
        .unwrap();
    for (index, prompt) in [1, 0, 1].into_iter().enumerate() {
        let alone =
            model.score_tokens(&[&prompts[prompt]], &[CompletionIds { prompt: 0, ids: &completions[index] }]).unwrap();
        near(together.sums[index], alone.sums[0], 1e-4);
        assert_eq!(together.tokens[index].len(), completions[index].len());
    }
}

#[test]
fn closed_forms() {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let options = LossOptions { beta: 0.5, ..Default::default() };
    let pair = Pairs {
        policy_chosen: &[-3.0],
        policy_rejected: &[-5.0],
        reference_chosen: Some(&[-4.0]),
        reference_rejected: Some(&[-4.5]),
        ..Default::default()
    };
    let result = loss(&options, &pair).unwrap();
    near(result.loss, -sigmoid(0.5 * 1.5).ln(), 1e-12);
    near(result.gradient_chosen[0], -0.5 * sigmoid(-0.75), 1e-12);
    near(result.reward_rejected[0], -0.25, 1e-12);
    let ranking = Ranking { ranks: &[1.0, 2.0], policy: &[-3.0, -5.0], reference: &[-4.0, -4.5], weight: 1.0 };
    let ranked = ranked_loss(0.5, &[ranking, ranking]).unwrap();
    near(ranked.loss, result.loss, 1e-12);
    near(ranked.gradients[1][0], result.gradient_chosen[0] / 2.0, 1e-12);

    let (reference, rewards) = ([0.25_f64.ln(), 0.75_f64.ln()], [1.0, 0.0]);
    let (policy, normalizer) = policy_optimum(&options, &reference, &rewards).unwrap();
    let z: f64 = 0.25 * (1.0_f64 / 0.5).exp() + 0.75;
    near(normalizer, 0.5 * z.ln(), 1e-9);
    near(policy[0], (0.25 * 2.0_f64.exp() / z).ln(), 1e-9);
    let back = policy_rewards(&options, &policy, &reference).unwrap();
    near(back[0] - back[1], 1.0, 1e-9);
    let kl: f64 = (0..2).map(|i| policy[i].exp() * (policy[i] - reference[i])).sum();
    near(policy_divergence(&options, &policy, &reference).unwrap(), kl, 1e-9);
    near(bradley_terry(&[1.0], &[0.0]).unwrap()[0], sigmoid(1.0), 1e-12);

    // delta_2 = 2 - 0.5, delta_1 = 0 + 0.5 - 1; two completions.
    let (advantages, returns) = gae(&[0.0, 2.0, 1.0], &[1.0, 0.5, 0.0], &[2, 1], 1.0, 0.5).unwrap();
    assert_eq!(advantages, [-0.5 + 0.5 * 1.5, 1.5, 1.0]);
    assert_eq!(returns, [1.25, 2.0, 1.0]);
    let ppo = ppo_loss(&PpoOptions::default(), &[-1.0], &[-1.0], &[2.0], None).unwrap();
    near(ppo.loss, -2.0, 1e-6);
    near(ppo.gradient_logps[0], -2.0, 1e-6);
    let values = Values { values: &[1.0], old_values: &[1.0], returns: &[3.0] };
    let ppo = ppo_loss(&PpoOptions::default(), &[-1.0], &[-1.0], &[2.0], Some(values)).unwrap();
    near(ppo.loss, -2.0 + 0.1 / 2.0 * 4.0, 1e-6);
    near(ppo.gradient_values[0], 0.1 * -2.0, 1e-6);
}

#[test]
fn ones_own_loss_steps_as_the_built_in_one() {
    let options = TrainOptions { shuffle: Some(false), ..lora() };
    let (mut whole, mut parts) = (trainer(&options), trainer(&options));
    let metrics = whole.step().unwrap();
    let logps = parts.forward(&[0, 1, 2, 3]).unwrap();
    let result = loss(
        &LossOptions::default(),
        &Pairs {
            policy_chosen: &logps.policy_chosen,
            policy_rejected: &logps.policy_rejected,
            reference_chosen: Some(&logps.reference_chosen),
            reference_rejected: Some(&logps.reference_rejected),
            ..Default::default()
        },
    )
    .unwrap();
    near(result.loss, metrics.loss, 1e-6);
    parts.backward(&result.gradient_chosen, &result.gradient_rejected).unwrap();
    let applied = parts.apply().unwrap();
    near(applied.grad_norm, metrics.grad_norm, 1e-4 * metrics.grad_norm);
    let list = parts.parameter_list().unwrap();
    let (ours, theirs) = (parts.parameters().unwrap().0.to_vec(), whole.parameters().unwrap().0.to_vec());
    assert_eq!(list.iter().map(|parameter| parameter.size).sum::<usize>(), ours.len());
    assert!(list.iter().all(|each| each.shape.iter().product::<i64>() as usize == each.size));
    assert!(ours.iter().zip(&theirs).all(|(left, right)| (left - right).abs() < 1e-5));
}

// ------------------------------------------------------------------------------------------------------------- errors

#[test]
fn errors_have_a_status_and_a_sentence() {
    let error = Model::open("/nowhere/model.gguf").err().unwrap();
    assert_eq!(error.status, Status::Io);
    assert!(error.message.contains("/nowhere/model.gguf"), "{error}");
    let error = Model::open(fixture("data/pairs.jsonl")).err().unwrap();
    assert!(matches!(error.status, Status::Format | Status::Unsupported), "{error:?}");
    let error = model().score(&[("a\0b", "c")]).err().unwrap();
    assert_eq!(
        (error.status, &error.message[..]),
        (Status::InvalidArgument, "prompt 0 holds a NUL character at byte 1")
    );
    let error = loss(&LossOptions::default(), &Pairs { policy_chosen: &[1.0], ..Default::default() }).err().unwrap();
    assert_eq!(error.message, "policy_rejected has 0 numbers, expected 1");
    let error = model().rewards(&[("a", "b")]).err().unwrap();
    assert_eq!(error.status, Status::Unsupported);
}

#[test]
fn options_are_checked_by_the_table() {
    let refused = |options: TrainOptions| {
        let model = model();
        let error = Dataset::open(&model, fixture("data/pairs.jsonl"), &options).err().unwrap();
        assert_eq!(error.status, Status::InvalidArgument, "{error}");
        error.message
    };
    let message = refused(TrainOptions { beta: Some(-1.0), ..lora() });
    assert!(message.contains("beta"), "{message}");
    let message = refused(TrainOptions { method: Some("\"dop\"\n".into()), ..lora() });
    assert!(message.contains("method") && message.contains("dop"), "{message}");
    assert!(Dataset::open(
        &model(),
        fixture("data/pairs.jsonl"),
        &TrainOptions { learning_rate: Some(f64::INFINITY), ..lora() }
    )
    .is_err());
}

#[test]
fn options_arrive_as_they_were_set() {
    let options = TrainOptions {
        loss_type: Some(vec!["sigmoid".into(), "sft".into()]),
        loss_weights: Some(vec![1.0, 0.25]),
        beta: Some(0.3),
        seed: Some(4294967295),
        data_seed: Some(7),
        max_length: Some(0), // all of them
        lora_target_modules: Some(vec!["q_proj".into(), "v_proj".into()]),
        lora_alpha: Some(1.5e-3),
        gradient_checkpointing: Some(true),
        disable_dropout: Some(false),
        ..lora()
    };
    let plan = trainer(&options).plan().unwrap();
    let has =
        |text: &str| assert!(plan.replace(": ", ":").replace(", ", ",").contains(text), "{text} is not in {plan}");
    has("\"loss_type\":[\"sigmoid\",\"sft\"]");
    has("\"loss_weights\":[1.0,0.25]");
    has("\"beta\":0.3");
    has("\"seed\":4294967295");
    has("\"data_seed\":7");
    has("\"max_length\":null");
    has("\"lora_target_modules\":[\"q_proj\",\"v_proj\"]");
    has("\"lora_alpha\":0.0015");
    has("\"gradient_checkpointing\":true");
    has("\"disable_dropout\":false");
    // NaN unsets what has a default.
    for (max_kl, expected) in [(None, "\"max_kl\":200"), (Some(f64::NAN), "\"max_kl\":null")] {
        let plan = trainer(&TrainOptions { method: Some("rloo".into()), max_kl, ..lora() }).plan().unwrap();
        assert!(plan.replace(": ", ":").contains(expected), "{expected} is not in {plan}");
    }
}

#[test]
fn texts_in_options_may_hold_anything() {
    let scratch = Scratch::new("tokenizer");
    let template = "{% for m in messages %}\"\\\u{1}ä{{ m.content }}\"\n{% endfor %}";
    let options = TokenizerOptions {
        vocabulary_size: Some(300),
        chat_template: Some(template.into()),
        special_tokens: Some(vec!["<a,b>".into(), "<\"c\">".into()]),
        ..Default::default()
    };
    let tokenizer = scratch.0.join("tokenizer");
    train_tokenizer(&[fixture("data/text.jsonl")], &tokenizer, &options).unwrap();
    let shape = ModelShape {
        tokenizer: Some(tokenizer.to_str().unwrap().into()),
        hidden_size: Some(32),
        layers: Some(1),
        heads: Some(2),
        ..Default::default()
    };
    let path = scratch.0.join("model");
    create_model(&shape, &path).unwrap();
    let model = Model::open(&path).unwrap();
    assert_eq!(model.info().unwrap().hidden_size, 32);
    let text = model.apply_chat_template(r#"[{"role": "user", "content": "x"}]"#, false).unwrap();
    assert_eq!(text, "\"\\\u{1}äx\"\n");
    assert_eq!(model.encode("<a,b><\"c\">", false).unwrap().len(), 2);
    assert!(inspect(&path).unwrap().contains("\"tensors\""));
}

// ---------------------------------------------------------------------------------------------- callbacks and threads

#[test]
fn a_panic_of_a_callback_goes_on_after_the_call() {
    let scratch = Scratch::new("panic");
    let mut trainer = trainer(&lora());
    let directory = scratch.0.join("run");
    let caught = catch_unwind(AssertUnwindSafe(|| {
        trainer.run(&directory, Resume::Never, |event| match event {
            Event::Step { .. } => panic!("the host's own"),
            _ => ControlFlow::Continue(()),
        })
    }));
    assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"the host's own"));
    // It was stopped cleanly: the run goes on.
    let mut steps = Vec::new();
    trainer
        .run(&directory, Resume::Last, |event| {
            if let Event::Step { metrics, .. } = event {
                steps.push(metrics.step);
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(steps, [2, 3, 4]);
    assert!(directory.join("final.h5").exists() && directory.join("report.html").exists());
}

#[test]
fn a_run_stops_when_another_thread_says_so() {
    let scratch = Scratch::new("cancel");
    let mut trainer = trainer(&TrainOptions { max_steps: Some(100_000), ..lora() });
    let canceller = trainer.canceller();
    let (started, was_started) = std::sync::mpsc::channel();
    let stopping = thread::spawn(move || {
        was_started.recv().unwrap();
        canceller.cancel();
    });
    let result = trainer.run(scratch.0.join("run"), Resume::Never, |_| {
        let _ = started.send(());
        ControlFlow::Continue(())
    });
    stopping.join().unwrap();
    assert_eq!(result.err().unwrap().status, Status::Cancelled);
}

#[test]
fn drawing_ends_where_the_callback_says() {
    let model = model();
    let options = GenerationOptions { max_new_tokens: Some(50), num_return_sequences: Some(8), ..Default::default() };
    let mut count = 0;
    let result = model.generate_with(&["We found"], &options, |_| {
        count += 1;
        if count == 3 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert_eq!((result.err().unwrap().status, count), (Status::Cancelled, 3));
    let drawn = model.generate(&["We found", "She said"], &options).unwrap();
    assert!(drawn.get(1, 1).unwrap().ids.len() <= 50);
    assert_eq!(drawn.get(2, 0).err().unwrap().status, Status::InvalidArgument);
}

#[test]
fn rewards_come_from_a_closure() {
    let options = TrainOptions { method: Some("rloo".into()), max_completion_length: Some(4), ..lora() };
    let model = model();
    let dataset = Dataset::open(&model, fixture("data/pairs.jsonl"), &options).unwrap();
    let mut trainer = Trainer::new(&model, None, &dataset, None, &options).unwrap();
    let (seen, counter) = (std::sync::Arc::new(AtomicUsize::new(0)), std::sync::Arc::new(AtomicUsize::new(0)));
    let (inside, calls) = (seen.clone(), counter.clone());
    trainer
        .set_reward(move |answers, rewards| {
            assert!(calls.fetch_add(1, Ordering::SeqCst) != 1, "the judge fell asleep");
            for (answer, reward) in answers.iter().zip(rewards) {
                assert!(!answer.prompt.is_empty() && (1..=4).contains(&answer.completion_ids.len()));
                *reward = answer.completion.len() as f64;
            }
            inside.fetch_add(answers.len(), Ordering::SeqCst);
            ControlFlow::Continue(())
        })
        .unwrap();
    drop((model, dataset));
    trainer.step().unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 4); // a batch: two prompts, two answers each
    let panic = catch_unwind(AssertUnwindSafe(|| trainer.step())).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"the judge fell asleep"));
    trainer.step().unwrap();
    trainer.set_reward(|_, _| ControlFlow::Break(())).unwrap();
    assert_eq!(trainer.step().err().unwrap().status, Status::Cancelled);
}

#[test]
fn gradients_pass_through_reduce() {
    let mut trainer = trainer(&lora());
    let before = trainer.parameters().unwrap().0.to_vec();
    trainer
        .set_reduce(|gradients| {
            gradients.fill(0.0);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(trainer.step().unwrap().grad_norm, 0.0);
    assert_eq!(trainer.parameters().unwrap().0, before);
}

#[test]
fn threads_wait_for_a_model_where_they_are_told_to() {
    let model = model();
    let pair = [("The harbour was", " quiet in the early morning.")];
    let expected = model.score(&pair).unwrap()[0];
    model.set_wait(Duration::MAX).unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(model.score(&pair).unwrap()[0], expected);
                }
            });
        }
    });
    // From inside its own callback it never waits.
    let mut inside = None;
    model.set_wait(Duration::ZERO).unwrap();
    model
        .generate_with(&["We"], &GenerationOptions { max_new_tokens: Some(1), ..Default::default() }, |_| {
            inside = model.score(&pair).err();
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(inside.unwrap().status, Status::State);
}

#[test]
fn handles_cross_threads() {
    fn send<T: Send>() -> bool {
        true
    }
    fn sync<T: Sync>() -> bool {
        true
    }
    assert!(send::<Model>() && sync::<Model>() && send::<Trainer>() && send::<Canceller>() && sync::<Canceller>());
    assert!(send::<Communicator>() && sync::<Communicator>());
    assert!(send::<Feedback>() && sync::<Feedback>() && send::<Dataset>() && sync::<Dataset>());
    assert!(send::<Classifier>() && sync::<Classifier>() && send::<Completions>() && sync::<Completions>());
    assert!(send::<Error>() && sync::<Error>());
}

// ------------------------------------------------------------------------------------------------------------- around

#[test]
fn a_classifier_tells_texts_apart() {
    let scratch = Scratch::new("classifier");
    let texts: Vec<(String, bool)> = (0..40)
        .map(|i| (format!("{} number {i}", if i % 2 == 0 { "lovely" } else { "dreadful" }), i % 2 == 0))
        .collect();
    let classifier = Classifier::train(&texts, 3.0, 5).unwrap();
    classifier.save(scratch.0.join("judge.json")).unwrap();
    let scores =
        Classifier::open(scratch.0.join("judge.json")).unwrap().score(&["a lovely day", "a dreadful day"]).unwrap();
    assert!(scores[0] > 0.0 && scores[1] < 0.0, "{scores:?}");
    assert_eq!(scores, classifier.score(&["a lovely day", "a dreadful day"]).unwrap());
}

#[test]
fn evaluation_and_files() {
    let scratch = Scratch::new("evaluation");
    let model = model();
    let options = lora();
    let path = fixture("data/pairs.jsonl");
    let dataset = Dataset::open(&model, &path, &options).unwrap();
    let rows = fs::read_to_string(&path).unwrap();
    assert_eq!(dataset.info().unwrap().rows as usize, rows.lines().count());
    assert_eq!(Dataset::from_jsonl(&model, &rows, &options).unwrap().info().unwrap(), dataset.info().unwrap());
    let pair = Pair { prompt: "We found", chosen: " a boat.", rejected: " nothing." };
    assert_eq!(Dataset::from_pairs(&model, &[pair, pair], &options).unwrap().info().unwrap().duplicate_rows, 1);
    let ids = PairIds { prompt: &[1, 2], chosen: &[3, 4, 5], rejected: &[6] };
    assert_eq!(Dataset::from_tokens(&[ids], &options).unwrap().info().unwrap().longest_row, 5);

    let mut trainer = Trainer::new(&model, None, &dataset, Some(&dataset), &options).unwrap();
    trainer.step().unwrap();
    let checkpoint = scratch.0.join("checkpoint.h5");
    trainer.save(&checkpoint).unwrap();
    let after = trainer.step().unwrap();
    trainer.load(&checkpoint).unwrap();
    let again = trainer.step().unwrap();
    assert_eq!((again.step, again.loss.to_bits()), (after.step, after.loss.to_bits()));
    let adapter = scratch.0.join("adapter.h5");
    trainer.save_model(&adapter).unwrap();
    let margin = trainer.evaluate().unwrap().rewards_margins;
    assert!(trainer.last_metrics().unwrap().contains("eval_rewards/margins"));

    let tuned = OpenOptions { adapter: Some(adapter.clone()), ..Default::default() };
    let tuned = Model::open_with(fixture("models/qwen2"), &tuned).unwrap();
    let json = tuned.evaluate(&path, &Evaluation::default()).unwrap();
    let start = json.find("rewards/margins").unwrap();
    let value = json[start..].split(':').nth(1).unwrap().split([',', '}']).next().unwrap().trim();
    near(value.parse().unwrap(), margin, 1e-4 * margin.abs().max(1.0));

    let output = scratch.0.join("adapter.gguf");
    export(&adapter, ExportFormat::GgufLora, &output, &ExportOptions::default()).unwrap();
    assert_eq!(&fs::read(&output).unwrap()[..4], b"GGUF");
    let json = export_check(&adapter, &output, &path, None, &ExportOptions::default()).unwrap();
    assert!(json.contains("\"survives\""), "{json}");
    let error = export(&adapter, ExportFormat::GgufLora, &output, &ExportOptions::default()).err().unwrap();
    assert!(error.message.contains("adapter.gguf"), "{error}");
}

#[test]
fn other_data_is_evaluated_and_scored() {
    let scratch = Scratch::new("data");
    let (model, options, pairs) = (model(), lora(), fixture("data/pairs.jsonl"));
    let extra = scratch.0.join("own.csv");
    fs::write(&extra, "prompt,chosen,rejected\nA, good, bad\nB, fine, no\n").unwrap();
    let mut read = Vec::new();
    let both = Dataset::open_all(&model, &[&pairs, &extra], &options, |reading| {
        read.push(reading);
        ControlFlow::Continue(())
    })
    .unwrap();
    let one = Dataset::open(&model, &pairs, &options).unwrap();
    let own = Dataset::open_all(&model, &[&extra], &options, |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(both.info().unwrap().rows, one.info().unwrap().rows + 2);
    assert!(read.last().is_some_and(|reading| reading.rows > 0 && !reading.phase.is_empty()), "{read:?}");
    let stopped = Dataset::open_all(&model, &[&pairs], &options, |_| ControlFlow::Break(())).err().unwrap();
    assert_eq!(stopped.status, Status::Cancelled);
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _ = Dataset::open_all(&model, &[&pairs], &options, |_| panic!("the host's own"));
    }));
    assert_eq!(panic.unwrap_err().downcast_ref::<&str>(), Some(&"the host's own"));

    let mut trainer = Trainer::new(&model, None, &one, Some(&one), &options).unwrap();
    trainer.step().unwrap();
    let loss = trainer.evaluate().unwrap().loss;
    assert_eq!(trainer.evaluate_data(&one).unwrap().loss, loss);
    assert_ne!(trainer.evaluate_data(&own).unwrap().loss, loss);
    let scores = trainer.score_data(&own).unwrap();
    let expected = model.score(&[("A", " good"), ("B", " fine")]).unwrap();
    assert_eq!(scores.policy_rejected.len(), 2);
    for (score, each) in scores.reference_chosen.iter().zip(&expected) {
        near(*score, each.logp, 1e-4); // the reference is the model without an adapter
    }
}

/// A place where ranks that are threads put where their bytes are, and take those of the others.
struct Meeting {
    sent: Mutex<Vec<Vec<Vec<u8>>>>,
    barrier: Barrier,
}

struct Threads {
    rank: usize,
    place: Arc<Meeting>,
}

impl Threads {
    /// `parts`: this rank's bytes for each rank. Gives those of each rank for this one.
    fn exchange(&self, parts: Vec<Vec<u8>>) -> Vec<u8> {
        self.place.sent.lock().unwrap()[self.rank] = parts;
        self.place.barrier.wait();
        let received = self.place.sent.lock().unwrap().iter().flat_map(|parts| parts[self.rank].clone()).collect();
        self.place.barrier.wait();
        received
    }
}

impl Collectives for Threads {
    fn all_gather(&self, send: &[u8], receive: &mut [u8], sizes: &[usize]) -> std::result::Result<(), String> {
        receive.copy_from_slice(&self.exchange(vec![send.to_vec(); sizes.len()]));
        Ok(())
    }

    fn all_to_all(
        &self,
        send: &[u8],
        send_sizes: &[usize],
        receive: &mut [u8],
        _receive_sizes: &[usize],
    ) -> std::result::Result<(), String> {
        let mut rest = send;
        let parts = send_sizes.iter().map(|size| {
            let (part, after) = rest.split_at(*size);
            rest = after;
            part.to_vec()
        });
        receive.copy_from_slice(&self.exchange(parts.collect()));
        Ok(())
    }
}

struct Broken {
    panics: bool,
}

impl Collectives for Broken {
    fn all_gather(&self, _: &[u8], _: &mut [u8], _: &[usize]) -> std::result::Result<(), String> {
        assert!(!self.panics, "the cable is out");
        Err("the cable is out".into())
    }

    fn all_to_all(&self, _: &[u8], _: &[usize], _: &mut [u8], _: &[usize]) -> std::result::Result<(), String> {
        Ok(())
    }
}

fn trained(ranks: Option<&Communicator>) -> Result<Vec<f32>> {
    let options = TrainOptions {
        per_device_train_batch_size: Some(1),
        gradient_accumulation_steps: Some(if ranks.is_some() { 2 } else { 4 }),
        learning_rate: Some(1e-3),
        threads: Some(1),
        ..Default::default()
    };
    let model = Model::open(fixture("models/llama-tied"))?;
    let dataset = Dataset::open(&model, fixture("data/pairs.jsonl"), &options)?;
    let mut trainer = match ranks {
        Some(ranks) => Trainer::distributed(ranks, &model, None, &dataset, None, &options)?,
        None => Trainer::new(&model, None, &dataset, None, &options)?,
    };
    trainer.step()?;
    trainer.step()?;
    Ok(trainer.parameters()?.0.to_vec())
}

#[test]
fn ranks_end_in_the_same_bits() {
    let alone = trained(None).unwrap();
    let place = Arc::new(Meeting { sent: Mutex::new(vec![Vec::new(); 2]), barrier: Barrier::new(2) });
    let communicators: Vec<_> = (0..2)
        .map(|rank| Communicator::new(rank, 2, "threads", Threads { rank, place: place.clone() }).unwrap())
        .collect();
    assert_eq!(communicators[1].ranks().unwrap(), (1, 2));
    assert_eq!(communicators[0].abort(3).err().unwrap().status, Status::Unsupported);
    thread::scope(|scope| {
        let started: Vec<_> = communicators.iter().map(|ranks| scope.spawn(|| trained(Some(ranks)))).collect();
        for thread in started {
            assert!(thread.join().unwrap().unwrap() == alone);
        }
    });
    drop(communicators);
    assert_eq!(Arc::strong_count(&place), 1); // the library has let go of the engines

    for panics in [false, true] {
        let lost = Communicator::new(1, 2, "a broken engine", Broken { panics }).unwrap();
        let error = trained(Some(&lost)).err().unwrap();
        assert_eq!(error.status, Status::Io);
        assert!(error.message.contains("the cable is out"), "{error}");
    }
    let engine = Threads { rank: 2, place: place.clone() };
    assert_eq!(Communicator::new(2, 2, "threads", engine).err().unwrap().status, Status::InvalidArgument);
    assert_eq!(Arc::strong_count(&place), 1);
    let error = Communicator::mpi(Some(Path::new("/no/plug-in.so")), Duration::from_secs(60)).err().unwrap();
    assert_eq!(error.status, Status::Io);
    assert!(error.message.contains("/no/plug-in.so"), "{error}");
}

#[test]
fn feedback_waits_stops_and_goes_on() {
    let scratch = Scratch::new("feedback");
    let feedback = Feedback::open(scratch.0.join("feedback.jsonl")).unwrap();
    let (model, directory) = (model(), scratch.0.join("adapters"));
    let options = FeedbackOptions {
        min_records: Some(2),
        training: Some(TrainOptions { lora_r: Some(2), num_train_epochs: Some(3.0), ..Default::default() }),
        ..Default::default()
    };
    assert_eq!(feedback.train(&model, &directory, &options).unwrap().outcome, Outcome::NothingNew);
    assert_eq!(feedback.record_choice("We found", " a boat.", " nothing.", 1.0).unwrap(), 1);
    assert_eq!(feedback.train(&model, &directory, &options).unwrap().outcome, Outcome::Waiting);
    feedback.record_json(r#"{"prompt": "She said", "chosen": " yes.", "rejected": " no.", "user": 7}"#).unwrap();
    feedback.cancel();
    let stopped = feedback.train(&model, &directory, &options).err().unwrap();
    assert_eq!(stopped.status, Status::Cancelled);
    let result = feedback.train(&model, &directory, &options).unwrap();
    assert_eq!((result.outcome, result.new_records), (Outcome::Finished, 2));
    assert!(result.steps > 0 && directory.join("adapter.gguf").exists());
    let status = feedback.status(Some(&directory)).unwrap().replace(' ', "");
    assert!(status.contains("\"choices\":2") && status.contains("\"new\":0"), "{status}");
}

#[test]
fn the_version_is_that_of_the_crate() {
    assert_eq!(version(), env!("CARGO_PKG_VERSION"));
}
